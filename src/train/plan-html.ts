/**
 * A plan as a page of its own: memory over one step, every tensor a bar from its first write to its last use at
 * its place in the arena, details on hover. Plain SVG and a `title` an element: no script, opens anywhere.
 */
import { quoted } from '../base/markup.ts';
import type { Plan } from '../tensor/plan.ts';

const mib = (n: number): string => `${(n / 2 ** 20).toFixed(2)} MiB`;

/** Colours by part of the step, legible on light and dark ground. */
const COLOURS: Readonly<Record<string, string>> = { forward: '#4f8edb', backward: '#d9824b', update: '#6fae5c', scratch: '#9a8fb8' };

/** Draws one plan's arena; bytes upwards, nodes of the step from left to right. */
function drawArena(plan: Plan): string {
  const width = 1100;
  const height = 420;
  const steps = Math.max(1, plan.sequence.length);
  const total = Math.max(
    1,
    plan.arena.reduce((a, b) => a + b, 0),
  );
  const pageStart = plan.arena.map((_, i) => plan.arena.slice(0, i).reduce((a, b) => a + b, 0));
  const x = (t: number) => (t / steps) * width;
  const y = (byte: number) => height - (byte / total) * height;
  const bars = plan.lifetimes.map((l) => {
    const at = pageStart[l.page] + l.offset;
    const to = Math.min(l.to, steps - 1);
    const node = plan.sequence[l.from];
    const colour = COLOURS[l.kind === 'scratch' ? 'scratch' : (node?.phase ?? 'forward')];
    const title = `${l.name}\n${mib(l.bytes)} at ${at}\nfrom ${node?.op ?? ''} (node ${l.from}) to ${plan.sequence[to]?.op ?? ''} (node ${to})`;
    const w = Math.max(0.5, x(to + 1) - x(l.from));
    const h = Math.max(0.5, (l.bytes / total) * height);
    return `<rect x="${x(l.from).toFixed(1)}" y="${y(at + l.bytes).toFixed(1)}" width="${w.toFixed(1)}" height="${h.toFixed(1)}" fill="${colour}" fill-opacity="0.75" stroke="#0006" stroke-width="0.4"><title>${quoted(title)}</title></rect>`;
  });
  return `<h2>${quoted(plan.name)}: ${mib(total)} of arena, ${plan.sequence.length} nodes, ${plan.commands.length} commands</h2>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="memory of ${quoted(plan.name)} over one run">${bars.join('')}</svg>`;
}

/** The whole page. `table` holds label and value of each row above the drawings. */
export function planHtml(title: string, table: readonly (readonly [string, string])[], plans: readonly Plan[]): string {
  const rows = table.map(([k, v]) => `<tr><th>${quoted(k)}</th><td>${quoted(v)}</td></tr>`).join('');
  const legend = Object.entries(COLOURS)
    .map(([k, c]) => `<span><i style="background:${c}"></i>${k}</span>`)
    .join('');
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${quoted(title)}</title>
<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:1140px;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}th{text-align:left;font-weight:500;padding:.1rem 1.5rem .1rem 0}td{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;border:1px solid #8886;border-radius:4px}rect:hover{fill-opacity:1;stroke:currentColor;stroke-width:1.5}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}.legend span{margin-right:1.2rem}.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border-radius:2px}</style>
<h1>${quoted(title)}</h1><table>${rows}</table><p class="legend">${legend}</p>${plans
    .filter((p) => p.arena.length > 0)
    .map(drawArena)
    .join('\n')}</html>
`;
}
