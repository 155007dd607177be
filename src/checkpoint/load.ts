/**
 * Loading: the newest checkpoint whose every file matches its manifest, else the one before, with the reason.
 * A damaged file is never half-used. A checkpoint that is sound but belongs to another model or a newer version of
 * scion is an error instead: an older checkpoint of the same run would not fit better.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { decodeUtf8 } from '../formats/bytes.ts';
import { type HasherMaker, hasherMaker } from '../host/hashing.ts';
import type { HostFiles } from '../host/types.ts';
import { emaName, momentName, weightName } from '../nn/parameters.ts';
import { quantColumns, scalesName, weightsOf, wordsName } from '../nn/quantized.ts';
import type { StateKind, StateSpec, States } from '../tensor/states.ts';
import { sizeOf } from '../tensor/types.ts';
import { type CheckpointFolder, listCheckpoints } from './folders.ts';
import { type Manifest, SCHEMA_VERSION, TRAINER_NAME, verifyCheckpoint } from './manifest.ts';
import { type FoundState, KindParts } from './parts.ts';
import { derivedWeight, exactBytes, halfBytes, heldBytes, kindFile, PIECE_BYTES, type SplitStates, type StateStore, savedStates } from './store.ts';

/** Bytes written to a device before they are waited for: a queue's staging would otherwise double the model. */
const FLUSH_BYTES = 64 << 20;

/** Where a checkpoint goes. */
export interface LoadOptions {
  readonly session: StateStore;
  readonly states: States;
  /** Tensors of which this rank has parts. */
  readonly split?: SplitStates;
  /** Refuses a checkpoint of another config hash. */
  readonly configHash?: string;
  readonly sha256?: HasherMaker;
}

/** A checkpoint that was passed over. */
export interface SkippedCheckpoint {
  readonly path: string;
  readonly step: number;
  /** Names the file and what is wrong with it. */
  readonly problem: string;
}

/** What was loaded. */
export interface LoadResult {
  readonly path: string;
  readonly manifest: Manifest;
  /** What the trainer gave when it saved. */
  readonly trainer: unknown;
  /** Newer ones that did not verify; for the caller to report. */
  readonly skipped: readonly SkippedCheckpoint[];
}

/** A verified checkpoint of a folder. */
export interface FoundCheckpoint {
  readonly path: string;
  readonly manifest: Manifest;
  readonly skipped: readonly SkippedCheckpoint[];
}

/** Damage, as far as this reader can tell; anything else is no reason to go back a checkpoint. */
const isDamage = (error: unknown): error is ScionError =>
  isScionError(error) && ['format', 'input', 'io'].includes(error.kind) && error.details.schema === undefined;

/**
 * The newest checkpoint of a folder that verifies, or null if there is none at all.
 * @throws ScionError `format` if there are some and none verifies, naming each and its damage.
 */
export async function findLatest(files: HostFiles, dir: string, options: { sha256?: HasherMaker } = {}): Promise<FoundCheckpoint | null> {
  const sha256 = await hasherMaker(options.sha256);
  const candidates: CheckpointFolder[] = await listCheckpoints(files, dir);
  const skipped: SkippedCheckpoint[] = [];
  for (const { path, step } of candidates) {
    try {
      return { path, manifest: await verifyCheckpoint(files, path, sha256), skipped };
    } catch (error) {
      if (!isDamage(error)) throw error;
      skipped.push({ path, step, problem: error.message });
    }
  }
  if (skipped.length === 0) return null;
  throw new ScionError('format', `${dir}: none of its ${skipped.length} checkpoints is intact: ${skipped.map((s) => s.problem).join('; ')}`, { dir, skipped });
}

/**
 * Loads the newest sound checkpoint of a folder into a session's states; gradients become zero (unless they were saved)
 * and 16-bit weights are made again from their masters. Null if the folder has no checkpoint.
 * @throws ScionError `format` if none verifies, `input` if it belongs to another model or config.
 */
export async function loadLatest(files: HostFiles, dir: string, options: LoadOptions): Promise<LoadResult | null> {
  const found = await findLatest(files, dir, options);
  return found && { ...found, trainer: await loadFound(files, found, options) };
}

/** Loads a checkpoint that was verified before; gives the trainer's state. */
export function loadFound(files: HostFiles, found: FoundCheckpoint, options: LoadOptions): Promise<unknown> {
  return loadStates(files, found.path, found.manifest, options);
}

/** Loads one checkpoint folder, after verifying it. Errors as `loadLatest`, but damage is thrown. */
export async function loadCheckpoint(files: HostFiles, path: string, options: LoadOptions): Promise<LoadResult> {
  const manifest = await verifyCheckpoint(files, path, await hasherMaker(options.sha256));
  return { path, manifest, trainer: await loadStates(files, path, manifest, options), skipped: [] };
}

