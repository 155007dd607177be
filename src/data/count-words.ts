/**
 * Counts the words of corpora for vocabulary learning, in this thread or spread over workers. Documents are read once, in
 * order, by this thread; workers cut and count. Counts add up the same however they were spread, so the result does
 * not depend on the number of workers.
 *
 * Memory is bounded by a budget of characters. Corpora that exceed it are read a second time, and only the documents
 * with the least hashes of their ids are counted: the same ones on every machine.
 */
import { ScionError } from '../base/errors.ts';
import { siblingModule } from '../host/index.ts';
import type { Host, HostFiles, HostWorker } from '../host/types.ts';
import { WordCounts } from '../text/learn/counts.ts';
import type { CutterSpec } from '../text/learn/cutter.ts';
import { addPacked, type CountReply, type CountRequest } from './count-messages.ts';
import { type DocumentOptions, streamDocuments, type TextDocument } from './documents.ts';
import { hash32 } from './hash.ts';

/** How to count. */
export interface CountOptions {
  readonly cutter: CutterSpec;
  /** Makes a counting worker; with `workers` below 2 none is made. */
  readonly spawn?: () => HostWorker;
  /** Default 1: counted in this thread. */
  readonly workers?: number;
  /** Most characters (UTF-16 units) that are counted. Default 50 million, some 3 GB of memory for Chinese. */
  readonly budget?: number;
  /** Share of the documents that is left out, for measuring; see `isHeldOut`. Default 0. */
  readonly holdout?: number;
  readonly documents?: DocumentOptions;
  readonly onProgress?: (characters: number, documents: number) => void;
  readonly stop?: { readonly requested: boolean };
}

/** What was counted. */
export interface Counted {
  readonly counts: WordCounts;
  /** Documents with text: all that were found, those held out, and those counted. */
  readonly documents: number;
  readonly heldOut: number;
  readonly countedDocuments: number;
  /** Characters (UTF-16 units) of the documents that were not held out, and of those counted. */
  readonly characters: number;
  readonly countedCharacters: number;
}

const DEFAULT_BUDGET = 50e6;
/** Texts go to workers in batches of about this many characters, at most two under way to each. */
const BATCH_CHARACTERS = 1 << 18;
const IN_FLIGHT = 2;
const BUCKETS = 1 << 12;
/** Other seeds than those of training splits, so that the choices are independent. */
const HOLDOUT_SEED = 0x5eed;
const BUDGET_SEED = 0xb0d6e7;

/** What starts counting workers on a host. A bundled page, where modules have other names, gives its own. */
export function countingWorkers(machine: Host): () => HostWorker {
  return () => machine.worker(siblingModule(import.meta.url, './count-worker'));
}

/** True for the documents that a holdout of this share keeps from learning. */
export function isHeldOut(document: TextDocument, share: number): boolean {
  return share > 0 && hash32(document.id, HOLDOUT_SEED) < share * 2 ** 32;
}

const bucketOf = (document: TextDocument): number => hash32(document.id, BUDGET_SEED) >>> 20;

/** Where texts are counted. */
interface Sink {
  add(text: string, category: string): Promise<void> | null;
  finish(): Promise<WordCounts>;
  end(): Promise<void>;
}

/** Counts the words of the documents that the patterns name. Throws `input` when there is no text, `interrupted` on `stop`. */
export async function countWords(files: HostFiles, patterns: readonly string[], options: CountOptions): Promise<Counted> {
  const { budget = DEFAULT_BUDGET, holdout = 0 } = options;
  if (!(budget >= 1)) throw new ScionError('input', `a budget of ${budget} characters; it must be at least 1`, { budget });
  if (!(holdout >= 0 && holdout < 1)) throw new ScionError('input', `a holdout of ${holdout}; it must be at least 0 and below 1`, { holdout });
  const sizes = new Float64Array(BUCKETS);
  let documents = 0;
  let heldOut = 0;
  let characters = 0;
  let counted = 0;
  let sink: Sink | null = openSink(options);
  try {
    for await (const document of read(files, patterns, options)) {
      documents++;
      if (isHeldOut(document, holdout)) {
        heldOut++;
        continue;
      }
      const { length } = document.text;
      characters += length;
      sizes[bucketOf(document)] += length;
      if (documents % 64 === 0) options.onProgress?.(characters, documents);
      if (characters > budget && sink !== null) {
        // Too much: what was counted goes; the rest is only measured.
        await sink.end();
        sink = null;
      }
      if (sink === null) continue;
      counted++;
      const busy = sink.add(document.text, document.category ?? '');
      if (busy !== null) await busy;
    }
    if (documents === heldOut) throw noText(patterns, documents);
    let countedCharacters = characters;
    if (sink === null) {
      const limit = bucketLimit(sizes, budget);
      if (limit === 0)
        throw new ScionError('input', `a budget of ${budget} characters holds none of the ${documents} documents (${characters} characters)`, {
          budget,
          characters,
        });
      sink = openSink(options);
      [counted, countedCharacters] = [0, 0];
      for await (const document of read(files, patterns, options)) {
        if (isHeldOut(document, holdout) || bucketOf(document) >= limit) continue;
        counted++;
        countedCharacters += document.text.length;
        if (counted % 64 === 0) options.onProgress?.(countedCharacters, counted);
        const busy = sink.add(document.text, document.category ?? '');
        if (busy !== null) await busy;
      }
    }
    return { counts: await sink.finish(), documents, heldOut, countedDocuments: counted, characters, countedCharacters };
  } finally {
    await sink?.end();
  }
}

