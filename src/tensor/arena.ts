/**
 * Offsets for tensors that share memory over time: largest first, each at the lowest free offset.
 * Simple and near the lower bound (a test holds it to 1.25 times); pages open where one buffer is full.
 */
import { ScionError } from '../base/errors.ts';

/** A tensor's bytes (a multiple of 256) and the inclusive range of times it lives. */
export interface Interval {
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
}

/** Page and byte offset for each interval, in order; bytes of each page. */
export interface ArenaPlan {
  readonly places: readonly { page: number; offset: number }[];
  readonly pages: readonly number[];
}

/** Assigns offsets; no page exceeds `pageLimit`. */
export function assignArena(intervals: readonly Interval[], pageLimit: number): ArenaPlan {
  const order = intervals.map((_, i) => i).sort((a, b) => intervals[b].bytes - intervals[a].bytes || intervals[a].from - intervals[b].from || a - b);
  const places: { page: number; offset: number }[] = new Array(intervals.length);
  const pages: { size: number; taken: { at: number; end: number; from: number; to: number }[] }[] = [];
  for (const i of order) {
    const { bytes, from, to } = intervals[i];
    if (bytes > pageLimit) throw new ScionError('memory', `a tensor of ${bytes} bytes exceeds the largest buffer of this device (${pageLimit})`);
    for (let page = 0; ; page++) {
      if (page === pages.length) pages.push({ size: 0, taken: [] });
      const { taken } = pages[page];
      let offset = 0;
      for (const t of taken) {
        if (t.to < from || t.from > to) continue;
        if (offset + bytes <= t.at) break;
        offset = Math.max(offset, t.end);
      }
      if (offset + bytes > pageLimit) continue;
      const entry = { at: offset, end: offset + bytes, from, to };
      const where = taken.findIndex((t) => t.at > offset);
      if (where < 0) taken.push(entry);
      else taken.splice(where, 0, entry);
      pages[page].size = Math.max(pages[page].size, offset + bytes);
      places[i] = { page, offset };
      break;
    }
  }
  return { places, pages: pages.map((p) => p.size) };
}
