/**
 * Rows of a stored matrix in double precision: decoded from the file's bytes as they are needed, added up, and rounded once to the file's type.
 * The store keeps raw bytes under a budget, so a matrix of any size can be read at random in bounded memory; what does not fit is read again.
 */
import { invariant, ScionError } from '../../base/errors.ts';
import { doubleToBfloat, doubleToHalf, fromBfloatBits, fromHalfBits } from '../../base/half.ts';

/** Element types whose rows can be averaged. */
export const ROW_BYTES = { F16: 2, BF16: 2, F32: 4, F64: 8 } as const;
export type RowDtype = keyof typeof ROW_BYTES;

export const isRowDtype = (dtype: string): dtype is RowDtype => Object.hasOwn(ROW_BYTES, dtype);

/** f32 values of all 65,536 patterns of a 16-bit type, made when first needed. */
const tables = new Map<RowDtype, Float32Array>();

function tableOf(dtype: 'F16' | 'BF16'): Float32Array {
  let table = tables.get(dtype);
  if (table === undefined) {
    const value = dtype === 'F16' ? fromHalfBits : fromBfloatBits;
    table = Float32Array.from({ length: 65536 }, (_, bits) => value(bits));
    tables.set(dtype, table);
  }
  return table;
}

/** Reads numbers out of little-endian bytes and writes them back; indices count elements. */
export class Codec {
  readonly dtype: RowDtype;
  readonly #halves: Uint16Array | null;
  readonly #table: Float32Array | null;
  readonly #floats: Float32Array | Float64Array | null;

  /** Over bytes whose offset is a multiple of the width. */
  constructor(dtype: RowDtype, bytes: Uint8Array<ArrayBuffer>) {
    this.dtype = dtype;
    const count = Math.floor(bytes.length / ROW_BYTES[dtype]);
    const half = dtype === 'F16' || dtype === 'BF16';
    this.#halves = half ? new Uint16Array(bytes.buffer, bytes.byteOffset, count) : null;
    this.#table = half ? tableOf(dtype) : null;
    this.#floats = half
      ? null
      : dtype === 'F32'
        ? new Float32Array(bytes.buffer, bytes.byteOffset, count)
        : new Float64Array(bytes.buffer, bytes.byteOffset, count);
  }

  /** sum[j] += weight * x[at + j]. */
  add(sum: Float64Array, at: number, weight: number): void {
    const halves = this.#halves;
    const table = this.#table;
    if (halves !== null && table !== null) {
      if (weight === 1) for (let j = 0; j < sum.length; j++) sum[j] += table[halves[at + j]];
      else for (let j = 0; j < sum.length; j++) sum[j] += weight * table[halves[at + j]];
      return;
    }
    const floats = this.#floats ?? new Float64Array();
    for (let j = 0; j < sum.length; j++) sum[j] += weight * floats[at + j];
  }

  /** x[at + j] = values[j], rounded once to nearest even. */
  put(values: Float64Array, at: number): void {
    if (this.#floats !== null) this.#floats.set(values, at);
    else if (this.#halves !== null) {
      const out = this.#halves.subarray(at, at + values.length);
      if (this.dtype === 'F16') doubleToHalf(values, out);
      else doubleToBfloat(values, out);
    }
  }
}

/** Bytes whose offset fits the width of any type. */
export const alignedBytes = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => (bytes.byteOffset % 8 === 0 ? bytes : bytes.slice());

/** Reads rows `first` to `first + count` as they are stored. */
export type ReadRows = (first: number, count: number) => Promise<Uint8Array<ArrayBuffer>>;

/** Rows at random, at most `budget` bytes of them held. */
export class RowStore {
  readonly columns: number;
  /** Rows that can be held at once, hence the most that one `load` may ask for. */
  readonly capacity: number;
  readonly #read: ReadRows;
  readonly #rowBytes: number;
  readonly #dtype: RowDtype;
  readonly #slotOf = new Map<number, number>();
  readonly #free: number[] = [];
  #bytes: Uint8Array<ArrayBuffer>;
  #codec: Codec;

