/**
 * Checkpoints of a mesh: every rank writes the elements that are its own (of what lies whole on all, an even share), rank 0 writes
 * the manifest and commits. What is loaded may come from any other mesh or from one device, since files hold states by element.
 * All ranks must see the same folder.
 */
import type { Transport } from '../comm/types.ts';
import { encodeSafetensorsHeader, entryBytes, layoutOrder, type TensorEntry } from '../formats/safetensors-write.ts';
import { type HasherMaker, hasherMaker } from '../host/hashing.ts';
import type { HostFiles } from '../host/types.ts';
import { cutOf } from '../shard/place.ts';
import { onAll, onFirst, sayAll } from '../shard/say.ts';
import { sizeOf } from '../tensor/types.ts';
import { findLatest, type LoadOptions, type LoadResult, loadFound } from './load.ts';
import type { FileRecord } from './manifest.ts';
import { pieceName, rankFile } from './parts.ts';
import { type Part, type SaveOptions, type SaveResult, saveCheckpoint, writeParts } from './save.ts';
import { exactBytes, FILE_DTYPE, readPieces, type SplitStates, savedStates } from './store.ts';

/** The files that one rank writes. */
function partsOfRank({ session, states, gradients }: SaveOptions, { rank, size: ranks }: Transport): Part[] {
  const out: Part[] = [];
  for (const [kind, specs] of savedStates(states, gradients ?? false)) {
    const entries: TensorEntry[] = [];
    for (const spec of specs) {
      const elements = sizeOf(spec.shape);
      const width = exactBytes(spec) / Math.max(1, elements);
      const run = cutOf(states, spec.name, ranks).runs.find((r) => r.rank === rank);
      // 16-bit runs end on whole words; the state may end in the middle of one.
      const to = Math.min(elements, run?.to ?? 0);
      if (!run || run.from >= to) continue;
      entries.push({
        name: pieceName(spec.name, run.from, spec.shape),
        dtype: FILE_DTYPE[spec.dtype],
        shape: [to - run.from],
        chunks: () => readPieces(session, states, spec, { from: run.from * width, to: to * width }),
      });
    }
    const bytes = entries.reduce((sum, e) => sum + entryBytes(e), encodeSafetensorsHeader(layoutOrder(entries)).length);
    if (entries.length > 0) out.push({ name: rankFile(kind, rank, ranks), entries, bytes });
  }
  return out;
}

/** The files that one rank writes where tensors are split: its even share of every whole state, which all ranks join for it, one after the other. */
async function sharesOfRank({ session, states, gradients }: SaveOptions, split: SplitStates, { rank, size: ranks }: Transport): Promise<Part[]> {
  const out: Part[] = [];
  for (const [kind, specs] of savedStates(states, gradients ?? false)) {
    const entries: TensorEntry[] = [];
    for (const spec of specs) {
      const shape = split.wholeShape(spec.name) ?? spec.shape;
      const place = states.place(spec.name);
      const values = spec.dtype === 'f32' ? await split.readWhole(spec.name) : await session.readBytes(place.buffer, place.offset, exactBytes(spec));
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      const elements = sizeOf(shape);
      const width = bytes.length / Math.max(1, elements);
      const [from, to] = [rank, rank + 1].map((r) => Math.floor((elements * r) / ranks));
      if (from === to) continue;
      const own = bytes.slice(from * width, to * width);
      entries.push({ name: pieceName(spec.name, from, shape), dtype: FILE_DTYPE[spec.dtype], shape: [to - from], chunks: () => [own] });
    }
    const bytes = entries.reduce((sum, e) => sum + entryBytes(e), encodeSafetensorsHeader(layoutOrder(entries)).length);
    if (entries.length > 0) out.push({ name: rankFile(kind, rank, ranks), entries, bytes });
  }
  return out;
}

/**
 * Saves as `saveCheckpoint` does, every rank its part. Collective; fails on all ranks alike, and then nothing is left behind.
 * @param group all ranks, each of which calls this with the same step; without `split` those that the states are cut over
 */
export async function saveOnRanks(files: HostFiles, dir: string, options: SaveOptions, group: Transport, split?: SplitStates): Promise<SaveResult> {
  const sha256 = await hasherMaker(options.sha256);
  // Joining split tensors is collective, and must be over before any rank's disk may fail.
  const shares = split ? await sharesOfRank(options, split, group) : null;
  const write = (folder: string, by: HasherMaker): Promise<FileRecord[]> => writeParts(files, folder, shares ?? partsOfRank(options, group), by);
  if (group.rank > 0) {
    const [{ folder }] = await sayAll<{ folder: string | null }>(group, { folder: null });
    if (folder !== null) await onAll(group, () => write(folder, sha256)).catch(() => undefined);
    return onFirst<SaveResult>(group, async () => null as never);
  }
  let asked = false;
  const result = await attempt(() =>
    saveCheckpoint(files, dir, {
      ...options,
      meta: { ...options.meta, ranks: group.size },
      sha256,
      writeTensors: async (folder, by) => {
        asked = true;
        await sayAll(group, { folder });
        return (await onAll(group, () => write(folder, by))).flat();
      },
    }),
  );
  // Others wait to be asked, whatever happened before that.
  if (!asked) await sayAll<{ folder: string | null }>(group, { folder: null });
  return onFirst(group, result);
}

async function attempt<T>(work: () => Promise<T>): Promise<() => Promise<T>> {
  try {
    const value = await work();
    return async () => value;
  } catch (error) {
    return () => Promise.reject(error);
  }
}

/** Loads as `loadLatest` does, every rank its part; rank 0 verifies the checkpoint for all. Collective. */
export async function loadLatestOnRanks(files: HostFiles, dir: string, options: LoadOptions, group: Transport): Promise<LoadResult | null> {
  const found = await onFirst(group, () => findLatest(files, dir, options));
  if (!found) return null;
  const trainers = await onAll(group, () => loadFound(files, found, options));
  return { ...found, trainer: trainers[group.rank] };
}
