/**
 * The frame of a page about data: one file, no script, nothing loaded (the page's own policy forbids it, whatever a text in
 * it may try), light and dark by the reader's system, down to the width of a phone. And the small pieces that its
 * sections share: tables, texts of strangers, texts side by side.
 */
import { clipped, quoted, visible, visibleHtml } from '../../base/markup.ts';
import type { DiffPart } from './diff.ts';

const COLOURS_LIGHT =
  '--paper:#fcfcfb;--ink:#1c1c1a;--soft:#5f5f59;--grid:#e4e3de;--wash:#f3f2ee;--accent:#1f6fd0;--before:#bcd0ea;--broken:#b3261e;--look:#8a5a00;--fine:#2f6b3a;--a:#f6d9d5;--b:#d2ead6';
const COLOURS_DARK =
  '--paper:#191918;--ink:#ecebe6;--soft:#a8a79f;--grid:#36362f;--wash:#232321;--accent:#6aa9f4;--before:#35506f;--broken:#ff8a80;--look:#f0b95a;--fine:#86c994;--a:#5b2b27;--b:#24482c';
/** Parts of a stack: light enough for dark words in both schemes, neighbours told apart by hue and by lightness. */
const PARTS_LIGHT = ['#8fb8e8', '#f2b880', '#9fd3a8', '#d9b3e0', '#f0d878', '#8fd0d0', '#e8a0a0', '#b9c7d6', '#c9d98f', '#b7a6e3', '#e3c4a8', '#a9c9b5'];
const PARTS_DARK = ['#6f9fd4', '#d89a5e', '#7dba88', '#bb92c4', '#d0b659', '#6cb3b3', '#cc8080', '#98a7b8', '#a9ba6c', '#9887c9', '#c2a387', '#86a893'];
const numbered = (colours: readonly string[], rest: string): string => `${colours.map((c, i) => `--c${i}:${c}`).join(';')};--crest:${rest}`;

const STYLE = `:root{color-scheme:light dark;${COLOURS_LIGHT};${numbered(PARTS_LIGHT, '#cfcec8')}}
@media(prefers-color-scheme:dark){:root{${COLOURS_DARK};${numbered(PARTS_DARK, '#6b6a64')}}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;max-width:1060px;margin:0 auto;padding:1.6rem 1.1rem 4rem;background:var(--paper);color:var(--ink);overflow-wrap:break-word}
h1{font-size:1.45rem;line-height:1.25;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.6rem 0 .2rem;padding-top:.9rem;border-top:1px solid var(--grid)}h3{font-size:.95rem;margin:1.3rem 0 .3rem}
p{margin:.3rem 0 .7rem}.lead,.note,figcaption{color:var(--soft)}.note,.cut{font-size:.86rem}.cut{color:var(--look)}code,pre{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.86em}a{color:var(--accent)}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.8rem 0 0;font-size:.9rem}
dl.keys{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.6rem,1fr));gap:.9rem 1.4rem;margin:1.2rem 0 0}dl.keys div{min-width:0}dl.keys dt{color:var(--soft);font-size:.84rem}dl.keys dd{margin:0;font-size:1.25rem;font-variant-numeric:tabular-nums;line-height:1.3}dl.keys dd small{display:block;font-size:.8rem;color:var(--soft)}
ul.findings{list-style:none;margin:.8rem 0 0;padding:0}ul.findings>li{display:grid;grid-template-columns:4.2rem 1fr;gap:.7rem;padding:.55rem 0;border-bottom:1px solid var(--grid)}ul.findings .level{font-size:.8rem;font-weight:600;line-height:1.8}ul.findings .broken .level{color:var(--broken)}ul.findings .look .level{color:var(--look)}ul.findings .fine .level{color:var(--fine)}ul.findings .broken{background:color-mix(in srgb,var(--broken) 9%,transparent)}ul.findings ul{margin:.1rem 0 .2rem;padding-left:1.1rem}ul.findings .advice{color:var(--soft);font-size:.9rem}
.scroll{overflow-x:auto;margin:.5rem 0}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.88rem;width:100%}caption{text-align:left;color:var(--soft);padding:.2rem 0}caption span,.inner>div{display:block;position:sticky;left:0;max-width:min(100%,calc(100vw - 2.2rem))}table.few{max-width:46rem}table.two{max-width:30rem}th,td{padding:.3rem .6rem;text-align:right;vertical-align:top;border-bottom:1px solid var(--grid);white-space:nowrap}thead th{color:var(--soft);font-weight:500;vertical-align:bottom;white-space:normal}tbody th{position:sticky;left:0;background:var(--paper);z-index:1}th:first-child,td:first-child{padding-left:0}tbody th{font-weight:500}th.left,td.left,tbody th{text-align:left}td.bar{width:26%;min-width:6rem}td.bar .bar{margin-top:.34em}td.stackcell{width:55%;min-width:17rem}tr.sum th,tr.sum td{font-weight:600}td.off{color:var(--look);font-weight:600}td.inner{padding:0 0 .5rem;white-space:normal;text-align:left}tr.open th,tr.open td{border-bottom:0;padding-bottom:0}td.inner .from:first-child{margin:0}
svg{display:block;width:100%;overflow:visible;font:12px system-ui,sans-serif}svg text{fill:var(--soft)}.middle{text-anchor:middle}.end{text-anchor:end}.start{text-anchor:start}.fill{fill:var(--accent)}.before{fill:var(--before)}.axis{stroke:var(--soft);stroke-width:1}.stack{border-radius:3px}.stack rect{stroke:var(--paper);stroke-width:1}.stack text{fill:#141413;font-size:11.5px}svg g:hover rect{filter:brightness(1.12)}.mark line{stroke:var(--look);stroke-dasharray:4 3}.mark text{fill:var(--look)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:1.3rem 1.8rem;margin:.9rem 0}figure{margin:0;min-width:0}figcaption{font-size:.86rem;margin-bottom:.1rem}figcaption b{color:var(--ink);font-weight:600}.swatch{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.45em;vertical-align:baseline}
details{margin:.2rem 0}summary{cursor:pointer;color:var(--accent);font-size:.88rem;white-space:normal}.text{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--wash);border-radius:4px;padding:.5rem .7rem;margin:.25rem 0 .7rem;font-size:.88rem;max-height:22rem;overflow:auto;text-align:start}.from{font-size:.84rem;color:var(--soft);margin:.5rem 0 0;white-space:normal;overflow-wrap:anywhere}.from b{color:var(--ink);font-weight:600}.unseen{color:var(--broken);font:.82em ui-monospace,Menlo,Consolas,monospace;border:1px solid currentColor;border-radius:3px;padding:0 .15em}
.pair{border-bottom:1px solid var(--grid);padding:.4rem 0 .6rem}.sides{display:grid;grid-template-columns:1fr 1fr;gap:.9rem}.sides>div{min-width:0}del,ins{text-decoration:none;border-radius:2px;box-decoration-break:clone;-webkit-box-decoration-break:clone}del{background:var(--a);text-decoration:underline dotted}ins{background:var(--b);text-decoration:underline}.masked{color:var(--soft);font-style:italic;text-decoration:underline dotted}.segment .text{max-height:none}.segment{border-left:4px solid var(--accent);padding-left:.7rem;margin:.9rem 0}
pre{background:var(--wash);border-radius:4px;padding:.7rem;overflow-x:auto;margin:.4rem 0}
@media(max-width:42rem){body{padding:1.1rem .9rem 3rem}.sides{grid-template-columns:1fr;gap:.2rem}ul.findings>li{grid-template-columns:1fr;gap:0}dl.keys{grid-template-columns:1fr 1fr}dl.keys dd{font-size:1.12rem}th,td{padding:.3rem .45rem}}
@media print{details{break-inside:avoid}.text{max-height:none}}`;

