/**
 * Loading: the newest checkpoint whose every file matches its manifest, else the one before, with the reason.
 * A damaged file is never half-used. A checkpoint that is sound but belongs to another model or a newer version of
 * scion is an error instead: an older checkpoint of the same run would not fit better.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { decodeUtf8, readExactly, shown } from '../formats/bytes.ts';
import { openSafetensors, type SafetensorsFile } from '../formats/safetensors.ts';
import { type HasherMaker, hasherMaker } from '../host/hashing.ts';
import type { FileReader, HostFiles } from '../host/types.ts';
import { momentName, weightName } from '../nn/parameters.ts';
import { quantColumns, scalesName, weightsOf, wordsName } from '../nn/quantized.ts';
import type { StateKind, StateSpec, States } from '../tensor/states.ts';
import { typeName } from '../tensor/types.ts';
import { type CheckpointFolder, listCheckpoints } from './folders.ts';
import { type Manifest, SCHEMA_VERSION, TRAINER_NAME, verifyCheckpoint } from './manifest.ts';
import { derivedWeight, exactBytes, FILE_DTYPE, halfBytes, kindFile, PIECE_BYTES, type StateStore, savedStates } from './store.ts';

/** Bytes written to a device before they are waited for: a queue's staging would otherwise double the model. */
const FLUSH_BYTES = 64 << 20;

/** Where a checkpoint goes. */
export interface LoadOptions {
  readonly session: StateStore;
  readonly states: States;
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
  if (!found) return null;
  const trainer = await loadStates(files, found.path, found.manifest, options);
  return { ...found, trainer };
}

/** Loads one checkpoint folder, after verifying it. Errors as `loadLatest`, but damage is thrown. */
export async function loadCheckpoint(files: HostFiles, path: string, options: LoadOptions): Promise<LoadResult> {
  const manifest = await verifyCheckpoint(files, path, await hasherMaker(options.sha256));
  return { path, manifest, trainer: await loadStates(files, path, manifest, options), skipped: [] };
}

async function loadStates(files: HostFiles, path: string, manifest: Manifest, options: LoadOptions): Promise<unknown> {
  const { states, session, configHash } = options;
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
  const gradients = listed.has(kindFile('grad'));
  const wanted = savedStates(states, gradients);
  const open = new Map<string, OpenPart>();
  try {
    const problems: string[] = [];
    for (const [kind, specs] of wanted) {
      const name = kindFile(kind);
      if (!listed.has(name)) {
        problems.push(`it has no ${name}`);
        continue;
      }
      const file = await openPart(files, joinPath(path, name));
      open.set(name, file);
      problems.push(...differences(file.header, specs));
    }
    for (const name of listed) if (name.endsWith('.safetensors') && !open.has(name)) problems.push(`it has ${name}, which this run does not use`);
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
      const part = open.get(kindFile(kind));
      for (const spec of specs) if (part) await loadState(part, spec, states, flusher);
    }
    if (!gradients) session.clearKind('grad');
    await flusher.flush();
  } finally {
    await Promise.all([...open.values()].map((part) => part.reader.close()));
  }
  return readTrainer(files, path);
}

/** A tensor file, and the way to pieces of its tensors. */
interface OpenPart {
  readonly header: SafetensorsFile;
  readonly reader: FileReader;
  readonly path: string;
}

