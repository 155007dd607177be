/**
 * Lengths of the documents of packed rows, token by token: what a sequence-wise scale (NEFTune's noise) needs where a row holds
 * several sequences. Read from positions, which restart with each document, and ranges, which are zero on padding.
 */

/**
 * For each token the length of the piece it lies in; 0 on padding.
 * @param batch positions u32 [B T], ranges u32 [B T 4].
 * @returns u32 [B T].
 */
export function documentLengths(batch: { readonly positions: Uint32Array; readonly ranges: Uint32Array }, T: number): Uint32Array<ArrayBuffer> {
  const { positions, ranges } = batch;
  const out = new Uint32Array(positions.length);
  const real = (t: number): boolean => ranges[t * 4 + 1] > 0;
  for (let start = 0; start < positions.length; ) {
    let end = start + 1;
    while (end % T !== 0 && real(end) === real(start) && (!real(start) || positions[end] !== 0)) end++;
    if (real(start)) out.fill(end - start, start, end);
    start = end;
  }
  return out;
}
