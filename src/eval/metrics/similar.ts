/**
 * How alike two strings are. `indelRatio` is the default: twice the longest common subsequence over both lengths, symmetric and without a threshold. `sequenceMatcherRatio` is what Python's difflib
 * gives (Ratcliff and Obershelp 1988 with its rule against frequent characters): greedy, not symmetric, and it drops frequent characters of long strings; the twins
 * of ColossalEval need it.
 */
import { lcsLength } from './overlap.ts';

/** 2 LCS / (|a| + |b|) over code points, in [0, 1]; two empty strings are alike. */
export function indelRatio(a: string, b: string): number {
  const x = [...a];
  const y = [...b];
  return x.length + y.length === 0 ? 1 : (2 * lcsLength(x, y)) / (x.length + y.length);
}

/** From this length on difflib drops characters of `b` that are more than 1 % of it. */
const AUTOJUNK_LENGTH = 200;

/** `difflib.SequenceMatcher(None, a, b).ratio()`. */
export function sequenceMatcherRatio(a: string, b: string): number {
  const x = [...a];
  const y = [...b];
  const places = new Map<string, number[]>();
  for (const [i, c] of y.entries()) {
    const list = places.get(c);
    if (list) list.push(i);
    else places.set(c, [i]);
  }
  if (y.length >= AUTOJUNK_LENGTH) {
    const most = Math.floor(y.length / 100) + 1;
    for (const [c, list] of places) if (list.length > most) places.delete(c);
  }
  let matched = 0;
  const open: [number, number, number, number][] = [[0, x.length, 0, y.length]];
  for (let range = open.pop(); range; range = open.pop()) {
    const [xLow, xHigh, yLow, yHigh] = range;
    const block = longestBlock(x, y, places, xLow, xHigh, yLow, yHigh);
    if (block.size === 0) continue;
    matched += block.size;
    open.push([xLow, block.x, yLow, block.y], [block.x + block.size, xHigh, block.y + block.size, yHigh]);
  }
  return x.length + y.length === 0 ? 1 : (2 * matched) / (x.length + y.length);
}

/** The longest common run within two ranges, the earliest in x and then in y of equals, grown by dropped characters that agree at its ends. */
function longestBlock(
  x: readonly string[],
  y: readonly string[],
  places: ReadonlyMap<string, readonly number[]>,
  xLow: number,
  xHigh: number,
  yLow: number,
  yHigh: number,
): { x: number; y: number; size: number } {
  const best = { x: xLow, y: yLow, size: 0 };
  let ending = new Map<number, number>();
  for (let i = xLow; i < xHigh; i++) {
    const next = new Map<number, number>();
    for (const j of places.get(x[i]) ?? []) {
      if (j < yLow) continue;
      if (j >= yHigh) break;
      const size = (ending.get(j - 1) ?? 0) + 1;
      next.set(j, size);
      if (size > best.size) Object.assign(best, { x: i - size + 1, y: j - size + 1, size });
    }
    ending = next;
  }
  while (best.x > xLow && best.y > yLow && x[best.x - 1] === y[best.y - 1]) {
    best.x--;
    best.y--;
    best.size++;
  }
  while (best.x + best.size < xHigh && best.y + best.size < yHigh && x[best.x + best.size] === y[best.y + best.size]) best.size++;
  return best;
}
