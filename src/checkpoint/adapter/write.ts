/**
 * An adapter written as a folder that PEFT opens: `adapter_config.json`, `adapter_model.safetensors`. Fused factors are
 * cut into PEFT's pair a module, one pair in memory at a time; embeddings and heads trained beside the adapter go in whole
 * (`modules_to_save`). The folder appears under its name only when all of it is on the disk.
 */
import { ScionError } from '../../base/errors.ts';
import { dirName, joinPath } from '../../base/path.ts';
import { newRunId } from '../../base/run-id.ts';
import { shown } from '../../formats/bytes.ts';
import { encodeF32 } from '../../formats/dtypes.ts';
import { jsonBytes } from '../../formats/json.ts';
import { entryBytes, type TensorEntry, writeSafetensors } from '../../formats/safetensors-write.ts';
import type { HostFiles } from '../../host/types.ts';
import type { LlamaConfig } from '../../nn/config.ts';
import { makeDurableDir } from '../folders.ts';
import { type ExportDtype, lastOne } from '../hf.ts';
import type { ReadParameter } from '../source.ts';
import { ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME, type AdapterSpec, adapterConfigToJson, checkAdapterSpec, SAVED_MODULES } from './config.ts';
import { type AdapterModule, cutPair, listAdapterModules, loraA, loraB, PEFT_PREFIX, peftPair } from './modules.ts';

const FILE_TYPE = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;
/** What the folder takes beside the tensors. */
const SLACK_BYTES = 1 << 20;

/** How an adapter is written. */
export interface WriteAdapterOptions {
  /** Of the file; f32 by default, as PEFT keeps adapters. */
  readonly dtype?: ExportDtype;
  /** Path or hub name of the model it was trained on; a reader takes it from there. */
  readonly baseModel?: string | null;
  /** Modules trained whole beside it: `embed_tokens`, `lm_head`. A tied model's embedding goes in under both names. */
  readonly savedModules?: readonly string[];
  /**
   * Factors as they were at the start, where the base gave them away (PiSSA, Meng et al. 2024): the adapter is then
   * written for the untouched base, as B A - B0 A0 of twice the rank.
   */
  readonly initial?: ReadParameter | null;
  /** Written beside by name: tokenizer files, a README. */
  readonly beside?: Readonly<Record<string, Uint8Array>>;
}

/** The spec under which B A - B0 A0 has the same scale as B A had. */
function widened(spec: AdapterSpec): AdapterSpec {
  return { ...spec, rank: 2 * spec.rank, alpha: spec.alpha * (spec.rslora ? Math.SQRT2 : 2) };
}

/** [rows, n] and [rows, n] side by side, the second negated. */
function besideNegated(left: Float32Array, right: Float32Array, n: number): Float32Array {
  const out = new Float32Array(left.length + right.length);
  for (let r = 0; r < left.length / n; r++) {
    out.set(left.subarray(r * n, (r + 1) * n), 2 * r * n);
    for (let k = 0; k < n; k++) out[(2 * r + 1) * n + k] = -right[r * n + k];
  }
  return out;
}

/** A's and B's entries of one module. */
function moduleEntries(m: AdapterModule, spec: AdapterSpec, read: ReadParameter, initial: ReadParameter | null, dtype: ExportDtype): TensorEntry[] {
  const pairOf = async (from: ReadParameter, which: 'a' | 'b'): Promise<Float32Array> => {
    // The half that is not asked for is not read: zeros cut as well as numbers.
    const a =
      which === 'a' ? await from(loraA(m.parameter)) : new Float32Array(m.module.endsWith('embed_tokens') ? m.out * spec.rank : spec.rank * m.count * m.in);
    const b = which === 'b' ? await from(loraB(m.parameter)) : new Float32Array((m.row + m.out) * spec.rank * m.count);
    return cutPair(m, spec.rank, a, b)[which];
  };
  const names = peftPair(m, initial === null ? spec.rank : 2 * spec.rank);
  const entry = (which: 'a' | 'b', now: () => Promise<Float32Array>): TensorEntry => ({
    name: names[which].name,
    dtype: FILE_TYPE[dtype],
    shape: names[which].shape,
    async *chunks() {
      yield encodeF32(await now(), FILE_TYPE[dtype]);
    },
  });
  return [
    entry('a', async () => {
      const a = await pairOf(read, 'a');
      if (initial === null) return a;
      const both = new Float32Array(2 * a.length);
      both.set(a);
      both.set(await pairOf(initial, 'a'), a.length);
      return both;
    }),
    entry('b', async () => {
      const b = await pairOf(read, 'b');
      return initial === null ? b : besideNegated(b, await pairOf(initial, 'b'), spec.rank);
    }),
  ];
}

