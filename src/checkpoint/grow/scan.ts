/**
 * One pass over the rows of a stored matrix for `scion init --verify`: values that are no numbers, zero rows, lengths, repetitions; and the
 * comparison of two matrices row by row. A row is remembered by 53 bits of a hash, so equal hashes of different rows are not to be expected (rows^2 / 2^53).
 */
import { sameBytes } from '../../formats/bytes.ts';
import type { HfWeights } from '../../formats/hf-shards.ts';
import { alignedBytes, Codec, ROW_BYTES, type RowDtype, spreadOf } from './rows.ts';

const BLOCK_BYTES = 4 << 20;

/** What a matrix's rows look like. Rows from `pieces` on are padding and only their values are looked at. */
export interface MatrixScan {
  readonly notFinite: readonly number[];
  readonly zeroOld: readonly number[];
  readonly zeroNew: readonly number[];
  readonly oldMedian: number;
  readonly newMedian: number;
  /** New rows whose bytes an earlier row has. */
  readonly duplicates: number;
  /** How many new rows are the commonest of them. */
  readonly commonest: number;
}

/** A hash of a row’s words, 53 bits. */
function hashOf(words: Uint16Array): number {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let i = 0; i < words.length; i++) {
    a = Math.imul(a ^ words[i], 0x01000193);
    b = Math.imul(b + words[i], 0x85ebca6b) ^ (b >>> 13);
  }
  return (a >>> 0) * 0x200000 + ((b >>> 0) & 0x1fffff);
}

/** Reads all rows once. `firstNew` to `pieces` are the new ones. */
export async function scanMatrix(weights: HfWeights, tensor: string, dtype: RowDtype, firstNew: number, pieces: number): Promise<MatrixScan> {
  const [rows, columns] = weights.info(tensor).shape;
  const rowBytes = columns * ROW_BYTES[dtype];
  const step = Math.max(1, Math.floor(BLOCK_BYTES / rowBytes));
  const row = new Float64Array(columns);
  const norms = new Float64Array(rows);
  const notFinite: number[] = [];
  const zeroOld: number[] = [];
  const zeroNew: number[] = [];
  const seen = new Set<number>();
  const timesNew = new Map<number, number>();
  let duplicates = 0;
  for (let first = 0; first < rows; first += step) {
    const count = Math.min(step, rows - first);
    const bytes = alignedBytes(await weights.readRows(tensor, first, count));
    const codec = new Codec(dtype, bytes);
    for (let i = 0; i < count; i++) {
      const id = first + i;
      row.fill(0);
      codec.add(row, i * columns, 1);
      let squares = 0;
      for (let j = 0; j < columns; j++) squares += row[j] * row[j];
      norms[id] = Math.sqrt(squares);
      if (!Number.isFinite(squares)) notFinite.push(id);
      if (id >= pieces) continue;
      if (squares === 0) (id < firstNew ? zeroOld : zeroNew).push(id);
      const hash = hashOf(new Uint16Array(bytes.buffer, bytes.byteOffset + i * rowBytes, rowBytes / 2));
      if (id >= firstNew) {
        if (seen.has(hash)) duplicates++;
        timesNew.set(hash, (timesNew.get(hash) ?? 0) + 1);
      }
      seen.add(hash);
    }
  }
  return {
    notFinite,
    zeroOld,
    zeroNew,
    oldMedian: spreadOf(norms.subarray(0, firstNew)).median,
    newMedian: spreadOf(norms.subarray(firstNew, Math.max(firstNew, pieces))).median,
    duplicates,
    commonest: [...timesNew.values()].reduce((most, n) => Math.max(most, n), 0),
  };
}

/** Rows in which two matrices differ, of the first `rows`; both have rows of the same bytes. */
export async function compareRows(a: HfWeights, nameA: string, b: HfWeights, nameB: string, rows: number): Promise<{ count: number; first: number }> {
  const info = a.info(nameA);
  const rowBytes = info.bytes / Math.max(1, info.shape[0]);
  const step = Math.max(1, Math.floor(BLOCK_BYTES / Math.max(1, rowBytes)));
  let count = 0;
  let first = -1;
  for (let at = 0; at < rows; at += step) {
    const length = Math.min(step, rows - at);
    const [x, y] = [await a.readRows(nameA, at, length), await b.readRows(nameB, at, length)];
    if (sameBytes(x, y)) continue;
    for (let i = 0; i < length; i++) {
      if (sameBytes(x.subarray(i * rowBytes, (i + 1) * rowBytes), y.subarray(i * rowBytes, (i + 1) * rowBytes))) continue;
      count++;
      if (first < 0) first = at + i;
    }
  }
  return { count, first };
}
