/**
 * What becomes of every document, once its likes are known: equal documents, groups of near-duplicates and which of a
 * group stays, texts that lie in others, and repeated paragraphs and lines of what is left. A few bytes a
 * document are held for it, whatever the length of documents.
 */
import { writeWhole } from '../../host/whole-file.ts';
import type { DedupConfig } from './config.ts';
import { BATCH_PAIRS, type Compared, comparePairs, nearPairs, readRound, Seen, type Work } from './near.ts';
import { SECTION } from './sketch.ts';
import { groups } from './sketch-file.ts';

/** What becomes of a document; KEPT is 0. */
export const KEPT = 0;
export const EXACT = 1;
export const NEAR = 2;
export const CONTAINED = 3;

/** By document number. */
export interface Decision {
  readonly fate: Uint8Array;
  /** The document because of which it goes. It stays, or goes because of another: `keeperOf` follows. */
  readonly cause: Uint32Array;
  /** Likeness of the two; NaN where they are linked through others and were not compared themselves. */
  readonly likeness: Float32Array;
  clusters: number;
  largestCluster: number;
  compared: number;
  /** Compared pairs by similarity, 20 steps of 0.05. */
  readonly similarities: number[];
  /** Files with repeated pieces, see `cutsOf`. */
  readonly cuts: { readonly path: string; readonly kind: 'paragraph' | 'line' }[];
}

/** The document that stays in place of this one. */
export function keeperOf({ fate, cause }: Decision, document: number): number {
  let at = document;
  while (fate[at] !== KEPT) at = cause[at];
  return at;
}

/** Decides on all documents. */
export async function decide(work: Work): Promise<Decision> {
  const total = work.bases[work.bases.length - 1];
  const decision: Decision = {
    fate: new Uint8Array(total),
    cause: new Uint32Array(total),
    likeness: new Float32Array(total).fill(Number.NaN),
    clusters: 0,
    largestCluster: 0,
    compared: 0,
    similarities: new Array<number>(20).fill(0),
    cuts: [],
  };
  if (work.config.exact !== 'off') await equalDocuments(work, decision);
  if (work.config.near) await nearDocuments(work, decision);
  if (work.config.containment) await containedDocuments(work, decision, work.config.containment);
  if (work.config.paragraphs) await repeatedPieces(work, decision, 'paragraph');
  if (work.config.lines) await repeatedPieces(work, decision, 'line');
  return decision;
}

async function equalDocuments(work: Work, { fate, cause, likeness }: Decision): Promise<void> {
  for await (const part of work.sketches.parts(SECTION.document, work.bases)) {
    for (const group of groups(part, 4)) {
      const documents = group.map((i) => part.words[i * part.width + 4]);
      for (const document of documents.slice(1)) {
        fate[document] = EXACT;
        cause[document] = documents[0];
        likeness[document] = 1;
      }
    }
  }
}

function note(decision: Decision, { similarity }: Compared): void {
  decision.compared++;
  decision.similarities[Math.min(19, Math.floor(similarity * 20))]++;
}

async function nearDocuments(work: Work, decision: Decision): Promise<void> {
  const { fate, cause, likeness } = decision;
  const { groups: joined, rounds } = await nearPairs(work, fate);
  for (const path of rounds) await readRound(work, path, (pair) => note(decision, pair));
  const total = fate.length;
  const keepChains = work.config.chains === 'keep';
  // Members that wait for a keeper. Those that are not like the one chosen may wait for the next (chains: keep).
  const waiting = new Uint8Array(total);
  const found: number[] = [];
  for (let d = 0; d < total; d++) {
    const root = joined.root(d);
    if (root === d) continue;
    if (waiting[root] === 0) found.push(root);
    waiting[root] = 1;
    waiting[d] = 1;
  }
  if (found.length === 0) return;
  const roots = Uint32Array.from(found).sort();
  const clusterOf = (document: number): number => placeOf(roots, joined.root(document));
  const sizes = new Uint32Array(roots.length);
  for (let d = 0; d < total; d++) if (waiting[d] === 1) sizes[clusterOf(d)]++;
  decision.clusters = roots.length;
  decision.largestCluster = sizes.reduce((most, size) => Math.max(most, size), 0);

  for (let turn = 0; turn < (keepChains ? work.config.representatives : 1); turn++) {
    const keepers = await chooseKeepers(work, waiting, clusterOf, roots.length);
    let left = 0;
    for (let d = 0; d < total; d++) {
      if (waiting[d] === 0) continue;
      cause[d] = keepers[clusterOf(d)];
      if (cause[d] === d) waiting[d] = 0;
      else left++;
    }
    if (left === 0) break;
    // Likeness to the one that stays, where the two were compared.
    for (const path of rounds) {
      await readRound(work, path, ({ a, b, similarity }) => {
        if (waiting[b] === 1 && cause[b] === a) likeness[b] = similarity;
        if (waiting[a] === 1 && cause[a] === b) likeness[a] = similarity;
      });
    }
    if (keepChains) await compareWithKeepers(work, decision, waiting);
    for (let d = 0; d < total; d++) {
      if (waiting[d] === 0 || (keepChains && !(likeness[d] >= Math.fround(work.config.threshold)))) continue;
      fate[d] = NEAR;
      waiting[d] = 0;
    }
  }
}