/** The entries of modules that go in whole. */
function savedEntries(c: LlamaConfig, saved: readonly string[], read: ReadParameter, dtype: ExportDtype): TensorEntry[] {
  return saved.map((name) => ({
    name: `${PEFT_PREFIX}${name === 'lm_head' ? 'lm_head' : 'model.embed_tokens'}.weight`,
    dtype: FILE_TYPE[dtype],
    shape: [c.vocabSize, c.hiddenSize],
    async *chunks() {
      yield encodeF32(await read(name === 'lm_head' && !c.tied ? 'head' : 'embed'), FILE_TYPE[dtype]);
    },
  }));
}

function savedModulesOf(c: LlamaConfig, spec: AdapterSpec, asked: readonly string[]): string[] {
  for (const name of asked) {
    if (!SAVED_MODULES.some((known) => known === name))
      throw new ScionError('input', `${shown(name)} cannot be saved whole with an adapter; ${SAVED_MODULES.join(' and ')} can`, { name });
  }
  const saved = SAVED_MODULES.filter((name) => asked.includes(name) || (c.tied && asked.length > 0));
  const both = saved.find((name) => spec.targets.includes(name));
  if (both !== undefined)
    throw new ScionError('input', `${both} is a target of the adapter and trained whole; PEFT has no such adapter. Take it out of the targets`, {
      module: both,
    });
  return saved;
}

/**
 * Writes an adapter folder. `read` gives scion's parameters by name: `layers.0.qkv.lora_a` and so on, `embed` and `head` where they
 * are saved whole.
 * @returns the names of the files. @throws ScionError `input` for an adapter that cannot be or a folder that holds something, `space` if
 * it cannot fit.
 */
export async function writeAdapter(
  files: HostFiles,
  folder: string,
  config: LlamaConfig,
  spec: AdapterSpec,
  read: ReadParameter,
  options: WriteAdapterOptions = {},
): Promise<string[]> {
  const { dtype = 'f32', baseModel = null, savedModules = [], initial = null, beside = {} } = options;
  checkAdapterSpec(spec);
  const saved = savedModulesOf(config, spec, savedModules);
  const stat = await files.stat(folder);
  if (stat && (!stat.isDirectory || (await files.list(folder)).length > 0))
    throw new ScionError('input', `${folder} exists and is not empty; choose another --out or remove it`, { folder });
  const now = lastOne(read);
  const before = initial && lastOne(initial);
  const modules = listAdapterModules(config, spec.targets);
  const entries = [...modules.flatMap((m) => moduleEntries(m, spec, now, before, dtype)), ...savedEntries(config, saved, now, dtype)];
  const written = initial === null ? spec : widened(spec);
  const small: Record<string, Uint8Array> = { ...beside, [ADAPTER_CONFIG_NAME]: jsonBytes(adapterConfigToJson(written, saved, baseModel)) };
  const needed = entries.reduce((sum, e) => sum + entryBytes(e), 0) + Object.values(small).reduce((sum, b) => sum + b.length, 0) + SLACK_BYTES;
  const parent = dirName(folder);
  await makeDurableDir(files, parent);
  const free = await files.free(parent);
  if (free !== null && free < needed)
    throw new ScionError('space', `the adapter needs ${needed} bytes below ${parent}, ${free} are free; free some or choose another --out`, { needed, free });
  const aside = `${folder}.tmp-${newRunId()}`;
  try {
    await files.makeDir(aside);
    for (const [name, bytes] of Object.entries(small)) await writeDurable(files, joinPath(aside, name), async (w) => w.write(bytes));
    await writeDurable(files, joinPath(aside, ADAPTER_WEIGHTS_NAME), async (w) => void (await writeSafetensors(w, entries, { format: 'pt' })));
    await files.syncDir(aside);
    await files.rename(aside, folder);
    await files.syncDir(parent);
    return [...Object.keys(small), ADAPTER_WEIGHTS_NAME];
  } catch (error) {
    await files.remove(aside).catch(() => undefined);
    throw error;
  }
}

type Writer = Awaited<ReturnType<HostFiles['create']>>;

async function writeDurable(files: HostFiles, path: string, fill: (writer: Writer) => Promise<void>): Promise<void> {
  const writer = await files.create(path);
  try {
    await fill(writer);
    await writer.sync();
  } finally {
    await writer.close();
  }
}
