/**
 * llama2.c `.bin`, version 0 (the one without a magic number): seven int32, then all weights as
 * f32, each kind for all layers together. Read only. Tensors come out under their Hugging Face
 * names but with the file's own rows: llama2.c rotates interleaved pairs (2i, 2i+1), so whoever
 * builds a model permutes the rows of q and k. The rotary tables at the end are not needed.
 */
import { ScionError } from '../base/errors.ts';
import type { FileReader } from '../host/types.ts';
import { asReader, checkedProduct, readExactly, shown } from './bytes.ts';
import { decodeF32 } from './dtypes.ts';
import type { TensorInfo } from './safetensors.ts';

const HEADER_BYTES = 28;
/** The magic number of versions 1 and 2, "ak42". */
const MAGIC_LATER = 0x616b3432;
/** Bounds the table of names a hostile header can make us build; real models have at most 200 layers. */
const MAX_LAYERS = 4096;

/** The header's numbers under the names of Hugging Face's LlamaConfig. */
export interface Llama2cConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly headSize: number;
  /** Whether the output weights are the embedding; the file says no by a negative vocabulary size. */
  readonly tied: boolean;
}

function parseHeader(view: DataView, what: string): Llama2cConfig {
  if (view.getUint32(0, true) === MAGIC_LATER) {
    const version = view.getInt32(4, true);
    throw new ScionError('format', `${what}: llama2.c version ${version}; version 0 is read, which export.py of llama2.c writes with --version 0`, { version });
  }
  const [dim, hidden, layers, heads, kvHeads, vocab, positions] = Array.from({ length: 7 }, (_, i) => view.getInt32(4 * i, true));
  const numbers = { dim, hidden_dim: hidden, n_layers: layers, n_heads: heads, n_kv_heads: kvHeads, vocab_size: vocab, seq_len: positions };
  const listed = Object.entries(numbers)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
  const refuse = (fault: string): never => {
    throw new ScionError('format', `${what}: ${fault}; the header says ${listed}. Is this a llama2.c version 0 file?`, numbers);
  };
  if ([dim, hidden, layers, heads, kvHeads, positions].some((n) => n <= 0) || vocab === 0)
    refuse('every number must be positive (only vocab_size may be negative)');
  if (layers > MAX_LAYERS) refuse(`more than ${MAX_LAYERS} layers`);
  if (dim % heads !== 0 || (dim / heads) % 2 !== 0) refuse('n_heads must divide dim into heads of an even size');
  if (heads % kvHeads !== 0) refuse('n_kv_heads must divide n_heads');
  return {
    hiddenSize: dim,
    intermediateSize: hidden,
    layers,
    heads,
    kvHeads,
    vocabSize: Math.abs(vocab),
    maxPositions: positions,
    headSize: dim / heads,
    tied: vocab > 0,
  };
}

/** The kinds of weights in file order: shape of one layer, and whether the kind has one a layer. */
function layout(config: Llama2cConfig): { name: string; shape: number[]; layered: boolean }[] {
  const { hiddenSize: D, intermediateSize: F, kvHeads, headSize, vocabSize: V, maxPositions, tied } = config;
  const layer = (name: string, ...shape: number[]) => ({ name, shape, layered: true });
  const single = (name: string, ...shape: number[]) => ({ name, shape, layered: false });
  return [
    single('model.embed_tokens.weight', V, D),
    layer('input_layernorm.weight', D),
    layer('self_attn.q_proj.weight', D, D),
    layer('self_attn.k_proj.weight', kvHeads * headSize, D),
    layer('self_attn.v_proj.weight', kvHeads * headSize, D),
    layer('self_attn.o_proj.weight', D, D),
    layer('post_attention_layernorm.weight', D),
    layer('mlp.gate_proj.weight', F, D),
    layer('mlp.down_proj.weight', D, F),
    layer('mlp.up_proj.weight', F, D),
    single('model.norm.weight', D),
    single('rope.cos', maxPositions, headSize / 2),
    single('rope.sin', maxPositions, headSize / 2),
    ...(tied ? [] : [single('lm_head.weight', V, D)]),
  ];
}

/** An open file. `tensors` holds the weights by HF name, without the rotary tables. */
export class Llama2cFile {
  readonly name: string;
  readonly config: Llama2cConfig;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  private readonly reader: FileReader;

  constructor(reader: FileReader, name: string, config: Llama2cConfig, tensors: ReadonlyMap<string, TensorInfo>) {
    this.reader = reader;
    this.name = name;
    this.config = config;
    this.tensors = tensors;
  }

  /** A tensor as f32, row-major (out, in), rows as in the file. */
  async readF32(tensor: string): Promise<Float32Array<ArrayBuffer>> {
    const info = this.tensors.get(tensor);
    if (!info) throw new ScionError('input', `${this.name} has no tensor ${shown(tensor)}; it has ${this.tensors.size} others`, { tensor });
    return decodeF32(await readExactly(this.reader, info.offset, info.bytes, `${this.name}: tensor ${shown(tensor)}`), 'F32', this.name);
  }

  close(): Promise<void> {
    return this.reader.close();
  }
}

/**
 * Opens a file or bytes. The size must be exactly what the header calls for, else a ScionError of
 * kind `format`; the check runs before anything is built from the header.
 */
export async function openLlama2c(source: FileReader | Uint8Array, name: string): Promise<Llama2cFile> {
  const reader = asReader(source);
  const start = await readExactly(reader, 0, HEADER_BYTES, `${name}: header`);
  const config = parseHeader(new DataView(start.buffer, start.byteOffset, HEADER_BYTES), name);
  const kinds = layout(config);
  let expected: number | null = HEADER_BYTES;
  for (const { shape, layered } of kinds) {
    const bytes = checkedProduct([4, layered ? config.layers : 1, ...shape]);
    expected = bytes === null || expected === null || expected + bytes > Number.MAX_SAFE_INTEGER ? null : expected + bytes;
  }
  if (expected !== reader.size) {
    throw new ScionError(
      'format',
      `${name}: its header calls for ${expected ?? 'more than 2^53'} bytes, the file has ${reader.size}; is it cut, or no llama2.c version 0 file?`,
      {
        expected,
        size: reader.size,
      },
    );
  }
  const tensors = new Map<string, TensorInfo>();
  let offset = HEADER_BYTES;
  for (const { name: kind, shape, layered } of kinds) {
    const bytes = 4 * shape.reduce((a, b) => a * b, 1);
    for (let i = 0; i < (layered ? config.layers : 1); i++) {
      const full = layered ? `model.layers.${i}.${kind}` : kind;
      if (!kind.startsWith('rope.')) tensors.set(full, { name: full, dtype: 'F32', shape, offset, bytes });
      offset += bytes;
    }
  }
  return new Llama2cFile(reader, name, config, tensors);
}