/** A whole page; `body` is HTML already. */
export function page(name: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${quoted(visible(name))}</title>
<style>${STYLE}</style></head>
<body>
${body}
</body></html>
`;
}

/** Text of any origin as HTML. */
export const html = visibleHtml;

/** A cell: HTML, and how it stands. */
export interface Cell {
  readonly html: string;
  readonly kind?: string;
}

export const cell = (text: string, kind?: string): Cell => ({ html: html(text), ...(kind ? { kind } : {}) });

/** A table with a head; the first cell of a row names it. Rows may carry a class and a line of HTML under them. */
export function table(
  head: readonly (string | Cell)[],
  rows: readonly { readonly cells: readonly (string | Cell)[]; readonly kind?: string; readonly under?: string }[],
  caption: string,
): string {
  const cellOf = (it: string | Cell, tag: string): string => {
    const { html: inner, kind } = typeof it === 'string' ? cell(it) : it;
    return `<${tag}${kind ? ` class="${kind}"` : ''}>${inner}</${tag.split(' ')[0]}>`;
  };
  const headHtml = head.map((it, i) => cellOf(i === 0 && typeof it === 'string' ? cell(it, 'left') : it, 'th scope="col"')).join('');
  const body = rows.map(({ cells, kind, under }) => {
    const classes = [kind, under ? 'open' : undefined].filter((name) => name !== undefined).join(' ');
    const line = cells.map((it, i) => cellOf(it, i === 0 ? 'th scope="row"' : 'td')).join('');
    return `<tr${classes ? ` class="${classes}"` : ''}>${line}</tr>${under ? `<tr><td class="inner" colspan="${head.length}"><div>${under}</div></td></tr>` : ''}`;
  });
  const few = head.length <= 3 ? ' class="two"' : head.length === 4 && !rows.some(({ under }) => under) ? ' class="few"' : '';
  return `<div class="scroll" role="region" aria-label="${quoted(visible(caption))}" tabindex="0"><table${few}><caption><span>${html(caption)}</span></caption><thead><tr>${headHtml}</tr></thead>
<tbody>${body.join('\n')}</tbody></table></div>`;
}

/** The first of a long list, and a line that says how many are not shown. */
export function firstOf<T>(list: readonly T[], most: number, what: string): { readonly shown: readonly T[]; readonly cut: string } {
  const more = list.length - most;
  return {
    shown: list.slice(0, most),
    cut: more > 0 ? `<p class="cut">${more.toLocaleString('en-US')} more ${html(what)} not shown; report.json has them.</p>` : '',
  };
}

/** A document: where it is from, and its text. Its direction follows its letters and does not reach beyond it. */
export function documentHtml(one: { readonly id: string; readonly category: string; readonly note?: string; readonly text: string }, most: number): string {
  const note = one.note ? ` · ${html(clipped(one.note, 400))}` : '';
  return `<p class="from"><b>${html(clipped(one.id, 200))}</b> · ${html(clipped(one.category, 100))}${note}</p><div class="text" dir="auto">${one.text === '' ? '<i>(empty)</i>' : html(clipped(one.text, most))}</div>`;
}

/** One side of a difference: what only it has is marked, for eyes and for screen readers. */
export function sideHtml(parts: readonly DiffPart[], side: 'a' | 'b'): string {
  const tag = side === 'a' ? 'del' : 'ins';
  return parts
    .filter(({ kind }) => kind === 'both' || kind === side)
    .map(({ kind, text }) => (kind === 'both' ? html(text) : `<${tag}>${html(text)}</${tag}>`))
    .join('');
}
