/**
 * What a trial is: how one shipped kernel is brought to run alone enough to be judged. It turns sizes that a person chooses into an op case, whose
 * graph reaches the kernel; the op's float64 reference is the oracle. Read by the kernel playground; no part of training.
 */
import { ScionError } from '../../base/errors.ts';
import type { OpCase } from '../case.ts';

/** What a person chose. */
export interface Setting {
  /** By shape letter. */
  readonly sizes: Readonly<Record<string, number>>;
  /** By name of the option. */
  readonly options: Readonly<Record<string, string>>;
  /** Storage of the tensors; sums are f32 either way. */
  readonly dtype: 'f32' | 'f16';
}

/** A kernel that can be tried. */
export interface Trial {
  /** Path below `kernels/` without its ending. */
  readonly kernel: string;
  /** Sizes by letter: a usual one to be timed at, and an ugly one (1, odd, prime) at which every run is checked too. */
  readonly sizes: Readonly<Record<string, readonly [usual: number, ugly: number]>>;
  /** Constants and forms of the kernel by name, the usual one first. */
  readonly options?: Readonly<Record<string, readonly string[]>>;
  /** Default: both. */
  readonly dtypes?: readonly ('f32' | 'f16')[];
  /** The case at a setting. @throws ScionError where the sizes do not go together. */
  make(setting: Setting): Omit<OpCase, 'name' | 'dtype'>;
}

/** Rows of tables that the host makes before anything can be planned. */
const MOST_ROWS = 2 ** 20;

/** Refuses a number of rows whose tables (ids, ranges, slots) would take the host longer to make than anyone waits. */
export function requireRows(rows: number): void {
  if (!(rows <= MOST_ROWS)) throw new ScionError('memory', `${rows} rows need tables that the host makes; a trial takes at most ${MOST_ROWS} of them`);
}