  constructor(read: ReadRows, rows: number, columns: number, dtype: RowDtype, budget: number) {
    this.columns = columns;
    this.#read = read;
    this.#dtype = dtype;
    this.#rowBytes = columns * ROW_BYTES[dtype];
    this.capacity = Math.max(1, Math.min(rows, Math.floor(budget / this.#rowBytes)));
    this.#bytes = new Uint8Array(0);
    this.#codec = new Codec(dtype, this.#bytes);
  }

  /** Has these rows at hand; others may go to make room. Neighbours are read together. */
  async load(ids: Iterable<number>): Promise<void> {
    const wanted = new Set(ids);
    const missing = [...wanted].filter((id) => !this.#slotOf.has(id)).sort((a, b) => a - b);
    if (missing.length === 0) return;
    invariant(wanted.size <= this.capacity, `${wanted.size} rows at once, room for ${this.capacity}`);
    for (const id of this.#slotOf.keys()) {
      if (this.#slotOf.size + missing.length <= this.capacity) break;
      if (!wanted.has(id)) this.#drop(id);
    }
    this.#grow(this.#slotOf.size + missing.length);
    for (let i = 0; i < missing.length; ) {
      let end = i + 1;
      // At most 4 MiB a read, so that what is being read does not count much beside the budget.
      while (end < missing.length && missing[end] === missing[end - 1] + 1 && (end - i + 1) * this.#rowBytes <= 4 << 20) end++;
      const bytes = await this.#read(missing[i], end - i);
      for (let k = i; k < end; k++) {
        const slot = this.#free.pop() ?? 0;
        this.#slotOf.set(missing[k], slot);
        this.#bytes.set(bytes.subarray((k - i) * this.#rowBytes, (k - i + 1) * this.#rowBytes), slot * this.#rowBytes);
      }
      i = end;
    }
  }

  /** sum += weight * row; the row must be loaded. */
  add(sum: Float64Array, id: number, weight: number): void {
    const slot = this.#slotOf.get(id);
    invariant(slot !== undefined, `row ${id} is not loaded`);
    this.#codec.add(sum, slot * this.columns, weight);
  }

  #drop(id: number): void {
    const slot = this.#slotOf.get(id);
    if (slot === undefined) return;
    this.#slotOf.delete(id);
    this.#free.push(slot);
  }

  /** Room for so many rows, doubling: most methods need a small part of the matrix. */
  #grow(rows: number): void {
    const have = this.#bytes.length / this.#rowBytes;
    if (rows <= have) return;
    const slots = Math.min(this.capacity, Math.max(rows, 2 * have, 64));
    const bytes = new Uint8Array(slots * this.#rowBytes);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.#codec = new Codec(this.#dtype, bytes);
    for (let slot = slots - 1; slot >= have; slot--) this.#free.push(slot);
  }
}

/** What is known of the old rows of a matrix after they were read once. */
export interface RowStatistics {
  /** Mean row. */
  readonly mean: Float64Array;
  /** Mean and standard deviation over all numbers. */
  readonly center: number;
  readonly deviation: number;
  /** Euclidean length of each row. */
  readonly norms: Float64Array;
}

/** Gathers the statistics of rows as they pass. */
export class RowScan {
  readonly #columns: number;
  readonly #sum: Float64Array;
  readonly #row: Float64Array;
  readonly #norms: Float64Array;
  #seen = 0;
  #total = 0;
  #squares = 0;

  constructor(rows: number, columns: number) {
    this.#columns = columns;
    this.#sum = new Float64Array(columns);
    this.#row = new Float64Array(columns);
    this.#norms = new Float64Array(rows);
  }

  /** Rows as stored, in order. Throws `input` for the first that holds a NaN or an infinity. */
  take(bytes: Uint8Array<ArrayBuffer>, dtype: RowDtype, what: string): void {
    const codec = new Codec(dtype, alignedBytes(bytes));
    const rows = bytes.length / (this.#columns * ROW_BYTES[dtype]);
    const row = this.#row;
    const sum = this.#sum;
    for (let r = 0; r < rows; r++) {
      row.fill(0);
      codec.add(row, r * this.#columns, 1);
      let squares = 0;
      let total = 0;
      for (let j = 0; j < row.length; j++) {
        const x = row[j];
        squares += x * x;
        total += x;
        sum[j] += x;
      }
      if (!Number.isFinite(squares))
        throw new ScionError('input', `${what}: row ${this.#seen} holds a NaN or an infinity; nothing can be made of it`, { row: this.#seen });
      this.#norms[this.#seen++] = Math.sqrt(squares);
      this.#total += total;
      this.#squares += squares;
    }
  }

  finish(): RowStatistics {
    const n = this.#seen * this.#columns;
    const center = this.#total / n;
    return {
      mean: this.#sum.map((x) => x / this.#seen),
      center,
      deviation: Math.sqrt(Math.max(0, this.#squares / n - center * center)),
      norms: this.#norms.subarray(0, this.#seen),
    };
  }
}

/** Smallest, median and largest of some lengths; zeros for none. */
export function spreadOf(norms: Float64Array): { minimum: number; median: number; maximum: number } {
  if (norms.length === 0) return { minimum: 0, median: 0, maximum: 0 };
  const sorted = norms.slice().sort();
  return { minimum: sorted[0], median: sorted[sorted.length >> 1], maximum: sorted[sorted.length - 1] };
}