async function loadStates(files: HostFiles, path: string, manifest: Manifest, options: LoadOptions): Promise<unknown> {
  const { states, session, split, configHash } = options;
  if (configHash !== undefined && configHash !== manifest.configHash) {
    throw new ScionError(
      'input',
      `${path} was made with the config hash ${manifest.configHash}, this run has ${configHash}; resume with the same config or choose another --out`,
      {
        path,
        expected: configHash,
        found: manifest.configHash,
      },
    );
  }
  const listed = new Set(manifest.files.map((f) => f.name));
  const open = new Map<StateKind, KindParts>();
  const used = new Set<string>();
  const take = async (kind: StateKind): Promise<KindParts | null> => {
    const parts = await KindParts.open(files, path, kind, listed);
    if (!parts) return null;
    open.set(kind, parts);
    for (const name of parts.files) used.add(name);
    return parts;
  };
  try {
    const problems: string[] = [];
    const gradients = (await take('grad')) !== null;
    const wanted = savedStates(states, gradients);
    for (const [kind, specs] of wanted) {
      const parts = open.get(kind) ?? (await take(kind));
      if (parts) problems.push(...parts.differences(specs.map((spec) => ({ ...spec, shape: split?.wholeShape(spec.name) ?? spec.shape }))));
      else problems.push(`it has no ${kindFile(kind)}`);
    }
    for (const name of listed) if (name.endsWith('.safetensors') && !used.has(name)) problems.push(`it has ${name}, which this run does not use`);
    if (problems.length > 0) {
      const more = problems.length > 5 ? ` and ${problems.length - 5} more` : '';
      throw new ScionError(
        'input',
        `${path} does not fit this model or optimizer: ${problems.slice(0, 5).join('; ')}${more}. Resume with the config it was made with`,
        { path, problems },
      );
    }
    const flusher = new Flusher(session);
    for (const [kind, specs] of wanted) {
      for (const spec of specs) {
        const parts = open.get(kind);
        if (split?.wholeShape(spec.name) && parts) await loadPart(await parts.readF32(spec.name), spec, states, flusher, split);
        else await loadState(parts?.state(spec.name), spec, states, flusher);
      }
    }
    if (!gradients) session.clearKind('grad');
    await flusher.flush();
  } finally {
    await Promise.all([...open.values()].map((parts) => parts.close()));
  }
  return readTrainer(files, path);
}

/** Writes that are waited for now and then: reading a buffer back is the one way to wait that every store has. */
class Flusher {
  private readonly store: StateStore;
  private pending = 0;
  private last: { readonly key: string; readonly offset: number } | null = null;

  constructor(store: StateStore) {
    this.store = store;
  }

  async write(key: string, offset: number, bytes: Uint8Array): Promise<void> {
    this.store.writeBytes(key, offset, bytes);
    this.pending += bytes.length;
    this.last = { key, offset };
    if (this.pending >= FLUSH_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.last) await this.store.readBytes(this.last.key, this.last.offset, 4);
    this.pending = 0;
  }
}

/** Writes this rank's part of a whole state. */
async function loadPart(values: Float32Array, spec: StateSpec, states: States, flusher: Flusher, split: SplitStates): Promise<void> {
  const part = split.cutWhole(spec.name, values);
  const bytes = new Uint8Array(part.buffer);
  const half = derivedWeight(states, spec);
  for (const [state, content] of [[spec, bytes], ...(half ? [[half, halfBytes(bytes)] as const] : [])] as const) {
    const place = states.place(state.name);
    const own = cut(content, 0, heldBytes(states, state));
    if (own) await flusher.write(place.buffer, place.offset + own.at, own.bytes);
  }
}

/** Writes those elements of a state that lie on this rank, as the files hold them in pieces. */
async function loadState(found: FoundState | undefined, spec: StateSpec, states: States, flusher: Flusher): Promise<void> {
  const half = derivedWeight(states, spec);
  const size = exactBytes(spec) / Math.max(1, sizeOf(spec.shape));
  const own = heldBytes(states, spec);
  const ownHalf = half && heldBytes(states, half);
  const place = states.place(spec.name);
  const halfPlace = half && states.place(half.name);
  for (const { from, count, read } of found?.pieces ?? []) {
    const first = from * size;
    const needed = ranges(first, first + count * size, own, ownHalf && { from: 2 * ownHalf.from, to: 2 * ownHalf.to });
    for (let at = needed.from; at < needed.to; at += PIECE_BYTES) {
      const bytes = await read(at - first, Math.min(PIECE_BYTES, needed.to - at));
      const part = cut(bytes, at, own);
      if (part) await flusher.write(place.buffer, place.offset + part.at, part.bytes);
      const halves = ownHalf && cut(halfBytes(bytes), at / 2, ownHalf);
      if (halves && halfPlace) await flusher.write(halfPlace.buffer, halfPlace.offset + halves.at, halves.bytes);
    }
  }
}