async function openPart(files: HostFiles, path: string): Promise<OpenPart> {
  const reader = await files.open(path);
  try {
    return { header: await openSafetensors(reader, path), reader, path };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** How a file's tensors differ from the states that want them. */
function differences(file: SafetensorsFile, specs: readonly StateSpec[]): string[] {
  const out: string[] = [];
  const names = new Set(specs.map((s) => s.name));
  for (const spec of specs) {
    const info = file.tensors.get(spec.name);
    if (!info) out.push(`${shown(spec.name)} is missing`);
    else if (info.dtype !== FILE_DTYPE[spec.dtype] || info.shape.length !== spec.shape.length || info.shape.some((n, i) => n !== spec.shape[i])) {
      out.push(`${shown(spec.name)} is ${info.dtype} [${info.shape.join(', ')}], this run needs ${typeName(spec)}`);
    }
  }
  for (const name of file.tensors.keys()) if (!names.has(name)) out.push(`${shown(name)} has no place here`);
  return out;
}

/** Writes that are waited for now and then: reading a buffer back is the one way to wait that every store has. */
class Flusher {
  private readonly store: StateStore;
  private pending = 0;
  private last = '';

  constructor(store: StateStore) {
    this.store = store;
  }

  async write(key: string, offset: number, bytes: Uint8Array): Promise<void> {
    this.store.writeBytes(key, offset, bytes);
    this.pending += bytes.length;
    this.last = key;
    if (this.pending >= FLUSH_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.last !== '') await this.store.readBytes(this.last, 0, 4);
    this.pending = 0;
  }
}

async function loadState(part: OpenPart, spec: StateSpec, states: States, flusher: Flusher): Promise<void> {
  const place = states.place(spec.name);
  const { offset } = part.header.info(spec.name);
  const half = derivedWeight(states, spec);
  const halfPlace = half && states.place(half.name);
  const bytes = exactBytes(spec);
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    const piece = await readExactly(part.reader, offset + at, Math.min(PIECE_BYTES, bytes - at), part.path);
    await flusher.write(place.buffer, place.offset + at, piece);
    if (halfPlace) await flusher.write(halfPlace.buffer, halfPlace.offset + at / 2, halfBytes(piece));
  }
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
  /** The words of the step state. */
  step(): Promise<Uint32Array>;
  close(): Promise<void>;
}

/** The weights of a parameter that a frozen base keeps as codes and scales. */
async function readQuantised(file: SafetensorsFile, parameter: string, columns: number): Promise<Float32Array<ArrayBuffer>> {
  const name = wordsName(parameter, columns);
  const words = new Uint32Array((await file.read(name)).slice().buffer);
  return weightsOf(columns, file.info(name).shape[0], words, await file.readF32(scalesName(parameter)));
}

/** Verifies and opens one checkpoint folder. @throws ScionError naming the file that is damaged or missing. */
export async function openCheckpoint(files: HostFiles, path: string, options: { sha256?: HasherMaker } = {}): Promise<OpenCheckpoint> {
  const manifest = await verifyCheckpoint(files, path, await hasherMaker(options.sha256));
  const trainer = await readTrainer(files, path);
  const listed = new Set(manifest.files.map((f) => f.name));
  const parts = new Map<string, OpenPart>();
  const part = async (kind: StateKind): Promise<OpenPart | null> => {
    const name = kindFile(kind);
    if (!listed.has(name)) return null;
    const open = parts.get(name) ?? (await openPart(files, joinPath(path, name)));
    parts.set(name, open);
    return open;
  };
  const needed = async (kind: StateKind): Promise<OpenPart> => {
    const found = await part(kind);
    if (!found) throw new ScionError('format', `${path} has no ${kindFile(kind)}`, { path });
    return found;
  };
  await needed('param');
  return {
    manifest,
    trainer,
    async read(parameter) {
      const { header } = await needed('param');
      if (header.tensors.has(parameter)) return header.readF32(parameter);
      // Frozen matrices of mixed precision have no master: their 16-bit or quantised weights are all there is.
      const halves = await part('weight');
      const columns = quantColumns(halves?.header.tensors.keys() ?? [], parameter);
      if (halves && columns !== null) return readQuantised(halves.header, parameter, columns);
      const half = weightName(parameter);
      return halves?.header.tensors.has(half) ? halves.header.readF32(half) : header.readF32(parameter);
    },
    async moment(which, parameter) {
      const found = await part(`moment${which}`);
      const name = momentName(which, parameter);
      return found?.header.tensors.has(name) ? found.header.readF32(name) : null;
    },
    async step() {
      const { header, reader, path: file } = await needed('step');
      const { offset, shape } = header.info('step');
      const bytes = await readExactly(reader, offset, 4 * shape[0], file);
      return new Uint32Array(bytes.buffer, bytes.byteOffset, shape[0]);
    },
    async close() {
      await Promise.all([...parts.values()].map(({ reader }) => reader.close()));
    },
  };
}