/** Where `value` stands in a rising list that holds it. */
function placeOf(rising: Uint32Array, value: number): number {
  let [low, high] = [0, rising.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** By cluster: the waiting member of the highest rank, the first of equals. */
async function chooseKeepers(work: Work, waiting: Uint8Array, clusterOf: (document: number) => number, clusters: number): Promise<Uint32Array> {
  const ranks = new Float64Array(clusters);
  const chosen = new Uint8Array(clusters);
  const keepers = new Uint32Array(clusters);
  await work.sketches.eachFacts((facts, shard) => {
    for (let i = 0; i < facts.documents; i++) {
      const d = work.bases[shard] + i;
      if (waiting[d] === 0) continue;
      const c = clusterOf(d);
      const rank = facts.rank(i);
      if (chosen[c] === 1 && !(rank > ranks[c])) continue;
      ranks[c] = rank;
      keepers[c] = d;
      chosen[c] = 1;
    }
  });
  return keepers;
}

/** Compares waiting members with the one that stays, where that was not done. */
async function compareWithKeepers(work: Work, decision: Decision, waiting: Uint8Array): Promise<void> {
  const { cause, likeness } = decision;
  let pairs: number[] = [];
  const flush = async (): Promise<void> => {
    for (const pair of await comparePairs(work, pairs, 2)) {
      note(decision, pair);
      likeness[waiting[pair.b] === 1 && cause[pair.b] === pair.a ? pair.b : pair.a] = pair.similarity;
    }
    pairs = [];
  };
  for (let d = 0; d < waiting.length; d++) {
    if (waiting[d] === 0) continue;
    // What is known is likeness to the keeper of an earlier turn, which was too little, or to this one.
    if (likeness[d] >= Math.fround(work.config.threshold)) continue;
    pairs.push(Math.min(d, cause[d]), Math.max(d, cause[d]));
    if (pairs.length >= 2 * BATCH_PAIRS) await flush();
  }
  await flush();
}

async function containedDocuments(work: Work, decision: Decision, rule: NonNullable<DedupConfig['containment']>): Promise<void> {
  const { fate, cause, likeness } = decision;
  const seen = new Seen(fate.length);
  /** For a contained document, the longer one and the share. */
  const inside = new Map<number, { longer: number; share: number }>();
  let pairs: number[] = [];
  const flush = async (): Promise<void> => {
    for (const pair of await comparePairs(work, pairs, 2)) {
      note(decision, pair);
      const { a, b, similarity, sizeA, sizeB } = pair;
      const [shorter, longer, size] = sizeA < sizeB ? [a, b, sizeA] : [b, a, sizeB];
      if (size < rule.minShingles) continue;
      const share = (similarity * (sizeA + sizeB)) / (1 + similarity) / size;
      // Rounding of the two divisions must not decide at the threshold.
      if (share + 1e-12 < rule.threshold) continue;
      const held = inside.get(shorter);
      if (held === undefined || share > held.share || (share === held.share && longer < held.longer)) inside.set(shorter, { longer, share });
    }
    pairs = [];
  };
  for await (const part of work.sketches.parts(SECTION.anchor, work.bases)) {
    for (const group of groups(part, 2)) {
      if (group.length > rule.maxShared) continue;
      const documents = group.map((i) => part.words[i * part.width + 2]).filter((document) => fate[document] === KEPT);
      for (let j = 1; j < documents.length; j++) {
        for (let i = 0; i < j; i++) {
          if (seen.has(documents[i], documents[j])) continue;
          seen.add(documents[i], documents[j]);
          pairs.push(documents[i], documents[j]);
        }
      }
      if (pairs.length >= 2 * BATCH_PAIRS) await flush();
    }
  }
  await flush();
  // From shorter to longer, and among equals from later to earlier: there is no way back, so every chain ends at one that stays.
  for (const [shorter, { longer, share }] of inside) {
    fate[shorter] = CONTAINED;
    cause[shorter] = longer;
    likeness[shorter] = share;
  }
}

/** Finds pieces that documents which stay have more than once; all places but the first go into files. */
async function repeatedPieces(work: Work, decision: Decision, kind: 'paragraph' | 'line'): Promise<void> {
  const { bases } = work;
  let number = 0;
  for await (const part of work.sketches.parts(SECTION[kind], bases)) {
    const cuts: { document: number; piece: number }[] = [];
    for (const group of groups(part, 2)) {
      const places = group
        .map((i) => ({ document: part.words[i * part.width + 3], piece: part.words[i * part.width + 2] }))
        .filter(({ document }) => decision.fate[document] === KEPT);
      for (const place of places.slice(1)) cuts.push(place);
    }
    if (cuts.length === 0) continue;
    cuts.sort((x, y) => x.document - y.document || x.piece - y.piece);
    const words = new Uint32Array(bases.length + 2 * cuts.length);
    cuts.forEach(({ document, piece }, i) => {
      words[bases.length + 2 * i] = document;
      words[bases.length + 2 * i + 1] = piece;
    });
    for (let s = 0, i = 0; s < bases.length; s++) {
      while (i < cuts.length && cuts[i].document < bases[s]) i++;
      words[s] = i;
    }
    const path = `${work.scratch}/cuts-${kind}-${String(number++).padStart(4, '0')}.bin`;
    await writeWhole(work.host.files, path, new Uint8Array(words.buffer));
    decision.cuts.push({ path, kind });
  }
}