/** The smallest range inside from <= i < to that covers what it shares with the others. */
function ranges(from: number, to: number, ...others: ({ from: number; to: number } | null)[]): { from: number; to: number } {
  const shared = others.flatMap((o) => (o && o.from < to && o.to > from ? [{ from: Math.max(from, o.from), to: Math.min(to, o.to) }] : []));
  return shared.length === 0 ? { from: 0, to: 0 } : { from: Math.min(...shared.map((s) => s.from)), to: Math.max(...shared.map((s) => s.to)) };
}

/** The bytes of a run that begins at `at` that lie inside a range. */
function cut(bytes: Uint8Array<ArrayBuffer>, at: number, { from, to }: { from: number; to: number }): { at: number; bytes: Uint8Array<ArrayBuffer> } | null {
  const [a, b] = [Math.max(at, from), Math.min(at + bytes.length, to)];
  return a < b ? { at: a, bytes: bytes.subarray(a - at, b - at) } : null;
}

/** The trainer's own state of a verified checkpoint. */
export async function readTrainer(files: HostFiles, path: string): Promise<unknown> {
  const name = joinPath(path, TRAINER_NAME);
  try {
    return JSON.parse(decodeUtf8(await files.read(name), name)) as unknown;
  } catch (error) {
    if (isScionError(error)) throw error;
    throw new ScionError('format', `${name}: no JSON, though its SHA-256 is right; it was not written by scion`, { schema: SCHEMA_VERSION }, error);
  }
}

/** An open checkpoint whose parameters are read without a device: for export, and for scoring what was trained. */
export interface OpenCheckpoint {
  readonly manifest: Manifest;
  readonly trainer: unknown;
  /** f32 values of a parameter, by scion's name. */
  read(parameter: string): Promise<Float32Array<ArrayBuffer>>;
  /** f32 values of a parameter's moment; null where it has none. */
  moment(which: 1 | 2, parameter: string): Promise<Float32Array<ArrayBuffer> | null>;
  /** True where the run kept a moving average of what it trains. */
  readonly averaged: boolean;
  /** As `read`, but the moving average of what has one; what did not learn has none and is given as it is. */
  readAverage(parameter: string): Promise<Float32Array<ArrayBuffer>>;
  /** The words of the step state. */
  step(): Promise<Uint32Array>;
  close(): Promise<void>;
}

/** The weights of a parameter that a frozen base keeps as codes and scales. */
async function readQuantised(parts: KindParts, parameter: string, columns: number): Promise<Float32Array<ArrayBuffer>> {
  const name = wordsName(parameter, columns);
  const words = new Uint32Array((await parts.read(name)).slice().buffer);
  return weightsOf(columns, parts.state(name).shape[0], words, await parts.readF32(scalesName(parameter)));
}

/** Verifies and opens one checkpoint folder. @throws ScionError naming the file that is damaged or missing. */
export async function openCheckpoint(files: HostFiles, path: string, options: { sha256?: HasherMaker } = {}): Promise<OpenCheckpoint> {
  const manifest = await verifyCheckpoint(files, path, await hasherMaker(options.sha256));
  const trainer = await readTrainer(files, path);
  const listed = manifest.files.map((f) => f.name);
  const open = new Map<StateKind, KindParts>();
  const part = async (kind: StateKind): Promise<KindParts | null> => {
    const parts = open.get(kind) ?? (await KindParts.open(files, path, kind, listed));
    if (parts) open.set(kind, parts);
    return parts;
  };
  const needed = async (kind: StateKind): Promise<KindParts> => {
    const found = await part(kind);
    if (!found) throw new ScionError('format', `${path} has no ${kindFile(kind)}`, { path });
    return found;
  };
  await needed('param');
  const read = async (parameter: string): Promise<Float32Array<ArrayBuffer>> => {
    const masters = await needed('param');
    if (masters.states.has(parameter)) return masters.readF32(parameter);
    // Frozen matrices of mixed precision have no master: their 16-bit or quantised weights are all there is.
    const halves = await part('weight');
    const columns = quantColumns(halves?.states.keys() ?? [], parameter);
    if (halves && columns !== null) return readQuantised(halves, parameter, columns);
    const half = weightName(parameter);
    return halves?.states.has(half) ? halves.readF32(half) : masters.readF32(parameter);
  };
  const averages = await part('ema');
  return {
    manifest,
    trainer,
    read,
    averaged: averages !== null,
    async readAverage(parameter) {
      const name = emaName(parameter);
      return averages?.states.has(name) ? averages.readF32(name) : read(parameter);
    },
    async moment(which, parameter) {
      const found = await part(`moment${which}`);
      const name = momentName(which, parameter);
      return found?.states.has(name) ? found.readF32(name) : null;
    },
    async step() {
      const bytes = await (await needed('step')).read('step');
      return new Uint32Array(bytes.slice().buffer);
    },
    async close() {
      await Promise.all([...open.values()].map((parts) => parts.close()));
    },
  };
}
