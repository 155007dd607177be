/**
 * What is counted while documents pass, kept so that shards can be counted apart and added up: numbers, bounded lists of
 * examples, histograms. Names of categories and reasons come from data, so they are keys of maps and never of plain objects.
 */
import { addPowers, countPower } from '../../base/power-bins.ts';
import type { Doc } from '../../data/doc.ts';
import { hash32 } from '../../data/hash.ts';
import type { ReportExample } from '../report/types.ts';

/** Examples of a reason that are kept. */
const EXAMPLES = 5;
const EXAMPLE_CHARACTERS = 300;

/** Documents and their text. */
export interface Amount {
  documents: number;
  bytes: number;
  characters: number;
}

/** The start of a text that an example shows; no half of a pair at its end. */
export function startOf(text: string): string {
  const cut = text.slice(0, EXAMPLE_CHARACTERS);
  return (cut.charCodeAt(cut.length - 1) & 0xfc00) === 0xd800 && cut.length < text.length ? cut.slice(0, -1) : cut;
}

/** An example with the number by which it is chosen: the least ones stay, so the choice is the same however shards are cut up. */
type Ranked = readonly [rank: number, example: ReportExample];

type Table = Map<string, Map<string, number>>;

function add(table: Map<string, number>, name: string, by: number): void {
  table.set(name, (table.get(name) ?? 0) + by);
}

function innerOf<T>(table: Map<string, Map<string, T>>, name: string): Map<string, T> {
  let inner = table.get(name);
  if (inner === undefined) {
    inner = new Map();
    table.set(name, inner);
  }
  return inner;
}

/** Scores keep three digits, so that a histogram can be drawn later with any edges. */
const coarse = (score: number): string => String(Number(score.toPrecision(3)));

/** Counts of one shard, one step of the list, or all. */
export class Counts {
  /** By step and category: what came out of the step. */
  readonly funnel = new Map<string, Map<string, Amount>>();
  /** By category and reason. */
  readonly drops: Table = new Map();
  readonly tallies = new Map<string, number>();
  readonly #examples = new Map<string, Ranked[]>();
  /** By category: documents by power of two of their characters. */
  readonly lengths = new Map<string, number[]>();
  /** By name: how often each (coarse) score was seen. */
  readonly scores: Table = new Map();
  /** Seconds of work by step, of all workers together. */
  readonly seconds = new Map<string, number>();

  /** A document that a step let pass. */
  pass(step: string, category: string, { bytes, characters }: { readonly bytes: number; readonly characters: number }, documents = 1): void {
    const rows = innerOf(this.funnel, step);
    const row = rows.get(category);
    if (row === undefined) rows.set(category, { documents, bytes, characters });
    else {
      row.documents += documents;
      row.bytes += bytes;
      row.characters += characters;
    }
  }

  drop(reason: string, example: ReportExample): void {
    add(innerOf(this.drops, example.category), reason, 1);
    this.#offer(reason, [hash32(`${example.id}\n${example.text}`), example]);
  }

  #offer(reason: string, ranked: Ranked): void {
    const held = this.#examples.get(reason) ?? [];
    if (held.length >= EXAMPLES && held[held.length - 1][0] <= ranked[0]) return;
    held.push(ranked);
    held.sort((a, b) => a[0] - b[0]);
    held.length = Math.min(held.length, EXAMPLES);
    this.#examples.set(reason, held);
  }

  count(name: string, by = 1): void {
    add(this.tallies, name, by);
  }

  length(category: string, characters: number): void {
    let bins = this.lengths.get(category);
    if (bins === undefined) {
      bins = [];
      this.lengths.set(category, bins);
    }
    countPower(bins, characters);
  }

  score(doc: Doc): void {
    for (const [name, score] of Object.entries(doc.scores ?? {})) if (Number.isFinite(score)) add(innerOf(this.scores, name), coarse(score), 1);
  }

  spend(step: string, seconds: number): void {
    add(this.seconds, step, seconds);
  }

  /** Adds what another counted. */
  merge(other: Counts): void {
    for (const [step, rows] of other.funnel) for (const [category, { documents, ...size }] of rows) this.pass(step, category, size, documents);
    for (const [category, reasons] of other.drops) for (const [reason, n] of reasons) add(innerOf(this.drops, category), reason, n);
    for (const [name, n] of other.tallies) add(this.tallies, name, n);
    for (const [reason, list] of other.#examples) for (const ranked of list) this.#offer(reason, ranked);
    for (const [category, bins] of other.lengths) {
      const own = this.lengths.get(category) ?? [];
      addPowers(own, bins);
      this.lengths.set(category, own);
    }
    for (const [name, values] of other.scores) for (const [value, n] of values) add(innerOf(this.scores, name), value, n);
    for (const [step, seconds] of other.seconds) add(this.seconds, step, seconds);
  }

  examples(): Map<string, ReportExample[]> {
    return new Map([...this.#examples].map(([reason, list]) => [reason, list.map(([, example]) => example)]));
  }

  /** Documents dropped in all. */
  dropped(): number {
    let sum = 0;
    for (const reasons of this.drops.values()) for (const n of reasons.values()) sum += n;
    return sum;
  }

  toJSON(): unknown {
    const nested = <T>(table: Map<string, Map<string, T>>): unknown => [...table].map(([name, inner]) => [name, [...inner]]);
    return {
      version: 1,
      funnel: nested(this.funnel),
      drops: nested(this.drops),
      tallies: [...this.tallies],
      examples: [...this.#examples],
      lengths: [...this.lengths],
      scores: nested(this.scores),
      seconds: [...this.seconds],
    };
  }

  /** What `toJSON` gave. */
  static parse(text: string): Counts {
    type Nested<T> = [string, [string, T][]][];
    const raw = JSON.parse(text) as {
      funnel: Nested<Amount>;
      drops: Nested<number>;
      tallies: [string, number][];
      examples: [string, Ranked[]][];
      lengths: [string, number[]][];
      scores: Nested<number>;
      seconds: [string, number][];
    };
    const counts = new Counts();
    for (const [step, rows] of raw.funnel) counts.funnel.set(step, new Map(rows));
    for (const [category, reasons] of raw.drops) counts.drops.set(category, new Map(reasons));
    for (const [name, n] of raw.tallies) counts.tallies.set(name, n);
    for (const [reason, list] of raw.examples) counts.#examples.set(reason, list);
    for (const [category, bins] of raw.lengths) counts.lengths.set(category, bins);
    for (const [name, values] of raw.scores) counts.scores.set(name, new Map(values));
    for (const [step, seconds] of raw.seconds) counts.seconds.set(step, seconds);
    return counts;
  }
}
