/**
 * Writing a grown matrix as a stream: old rows byte for byte, then new ones in blocks, each rounded once. At most the row store's
 * budget and a few blocks are in memory, whatever the matrix. Old rows are read once; their statistics are taken as they pass.
 */
import { invariant, ScionError } from '../../base/errors.ts';
import type { HfWeights } from '../../formats/hf-shards.ts';
import type { TensorInfo } from '../../formats/safetensors.ts';
import type { TensorEntry } from '../../formats/safetensors-write.ts';
import type { RowMaker } from './methods.ts';
import { Codec, isRowDtype, ROW_BYTES, type RowDtype, RowScan, RowStore, spreadOf } from './rows.ts';
import type { NewWord } from './sources.ts';

/** Bytes of a block that is read or written at once. */
const BLOCK_BYTES = 4 << 20;

/** Lengths of the rows of a matrix. */
export interface MatrixReport {
  readonly tensor: string;
  readonly dtype: RowDtype;
  readonly old: { readonly minimum: number; readonly median: number; readonly maximum: number };
  readonly fresh: { readonly minimum: number; readonly median: number; readonly maximum: number };
}

/** How a matrix grows. */
export interface MatrixOptions {
  /** Old rows kept: the base tokenizer's size. What the stored matrix has beyond is padding, and goes. */
  readonly baseSize: number;
  readonly words: readonly NewWord[];
  readonly maker: RowMaker;
  /** Most bytes of old rows held for random access. */
  readonly rowBudget: number;
  readonly onRows: (count: number) => void;
  readonly onDone: (report: MatrixReport) => void;
}

/** The type of a tensor whose rows can be averaged; kind `input` naming it for others. */
export function rowDtype(info: TensorInfo, what: string): RowDtype {
  if (isRowDtype(info.dtype)) return info.dtype;
  throw new ScionError(
    'input',
    `${what} is stored as ${info.dtype}; new rows can be made for F16, BF16, F32 and F64. Convert the model first (scion import --dtype bf16)`,
    {
      tensor: info.name,
      dtype: info.dtype,
    },
  );
}

/** The entry of a grown matrix; its bytes are made when they are asked for. */
export function grownEntry(weights: HfWeights, tensor: string, options: MatrixOptions): TensorEntry {
  const info = weights.info(tensor);
  const dtype = rowDtype(info, tensor);
  const shape = [options.baseSize + options.words.length, info.shape[1]];
  return { name: tensor, dtype, shape, chunks: () => grownRows(weights, info, dtype, options) };
}

async function* grownRows(weights: HfWeights, info: TensorInfo, dtype: RowDtype, options: MatrixOptions): AsyncGenerator<Uint8Array> {
  const { baseSize, words, maker, onRows } = options;
  const columns = info.shape[1];
  const rowBytes = columns * ROW_BYTES[dtype];
  const blockRows = Math.max(1, Math.floor(BLOCK_BYTES / rowBytes));
  const scan = new RowScan(baseSize, columns);
  for (let first = 0; first < baseSize; first += blockRows) {
    const count = Math.min(blockRows, baseSize - first);
    const bytes = await weights.readRows(info.name, first, count);
    scan.take(bytes, dtype, info.name);
    yield bytes;
    onRows(count);
  }
  const old = scan.finish();
  const store = new RowStore((first, count) => weights.readRows(info.name, first, count), baseSize, columns, dtype, options.rowBudget);
  const row = new Float64Array(columns);
  const norms = new Float64Array(words.length);
  for (let first = 0; first < words.length; ) {
    const { count, ids } = blockOf(words, first, blockRows, maker, store.capacity);
    await store.load(ids);
    const bytes = new Uint8Array(count * rowBytes);
    const codec = new Codec(dtype, bytes);
    for (let i = 0; i < count; i++) {
      const word = words[first + i];
      maker.make(word, row, store, old);
      codec.put(row, i * columns);
      norms[first + i] = lengthOf(codec, row, i * columns);
      if (!Number.isFinite(norms[first + i]))
        throw new ScionError(
          'numeric',
          `${info.name}: the new row ${word.id} leaves the range of ${dtype}; store the base in a wider type, or choose another --method`,
          {
            id: word.id,
          },
        );
    }
    yield bytes;
    onRows(count);
    first += count;
  }
  options.onDone({ tensor: info.name, dtype, old: spreadOf(old.norms), fresh: spreadOf(norms) });
}

/** The next words whose old rows fit into the store together. */
function blockOf(words: readonly NewWord[], first: number, most: number, maker: RowMaker, capacity: number): { count: number; ids: Set<number> } {
  const ids = new Set<number>();
  let count = 0;
  for (; count < most && first + count < words.length; count++) {
    const needed = maker.needs(words[first + count]);
    const extra = needed.filter((id) => !ids.has(id));
    if (count > 0 && ids.size + extra.length > capacity) break;
    for (const id of extra) ids.add(id);
  }
  invariant(ids.size <= capacity, `one new row needs ${ids.size} old ones, room for ${capacity}`);
  return { count, ids };
}

/** The length of a row as it is stored; `scratch` is overwritten. */
function lengthOf(codec: Codec, scratch: Float64Array, at: number): number {
  scratch.fill(0);
  codec.add(scratch, at, 1);
  let sum = 0;
  for (let j = 0; j < scratch.length; j++) sum += scratch[j] * scratch[j];
  return Math.sqrt(sum);
}

/** An entry that copies a tensor as it is. */
export function copiedEntry(weights: HfWeights, info: TensorInfo): TensorEntry {
  return {
    name: info.name,
    dtype: info.dtype,
    shape: info.shape,
    async *chunks() {
      const rows = info.shape[0] ?? 0;
      const rowBytes = rows === 0 ? 0 : info.bytes / rows;
      // A scalar, an empty tensor, or rows of no whole bytes: small by nature.
      if (info.shape.length === 0 || rowBytes === 0 || !Number.isInteger(rowBytes)) {
        yield await weights.read(info.name);
        return;
      }
      const count = Math.max(1, Math.floor(BLOCK_BYTES / rowBytes));
      for (let first = 0; first < rows; first += count) yield await weights.readRows(info.name, first, Math.min(count, rows - first));
    },
  };
}
