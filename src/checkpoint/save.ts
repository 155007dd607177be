/**
 * Saving a checkpoint so that a crash, a power loss or a full disk at any point leaves the previous one or the
 * new one, never something between. Everything is written aside, synced, read back and verified; one rename
 * commits; only then are older ones deleted. Costs one extra read of what was written; holds one piece of one
 * tensor in memory.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { dirName, joinPath } from '../base/path.ts';
import { newRunId } from '../base/run-id.ts';
import { encodeSafetensorsHeader, entryBytes, layoutOrder, type TensorEntry, writeSafetensors } from '../formats/safetensors-write.ts';
import { type HasherMaker, hasherMaker, writeHashed } from '../host/hashing.ts';
import type { HostFiles } from '../host/types.ts';
import type { States } from '../tensor/states.ts';
import { listCheckpoints, makeDurableDir, stepFolder } from './folders.ts';
import {
  assertPlainJson,
  type CheckpointMeta,
  type FileRecord,
  formatManifest,
  MANIFEST_NAME,
  type Manifest,
  SCHEMA_VERSION,
  TRAINER_NAME,
  verifyCheckpoint,
} from './manifest.ts';
import { FILE_DTYPE, kindFile, readPieces, type StateStore, savedStates } from './store.ts';

/** Checkpoints kept where the caller does not say. */
export const DEFAULT_KEEP = 2;
/** What a file takes beyond its bytes: its last block and its entry in the folder. */
const FILE_SLACK = 8192;

/** What is saved. */
export interface SaveOptions {
  readonly session: StateStore;
  readonly states: States;
  /** Steps done. */
  readonly step: number;
  /** Plain JSON: loader position, random state, schedule, config, history; comes back as it went in. */
  readonly trainer: unknown;
  readonly meta: CheckpointMeta;
  /** Checkpoints to keep, this one included; at least 1. */
  readonly keep?: number;
  /** Saves gradients too: for a save inside an accumulation, when they are not zero. */
  readonly gradients?: boolean;
  /** Names the folder while it is written; the lock's id, so that a folder tells its run. */
  readonly runId?: string;
  /** Called right before the commit: throws if the folder's lock was lost. */
  readonly guard?: () => Promise<void>;
  readonly sha256?: HasherMaker;
  /** Who writes the tensors, where it is not this process alone: gives the records of all files. See `saveOnRanks`. */
  readonly writeTensors?: (folder: string, sha256: HasherMaker) => Promise<FileRecord[]>;
}

/** What was saved. */
export interface SaveResult {
  readonly path: string;
  readonly manifest: Manifest;
  /** All bytes of the checkpoint. */
  readonly bytes: number;
  /** Folders that retention removed. */
  readonly removed: readonly string[];
  /** What went wrong after the commit, such as an old checkpoint that cannot be deleted. */
  readonly warnings: readonly string[];
}

/** A tensor file to be written. */
export interface Part {
  readonly name: string;
  readonly entries: readonly TensorEntry[];
  readonly bytes: number;
}

/** The tensor files of a checkpoint, nothing read yet. */
function planParts(options: SaveOptions): Part[] {
  const { session, states } = options;
  return [...savedStates(states, options.gradients ?? false)].map(([kind, specs]) => {
    const entries = specs.map((spec) => ({
      name: spec.name,
      dtype: FILE_DTYPE[spec.dtype],
      shape: spec.shape,
      chunks: () => readPieces(session, states, spec),
    }));
    const bytes = entries.reduce((sum, e) => sum + entryBytes(e), encodeSafetensorsHeader(layoutOrder(entries)).length);
    return { name: kindFile(kind), entries, bytes };
  });
}

/** Writes tensor files and syncs them. */
export async function writeParts(files: HostFiles, folder: string, parts: readonly Part[], sha256: HasherMaker): Promise<FileRecord[]> {
  const records: FileRecord[] = [];
  for (const { name, entries } of parts)
    records.push({ name, ...(await writeHashed(files, joinPath(folder, name), sha256, (w) => writeSafetensors(w, entries))) });
  return records;
}

/**
 * Saves a checkpoint of `step` below `dir`, which is made if missing, and deletes all but the newest `keep`.
 * An existing checkpoint of the same step is replaced.
 * @throws ScionError `space` with the bytes needed and free, or `io`; then nothing is left behind (as far as the
 * disk allows: `recoverCheckpoints` finishes it) and earlier checkpoints are as they were.
 */