function noText(patterns: readonly string[], documents: number): ScionError {
  const what = documents === 0 ? 'no text was found' : `all ${documents} documents are held out`;
  return new ScionError('input', `data: ${what} in ${patterns.slice(0, 3).join(', ')}`, { documents });
}

/** Documents with text, as long as nobody asks to stop. */
async function* read(files: HostFiles, patterns: readonly string[], options: CountOptions): AsyncGenerator<TextDocument> {
  // Streams, so there is no need for a limit on the bytes of all files.
  for await (const document of streamDocuments(files, patterns, { maxTotalBytes: Number.MAX_SAFE_INTEGER, ...options.documents })) {
    if (options.stop?.requested) throw new ScionError('interrupted', 'stopped while reading; nothing was written');
    if (document.text.trim() !== '') yield document;
  }
}

/** The number of buckets, from the first on, that fit the budget. */
function bucketLimit(sizes: Float64Array, budget: number): number {
  let sum = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    sum += sizes[bucket];
    if (sum > budget) return sizes.subarray(0, bucket).some((size) => size > 0) ? bucket : 0;
  }
  return BUCKETS;
}

function openSink(options: CountOptions): Sink {
  const { workers = 1, spawn } = options;
  return workers < 2 || spawn === undefined ? new LocalSink(options.cutter) : new WorkerSink(options.cutter, spawn, workers);
}

class LocalSink implements Sink {
  readonly #counts: WordCounts;

  constructor(cutter: CutterSpec) {
    this.#counts = new WordCounts(cutter);
  }

  add(text: string, category: string): null {
    this.#counts.add(text, category);
    return null;
  }

  async finish(): Promise<WordCounts> {
    return this.#counts;
  }

  async end(): Promise<void> {}
}

class WorkerSink implements Sink {
  readonly #workers: { readonly port: HostWorker; busy: number }[];
  readonly #cutter: CutterSpec;
  #texts: string[] = [];
  #categories: string[] = [];
  #characters = 0;
  #next = 0;
  #opened: Promise<void> | null = null;

  constructor(cutter: CutterSpec, spawn: () => HostWorker, workers: number) {
    this.#cutter = cutter;
    this.#workers = Array.from({ length: workers }, () => ({ port: spawn(), busy: 0 }));
  }

  add(text: string, category: string): Promise<void> | null {
    this.#texts.push(text);
    this.#categories.push(category);
    this.#characters += text.length;
    return this.#characters >= BATCH_CHARACTERS ? this.#flush() : null;
  }

  async finish(): Promise<WordCounts> {
    await this.#flush();
    const counts = new WordCounts(this.#cutter);
    const request: CountRequest = { kind: 'finish' };
    for (const { port } of this.#workers) port.post(request);
    for (const { port } of this.#workers) {
      for (;;) {
        const reply = await receive(port);
        if (reply.kind === 'end') break;
        if (reply.kind === 'counts') addPacked(counts, reply.category, reply.packed);
      }
    }
    return counts;
  }

  async end(): Promise<void> {
    await Promise.all(this.#workers.map(({ port }) => port.end()));
  }

  async #flush(): Promise<void> {
    this.#opened ??= this.#open();
    await this.#opened;
    if (this.#texts.length === 0) return;
    // In turn, so that memory is bounded by what is under way, and no worker waits for another.
    const worker = this.#workers[this.#next];
    this.#next = (this.#next + 1) % this.#workers.length;
    const request: CountRequest = { kind: 'texts', texts: this.#texts, categories: this.#categories };
    [this.#texts, this.#categories, this.#characters] = [[], [], 0];
    if (worker.busy === IN_FLIGHT) {
      await receive(worker.port);
      worker.busy--;
    }
    worker.port.post(request);
    worker.busy++;
  }

  async #open(): Promise<void> {
    const request: CountRequest = { kind: 'open', cutter: this.#cutter };
    for (const { port } of this.#workers) {
      // Its first word says that it listens.
      await receive(port);
      port.post(request);
    }
  }
}

async function receive(port: HostWorker): Promise<CountReply> {
  const reply = (await port.receive()) as CountReply;
  if (reply.kind === 'failed') throw new ScionError('internal', `counting words failed in a worker: ${reply.message}`);
  return reply;
}
