/**
 * Documents of one shard on their way through the steps that look at one document at a time, fused: each is taken
 * through all of them before the next, so a shard is read and written once. What goes is counted and listed with its reason;
 * a step that throws loses that document and nothing else.
 */
import { joinPath } from '../../base/path.ts';
import { type Doc, docText } from '../../data/doc.ts';
import type { HostFiles } from '../../host/types.ts';
import { measureText } from '../../text/utf8.ts';
import { type Drop, isDrop, type MapStep } from '../step.ts';
import { Counts, startOf } from './counts.ts';
import { LinesFile, shardName, writeJson } from './shard-files.ts';

/** Dropped documents of a step that a shard lists; more are only counted. */
const MAX_LISTED = 20_000;

/** Where a group of fused steps writes. */
export interface FlowPlaces {
  /** Folder of shards, counts and facts. */
  readonly work: string;
  /** Folder of all drops; each step has a folder in it. */
  readonly drops: string;
}

/** What sampling knows of the documents of a shard, in columns. */
export interface ShardFacts {
  readonly categories: readonly string[];
  /** Index into `categories`. */
  readonly category: readonly number[];
  readonly characters: readonly number[];
  readonly bytes: readonly number[];
  /** By name; null where a document has none. */
  readonly scores: Readonly<Record<string, readonly (number | null)[]>>;
}

export const countsPath = (work: string, shard: number): string => joinPath(work, shardName(shard).replace('.jsonl', '.counts.json'));
export const factsPath = (work: string, shard: number): string => joinPath(work, shardName(shard).replace('.jsonl', '.facts.json'));

/** Gathers `ShardFacts`. */
export class FactsBuilder {
  readonly #numbers = new Map<string, number>();
  readonly category: number[] = [];
  readonly characters: number[] = [];
  readonly bytes: number[] = [];
  readonly #scores = new Map<string, (number | null)[]>();

  add(doc: Doc, size: { readonly characters: number; readonly bytes: number }): void {
    let number = this.#numbers.get(doc.category);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(doc.category, number);
    }
    const at = this.category.length;
    this.category.push(number);
    this.characters.push(size.characters);
    this.bytes.push(size.bytes);
    for (const [name, score] of Object.entries(doc.scores ?? {})) {
      if (!Number.isFinite(score)) continue;
      let column = this.#scores.get(name);
      if (column === undefined) {
        column = [];
        this.#scores.set(name, column);
      }
      while (column.length < at) column.push(null);
      column.push(score);
    }
  }

  facts(): ShardFacts {
    for (const column of this.#scores.values()) while (column.length < this.category.length) column.push(null);
    const { category, characters, bytes } = this;
    return { categories: [...this.#numbers.keys()], category, characters, bytes, scores: Object.fromEntries(this.#scores) };
  }
}

/** One shard being written. Steps are in the order of the list; the first name may be one that only counts (`read`). */
export class Flow {
  readonly counts = new Counts();
  readonly #files: HostFiles;
  readonly #places: FlowPlaces;
  readonly #shard: number;
  readonly #steps: readonly MapStep[];
  readonly #now: () => number;
  readonly #out: LinesFile;
  readonly #drops = new Map<string, LinesFile>();
  readonly #facts = new FactsBuilder();

  constructor(host: { readonly files: HostFiles; now(): number }, places: FlowPlaces, shard: number, steps: readonly MapStep[]) {
    this.#files = host.files;
    this.#now = () => host.now();
    this.#places = places;
    this.#shard = shard;
    this.#steps = steps;
    this.#out = new LinesFile(host.files, places.work, shardName(shard));
  }

  /** A place where a document should be, or one that came from elsewhere with its reason. */
  async drop(step: string, { id, category }: { readonly id: string; readonly category: string }, drop: Drop & { readonly keeper?: unknown }, text: string) {
    const { reason, note, keeper } = drop;
    const example = { id, category, ...(note === undefined ? {} : { note }), text: startOf(text) };
    this.counts.drop(reason, example);
    let file = this.#drops.get(step);
    if (file === undefined) {
      file = new LinesFile(this.#files, joinPath(this.#places.drops, step), shardName(this.#shard));
      this.#drops.set(step, file);
    }
    if (file.count >= MAX_LISTED) this.counts.count(`${step}.not-listed`);
    else await file.write({ id, category, reason, ...(note === undefined ? {} : { note }), text: example.text, ...(keeper ? { keeper } : {}) });
  }

  /** Takes a document through all steps. */
  async push(doc: Doc, from?: string): Promise<void> {
    let text = docText(doc);
    let size = measureText(text);
    if (from !== undefined) {
      this.counts.pass(from, doc.category, size);
      this.counts.length(doc.category, size.characters);
    }
    let now = doc;
    for (const step of this.#steps) {
      const began = this.#now();
      let result: Doc | Drop;
      try {
        result = step.apply(now, this.counts);
      } catch (error) {
        result = { reason: `${step.name}.failed`, note: String(error instanceof Error ? error.message : error).slice(0, 200) };
      }
      this.counts.spend(step.name, (this.#now() - began) / 1000);
      if (step.name === 'score') this.counts.score(now);
      if (isDrop(result)) {
        await this.drop(step.name, now, result, docText(now));
        return;
      }
      now = result;
      const after = docText(now);
      if (after !== text) {
        text = after;
        size = measureText(text);
      }
      this.counts.pass(step.name, now.category, size);
    }
    this.#facts.add(now, size);
    await this.#out.write(now);
  }

  /** Makes it all durable; the counts last. */
  async finish(): Promise<void> {
    await this.#out.finish(true);
    for (const file of this.#drops.values()) await file.finish(false);
    await writeJson(this.#files, factsPath(this.#places.work, this.#shard), this.#facts.facts());
    await writeJson(this.#files, countsPath(this.#places.work, this.#shard), this.counts);
  }

  async abandon(): Promise<void> {
    await this.#out.abandon();
    for (const file of this.#drops.values()) await file.abandon();
  }
}
