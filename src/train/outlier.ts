/**
 * The outlier guard: a step whose gradient norm is many times what it was lately is not taken. The device decides, by a
 * ceiling that comes with the step; the ceiling follows from records at least `lag` steps old, and never from how early
 * they happened to be read, so a resumed run gets the same ceilings. It trades those few steps for never waiting.
 */
import type { StepRecord } from '../tensor/ops/step_state.ts';

/** A step as the guard remembers it: number, gradient norm, and 1 if it was skipped as an outlier. */
export type GuardEntry = readonly [step: number, norm: number, outlier: 0 | 1];

/** Good steps that the median is taken of, and how many there must be before any step is refused. */
const WINDOW = 64;
const LEAST = 16;
/** So many outliers in a row are the new state of things: what was before them no longer counts, and steps are taken until a new median is known. */
export const MOST_OUTLIERS = 8;

/** Ceilings of the gradient norm. */
export class OutlierGuard {
  readonly factor: number;
  readonly lag: number;
  private entries: GuardEntry[];

  /** `factor` times the median is the ceiling; `lag`: steps that may be enqueued before the record of the first is read. `entries` as `state` gave them. */
  constructor(factor: number, lag: number, entries: readonly GuardEntry[] = []) {
    this.factor = factor;
    this.lag = lag;
    this.entries = [...entries];
  }

  /** Takes up the record of a step, in order. Steps that were not finite say nothing about norms. */
  note(record: StepRecord): void {
    if (record.skipped && !record.outlier) return;
    this.entries.push([record.step, record.gradNorm, record.outlier ? 1 : 0]);
    const oldest = record.step - this.reach - this.lag;
    if (this.entries[0][0] < oldest) this.entries = this.entries.filter(([step]) => step >= oldest);
  }

  /** Steps back from the newest usable record that are looked at. */
  private get reach(): number {
    return 2 * WINDOW;
  }

  /** The ceiling of a step; 0 for none. */
  ceiling(step: number): number {
    const newest = step - this.lag;
    const seen = this.entries.filter(([s]) => s <= newest && s > newest - this.reach);
    let from = 0;
    let row = 0;
    seen.forEach(([, , outlier], i) => {
      row = outlier === 1 ? row + 1 : 0;
      if (row >= MOST_OUTLIERS) from = i + 1;
    });
    const good = seen
      .slice(from)
      .filter(([, , outlier]) => outlier === 0)
      .slice(-WINDOW)
      .map(([, norm]) => norm)
      .sort((a, b) => a - b);
    if (good.length < LEAST) return 0;
    const middle = good.length >> 1;
    return this.factor * (good.length % 2 === 1 ? good[middle] : (good[middle - 1] + good[middle]) / 2);
  }

  /** What a checkpoint keeps; plain JSON. */
  state(): readonly GuardEntry[] {
    return this.entries;
  }
}