export async function saveCheckpoint(files: HostFiles, dir: string, options: SaveOptions): Promise<SaveResult> {
  const { step, meta } = options;
  const keep = options.keep ?? DEFAULT_KEEP;
  if (!Number.isSafeInteger(step) || step < 0) throw new ScionError('internal', `a checkpoint of step ${step} was asked for; steps count from 0`);
  if (!(keep >= 1)) throw new ScionError('usage', `${keep} checkpoints to keep; at least 1 is needed`, { keep });
  assertPlainJson(options.trainer);
  const sha256 = await hasherMaker(options.sha256);
  const runId = options.runId ?? newRunId();
  const path = joinPath(dir, stepFolder(step));
  const aside = `${path}.tmp-${runId}`;
  const displaced = `${path}.old-${runId}`;
  const trainer = new TextEncoder().encode(`${JSON.stringify(options.trainer, null, 1)}\n`);
  const parts = planParts(options);
  const needed = parts.reduce((sum, p) => sum + p.bytes, trainer.length) + FILE_SLACK * (parts.length + 3);
  let manifest: Manifest;
  try {
    await makeDurableDir(files, dir);
    const free = await files.free(dir);
    if (free !== null && free < needed) throw new ScionError('space', `${free} bytes are free`);
    await files.remove(aside);
    await files.makeDir(aside);
    const records = options.writeTensors ? await options.writeTensors(aside, sha256) : await writeParts(files, aside, parts, sha256);
    records.push({ name: TRAINER_NAME, ...(await writeHashed(files, joinPath(aside, TRAINER_NAME), sha256, (w) => w.write(trainer))) });
    manifest = { schema: SCHEMA_VERSION, step, ...meta, files: records };
    await writeHashed(files, joinPath(aside, MANIFEST_NAME), sha256, (w) => w.write(new TextEncoder().encode(formatManifest(manifest))));
    await files.syncDir(aside);
    await verifyCheckpoint(files, aside, sha256);
    await options.guard?.();
    if ((await files.stat(path)) !== null) await files.rename(path, displaced);
    await files.rename(aside, path);
  } catch (error) {
    await undo(files, aside, displaced, path);
    throw await failure(error, files, dir, step, needed);
  }
  try {
    await files.syncDir(dir);
  } catch (error) {
    throw await failure(error, files, dir, step, needed);
  }
  const after = await retain(files, dir, { step, keep, runId, displaced, sha256 });
  return { path, manifest, bytes: manifest.files.reduce((sum, f) => sum + f.bytes, 0), ...after };
}

/** Removes what a failed save left; each part on its own, since the disk may refuse any of them. */
async function undo(files: HostFiles, aside: string, displaced: string, path: string): Promise<void> {
  await files.remove(aside).catch(() => undefined);
  try {
    if ((await files.stat(displaced)) !== null && (await files.stat(path)) === null) await files.rename(displaced, path);
  } catch {
    // It stays loadable under its displaced name.
  }
}

/** The error of a failed save: what was being done, and for a full disk the figures. Foreign errors pass as they are. */
async function failure(error: unknown, files: HostFiles, dir: string, step: number, needed: number): Promise<unknown> {
  if (!isScionError(error)) return error;
  if (error.kind !== 'space')
    return new ScionError(error.kind, `the checkpoint of step ${step} was not saved: ${error.message}`, { ...error.details, step, dir }, error);
  const free = await files.free(dir).catch(() => null);
  const found = free === null ? 'the disk is full' : `${free} are free`;
  return new ScionError(
    'space',
    `the checkpoint of step ${step} needs ${needed} bytes below ${dir}, ${found}; earlier checkpoints are intact. Free some space or choose another --out`,
    { step, dir, needed, free },
    error,
  );
}

interface Retention {
  readonly step: number;
  readonly keep: number;
  readonly runId: string;
  readonly displaced: string;
  readonly sha256: HasherMaker;
}

/** Deletes what is no longer wanted. Nothing here fails the save: the new checkpoint is committed and verified. */
async function retain(files: HostFiles, dir: string, by: Retention): Promise<{ removed: string[]; warnings: string[] }> {
  const removed: string[] = [];
  const warnings: string[] = [];
  const attempt = async (what: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      if (!isScionError(error)) throw error;
      warnings.push(`cannot ${what}: ${error.message}`);
    }
  };
  /** Out of sight by one rename first: a half-deleted folder must not look like a checkpoint. */
  const discard = async (path: string, step: number) => {
    const gone = joinPath(dir, `${stepFolder(step)}.tmp-${by.runId}`);
    if (path !== gone) await files.rename(path, gone);
    await files.remove(gone);
    removed.push(path);
  };
  await attempt(`remove ${by.displaced}`, () => files.remove(by.displaced));
  await attempt(`list ${dir}`, async () => {
    const others = (await listCheckpoints(files, dir)).filter((c) => c.step !== by.step);
    for (const later of others.filter((c) => c.step > by.step)) await attempt(`set ${later.path} aside`, () => abandon(files, later, by, warnings, discard));
    const earlier = others.filter((c) => c.step < by.step);
    for (const old of earlier.slice(by.keep - 1)) await attempt(`delete ${old.path}`, () => discard(old.path, old.step));
  });
  return { removed, warnings };
}

/**
 * A later step than the one just saved: the run went back to an earlier checkpoint, so this is another future. Left in
 * place it would win the next resume. Damaged ones go; a sound one is kept under another name.
 */
async function abandon(
  files: HostFiles,
  later: { readonly path: string; readonly step: number },
  by: Retention,
  warnings: string[],
  discard: (path: string, step: number) => Promise<void>,
): Promise<void> {
  try {
    await verifyCheckpoint(files, later.path, by.sha256);
  } catch (error) {
    if (!isScionError(error)) throw error;
    await discard(later.path, later.step);
    warnings.push(`deleted the damaged checkpoint of the later step ${later.step}: ${error.message}`);
    return;
  }
  const kept = joinPath(dirName(later.path), `${stepFolder(later.step)}.aside-${by.runId}`);
  await files.rename(later.path, kept);
  warnings.push(`the checkpoint of step ${later.step} is later than step ${by.step}, which was just saved; it is now ${kept}`);
}
