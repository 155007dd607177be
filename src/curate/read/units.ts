/**
 * From sources to units of work. Every file is read once beforehand: for its SHA-256, by which a later run knows whether
 * anything changed, and, where it is plain JSON Lines, for the line ends nearest to every shard's border, so that the
 * ranges of one large file can be read by all workers. The units depend on the files alone, never on who works.
 */
import { ScionError } from '../../base/errors.ts';
import { findFiles } from '../../data/glob.ts';
import type { Host, HostFiles } from '../../host/types.ts';
import type { Source } from './config.ts';
import { isBuildFile, needBuildFile } from './kinds.ts';
import type { Piece } from './read-unit.ts';

const BLOCK_BYTES = 2 ** 20;
const LF = 10;
/** Files are surveyed in lots of about so many bytes, and of at most so many files. */
const LOT_BYTES = 64 * 2 ** 20;
const LOT_FILES = 512;

/** A file that a source names. */
export interface SourceFile {
  readonly source: number;
  readonly path: string;
  readonly size: number;
}

/** What a look through a file found. */
export interface Survey {
  readonly sha256: string;
  /** Where ranges begin behind the first: byte offset of a line, and its number. */
  readonly cuts: readonly { readonly offset: number; readonly line: number }[];
}

/** Some work of one source. */
export interface Unit {
  readonly source: number;
  readonly pieces: readonly Piece[];
}

/** The files of all sources, in order. A file that two sources name belongs to the first. @throws ScionError `input`, `usage`. */
export async function findSourceFiles(files: HostFiles, sources: readonly Source[]): Promise<SourceFile[]> {
  if (sources.length === 0) throw new ScionError('usage', 'data: nothing to read; name files under data: in the recipe, or with --data');
  const found: SourceFile[] = [];
  const seen = new Set<string>();
  for (const [source, { paths }] of sources.entries()) {
    for (const path of await findFiles(files, paths, isBuildFile)) {
      if (seen.has(path)) continue;
      seen.add(path);
      needBuildFile(path);
      found.push({ source, path, size: (await files.stat(path))?.size ?? 0 });
    }
  }
  return found;
}

/** Hashes a file and finds where its ranges may begin. */
async function survey(host: Host, path: string, shardBytes: number): Promise<Survey> {
  const { kind, packing } = needBuildFile(path);
  const splits = kind === 'jsonl' && packing === null;
  const hasher = await host.sha256();
  const reader = await host.files.open(path);
  const cuts: { offset: number; line: number }[] = [];
  try {
    let line = 1;
    let wanted = shardBytes;
    for (let at = 0; at < reader.size; ) {
      const block = await reader.read(at, BLOCK_BYTES);
      if (block.length === 0) break;
      hasher.update(block);
      if (splits) {
        for (let end = block.indexOf(LF); end >= 0; end = block.indexOf(LF, end + 1)) {
          line++;
          const offset = at + end + 1;
          if (offset < wanted || offset >= reader.size) continue;
          cuts.push({ offset, line });
          wanted = offset + shardBytes;
        }
      }
      at += block.length;
    }
    return { sha256: hasher.hex(), cuts };
  } finally {
    await reader.close();
  }
}

export interface SurveyInput {
  readonly paths: readonly string[];
  readonly shardBytes: number;
}

/** The task `read.survey`. */
export async function surveyTask({ paths, shardBytes }: SurveyInput, { host }: { readonly host: Host }): Promise<Survey[]> {
  const found: Survey[] = [];
  for (const path of paths) found.push(await survey(host, path, shardBytes));
  return found;
}

/** Files in lots for the survey. */
export function surveyLots(files: readonly SourceFile[]): SourceFile[][] {
  const lots: SourceFile[][] = [];
  let bytes = LOT_BYTES;
  for (const file of files) {
    const last = lots.at(-1);
    if (last === undefined || bytes >= LOT_BYTES || last.length >= LOT_FILES) {
      lots.push([file]);
      bytes = file.size;
    } else {
      last.push(file);
      bytes += file.size;
    }
  }
  return lots;
}

/** Ranges of large files; small files of one source together up to a shard's size. */
export function planUnits(files: readonly SourceFile[], surveys: readonly Survey[], shardBytes: number): Unit[] {
  const units: Unit[] = [];
  let open: { source: number; pieces: Piece[]; bytes: number } | null = null;
  files.forEach(({ source, path, size }, i) => {
    const { cuts } = surveys[i];
    if (cuts.length > 0) {
      open = null;
      let from = { offset: 0, line: 1 };
      for (const cut of [...cuts, null]) {
        units.push({ source, pieces: [{ path, from: from.offset, line: from.line, ...(cut ? { to: cut.offset } : {}) }] });
        if (cut) from = cut;
      }
      return;
    }
    if (open === null || open.source !== source || open.bytes + size > shardBytes) {
      open = { source, pieces: [], bytes: 0 };
      units.push(open);
    }
    open.pieces.push({ path });
    open.bytes += size;
  });
  return units.map(({ source, pieces }) => ({ source, pieces }));
}
