/**
 * Shards of the runner on disk: JSON Lines written aside and renamed, and the little files that say a piece of work is
 * done. A file with its final name is whole; the counts of a shard are written last, so where they are, all is.
 */
import { joinPath } from '../../base/path.ts';
import { JsonlWriter } from '../../formats/jsonl.ts';
import type { FileWriter, HostFiles } from '../../host/types.ts';
import { PART, writeWhole } from '../../host/whole-file.ts';

/** Shards of one unit of reading; their numbers follow those of the unit. */
const PARTS_A_UNIT = 10_000;

/** Name of a shard, the same for its drops: numbers sort as their shards do. */
export const shardName = (number: number): string => `shard-${String(number).padStart(9, '0')}.jsonl`;
export const shardNumber = (unit: number, part: number): number => unit * PARTS_A_UNIT + part;
export const MAX_PARTS = PARTS_A_UNIT;

/** Shards of a step. */
export interface Shards {
  /** The last step they went through; the folder's name. */
  readonly name: string;
  readonly numbers: readonly number[];
  readonly paths: readonly string[];
  /** Folder of what sampling knows of their documents. */
  readonly facts: string;
}

export const writeJson = (files: HostFiles, path: string, value: unknown): Promise<void> =>
  writeWhole(files, path, new TextEncoder().encode(`${JSON.stringify(value)}\n`));

/** The text of a file; null if there is none. */
export async function readText(files: HostFiles, path: string): Promise<string | null> {
  return (await files.stat(path)) === null ? null : new TextDecoder().decode(await files.read(path));
}

/** A list of records that becomes a file when it is whole; none if it stays empty and `always` is not asked for. */
export class LinesFile {
  /** Records so far. */
  count = 0;
  readonly #files: HostFiles;
  readonly #folder: string;
  readonly #name: string;
  #writer: FileWriter | null = null;
  #lines: JsonlWriter | null = null;

  constructor(files: HostFiles, folder: string, name: string) {
    this.#files = files;
    this.#folder = folder;
    this.#name = name;
  }

  async #open(): Promise<JsonlWriter> {
    if (this.#lines === null) {
      await this.#files.makeDir(this.#folder);
      this.#writer = await this.#files.create(joinPath(this.#folder, this.#name + PART));
      this.#lines = new JsonlWriter(this.#writer);
    }
    return this.#lines;
  }

  async write(value: unknown): Promise<void> {
    this.count++;
    await (this.#lines ?? (await this.#open())).write(value);
  }

  async finish(always: boolean): Promise<void> {
    if (this.#lines === null && !always) return;
    const lines = await this.#open();
    await lines.sync();
    await lines.close();
    const path = joinPath(this.#folder, this.#name);
    await this.#files.rename(path + PART, path);
  }

  /** After an error: nothing of it stays open. */
  async abandon(): Promise<void> {
    await this.#writer?.close().catch(() => undefined);
  }
}
