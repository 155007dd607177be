/**
 * The look of a run's report: one style sheet in the page, colours as variables, so that light and dark both read and the
 * charts need no colours of their own. Series colours keep their distance for the colour-blind (Okabe and Ito 2008, dimmed).
 */

/** Colours of categories, in the order they are met. */
export const SERIES_COLOURS = 8;

const LIGHT = ['#1f6fd0', '#b4530a', '#0f7d5b', '#8a4fbf', '#a8780a', '#c2397f', '#3f7f93', '#6b6b64'];
const DARK = ['#6aa9f4', '#e8975a', '#52c49a', '#b892ea', '#dcb455', '#f07fb4', '#7cc0d4', '#a5a49c'];

const variables = (colours: readonly string[]): string => colours.map((c, i) => `--c${i}:${c}`).join(';');
const series = LIGHT.map(
  (_, i) => `g.c${i} path{stroke:var(--c${i});stroke-width:1.6}g.c${i} circle{fill:var(--c${i})}g.c${i} text{fill:var(--c${i});font-weight:600}`,
).join('\n');

export const STYLE = `:root{color-scheme:light dark;--paper:#fcfcfb;--card:#f4f3ef;--ink:#1c1c1a;--soft:#62625c;--grid:#e4e3de;--accent:#1f6fd0;--second:#b4530a;--side:#8aa6c8;--bad:#c0392b;--good:#0f7d5b;${variables(LIGHT)}}
@media(prefers-color-scheme:dark){:root{--paper:#191918;--card:#232321;--ink:#ecebe6;--soft:#a5a49c;--grid:#34342f;--accent:#6aa9f4;--second:#e8975a;--side:#5d7696;--bad:#ef8377;--good:#52c49a;${variables(DARK)}}}
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1.2rem 3rem;background:var(--paper);color:var(--ink)}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:2.4rem 0 .8rem}.state{margin:.2rem 0 1rem;color:var(--soft)}.state b{color:var(--ink)}.state .bad{color:var(--bad)}.state .good{color:var(--good)}
.bar{height:6px;border-radius:3px;background:var(--grid);overflow:hidden;display:flex;gap:2px;margin-bottom:1.4rem}.bar span{display:block;background:var(--grid)}.bar i{display:block;height:100%;background:var(--accent)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.6rem;margin:0 0 1.6rem}.facts div{background:var(--card);border-radius:6px;padding:.5rem .8rem}.facts dt{font-size:.8rem;color:var(--soft)}.facts dd{margin:0;font-size:1.15rem;font-weight:600;font-variant-numeric:tabular-nums}.facts small{display:block;font-weight:400;font-size:.8rem;color:var(--soft)}
figure{margin:0 0 1.6rem}figcaption{color:var(--soft);margin-bottom:.3rem;font-size:.9rem}figcaption b{color:var(--ink);font-size:1rem}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:0 1.6rem}
svg{width:100%;height:auto;display:block;font:12px system-ui,sans-serif}
svg text{fill:var(--soft)}.end{text-anchor:end}.middle{text-anchor:middle}.start{text-anchor:start}.grid{stroke:var(--grid)}.axis{stroke:var(--soft)}
svg path{fill:none;stroke-linejoin:round}.main path{stroke:var(--accent);stroke-width:2}.second path{stroke:var(--second);stroke-width:2}.side path{stroke:var(--side);stroke-width:1.2}
.main circle{fill:var(--accent)}.second circle{fill:var(--second)}.side circle{fill:var(--side)}g:hover circle{stroke:var(--ink);stroke-width:1.5}.main text,.second text{fill:var(--ink);font-weight:600}
${series}
svg g path.lead{stroke:var(--grid);stroke-width:1}svg g text .value{font-variant-numeric:tabular-nums;fill:var(--soft);font-weight:400}
line.part{stroke:var(--soft);stroke-dasharray:2 3}text.part{font-size:11px;font-weight:600;fill:var(--ink)}line.rug{stroke:var(--bad);stroke-width:1.5}.threshold{stroke:var(--second);stroke-dasharray:2 4}
rect.span{fill:var(--accent);stroke:var(--paper)}svg text.inside{fill:var(--ink);font-size:11px;text-anchor:middle}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}th{font-weight:500;color:var(--soft);text-align:right;vertical-align:bottom}th:first-child,td:first-child{text-align:left}th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}tr.all td{font-weight:700}td.better{color:var(--good)}td.worse{color:var(--bad)}
.samples{width:100%;table-layout:fixed;margin-bottom:1.2rem}.samples th:first-child{width:9.5rem}.samples td{white-space:pre-wrap;overflow-wrap:anywhere;text-align:start;vertical-align:top}.samples td:first-child{color:var(--soft);white-space:nowrap}.prompt{font-weight:600}
.unseen{color:var(--bad);font-size:.85em}ul.events{padding-left:1.1rem;color:var(--soft);font-size:.9rem}`;
