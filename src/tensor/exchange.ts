/**
 * What a program asks of other ranks while it runs: byte ranges of device buffers that are added up, joined or handed out.
 * The tensor layer says which bytes and when; who carries them (`src/shard`) is given to `Program.runWith`.
 */

/**
 * One collective over the ranks of a mesh axis. `R` is a range of bytes: of a plan at planning, of a device buffer at a run.
 * `sum`: `of` becomes the sum over all ranks, per element in rank order (f16: summed in f32, rounded once to nearest even).
 * `gather`: the bytes of `own` reach all ranks; what rank r sends lands in `parts[r]`, range after range (empty: not wanted).
 * `scatter`: `parts[r]` goes to rank r, which adds what it gets up in rank order (f32) into `own`.
 * `swap`: `parts[r]` goes to rank r, where it lands in its `into[own rank]`, as it is. All parts that are not empty are equally long, on all ranks; a
 * rank that gives and takes one part of that length may give and take the same bytes.
 */
export type Move<R> =
  | { readonly how: 'sum'; readonly axis: string; readonly of: readonly R[]; readonly dtype: 'f32' | 'f16' | 'u32' }
  | {
      readonly how: 'gather';
      readonly axis: string;
      readonly own: readonly R[];
      readonly parts: readonly (readonly R[])[];
      readonly lengths: readonly number[];
    }
  | { readonly how: 'scatter'; readonly axis: string; readonly own: readonly R[]; readonly parts: readonly (readonly R[])[] }
  | { readonly how: 'swap'; readonly axis: string; readonly parts: readonly (readonly R[])[]; readonly into: readonly (readonly R[])[] };

/** A range of bytes of a device buffer; offset and length are multiples of 4. */
export interface DeviceRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** Carries moves out. Calls come in the same order on every rank; each may begin before those ahead of it have ended. */
export interface Exchange {
  run(move: Move<DeviceRange>): Promise<void>;
}

/** Most bytes of a collective that leave a device at a time: the same on every rank, since they cut what they send alike. */
export const EXCHANGE_BYTES = 4 << 20;

/** The ranges that leave this device in a move. */
export function sentRanges<R>(move: Move<R>): readonly R[] {
  if (move.how === 'sum') return move.of;
  return move.how === 'gather' ? move.own : move.parts.flat();
}

/** The same move over other ranges. */
export function mapMove<A, B>(move: Move<A>, to: (range: A) => B): Move<B> {
  const each = (parts: readonly (readonly A[])[]): B[][] => parts.map((part) => part.map(to));
  if (move.how === 'sum') return { ...move, of: move.of.map(to) };
  if (move.how === 'swap') return { ...move, parts: each(move.parts), into: each(move.into) };
  return { ...move, own: move.own.map(to), parts: each(move.parts) };
}
