/**
 * Verdicts: what deduplication found on the documents of one shard, one JSON file a shard, and how it is applied. A
 * verdict names documents by their place, because ids need not be unique.
 */
import type { Doc } from '../../data/doc.ts';
import type { HostFiles } from '../../host/types.ts';
import { writeWhole } from '../../host/whole-file.ts';
import type { TaskContext } from '../pipeline/tasks.ts';
import type { Drop } from '../step.ts';
import { CONTAINED, EXACT, NEAR } from './decide.ts';
import { cutSpans, joinSpans, piecesOf } from './pieces.ts';
import { Facts, idsOf } from './sketch-file.ts';
import { compose, Units } from './units.ts';

/** A document by its place. */
export interface Place {
  readonly shard: number;
  readonly index: number;
  readonly id: string;
}

export interface VerdictDrop {
  /** In its shard. */
  readonly index: number;
  readonly reason: 'dedup.exact' | 'dedup.near' | 'dedup.contained' | 'dedup.little-left';
  readonly note: string;
  /** The document that stays in its place. */
  readonly keeper?: Place;
  /** Jaccard similarity to it (`dedup.contained`: share of the shorter one); absent where the two were not compared themselves. */
  readonly similarity?: number;
}

export interface VerdictCut {
  readonly index: number;
  /** UTF-16 units of `target`: start, end; ascending and apart. */
  readonly spans: readonly (readonly [number, number])[];
  readonly reason: 'dedup.paragraph' | 'dedup.line';
}

/** Both lists by rising index. */
export interface Verdict {
  readonly version: 1;
  readonly drops: readonly VerdictDrop[];
  readonly cuts: readonly VerdictCut[];
}

export async function readVerdict(files: HostFiles, path: string): Promise<Verdict> {
  return JSON.parse(new TextDecoder().decode(await files.read(path))) as Verdict;
}

function find<T extends { readonly index: number }>(sorted: readonly T[], index: number): T | undefined {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle].index < index) low = middle + 1;
    else high = middle;
  }
  return sorted[low]?.index === index ? sorted[low] : undefined;
}

/** The document with what is repeated cut out, or why it goes. `index`: its place in the shard of the verdict. */
export function applyVerdict(doc: Doc, index: number, verdict: Verdict): Doc | (Drop & Pick<VerdictDrop, 'keeper' | 'similarity'>) {
  const drop = find(verdict.drops, index);
  if (drop) {
    const { index: _, ...found } = drop;
    return found;
  }
  const cut = find(verdict.cuts, index);
  if (cut) doc.target = cutSpans(doc.target, cut.spans);
  return doc;
}

export interface VerdictInput {
  readonly out: string;
  readonly shard: number;
  /** Of all. */
  readonly shards: number;
  readonly path: string;
  readonly sketch: string;
  /** Number of its first document. */
  readonly base: number;
  /** Three words a drop: index, fate, place of the keeper in `keepers`. */
  readonly drops: Uint32Array;
  readonly likeness: Float32Array;
  /** Two words: place in `sketches`, index there. */
  readonly keepers: Uint32Array;
  readonly sketches: readonly { readonly path: string; readonly shard: number }[];
  readonly cuts: readonly { readonly path: string; readonly kind: 'paragraph' | 'line' }[];
  readonly minLeft: number;
}

/** What became of a shard, for the report. */
export interface VerdictSummary {
  readonly drops: Record<VerdictDrop['reason'], number>;
  readonly cutDocuments: number;
  readonly cutCharacters: number;
  readonly examples: readonly { readonly kept: Place; readonly dropped: Place; readonly similarity: number | null; readonly reason: string }[];
}

/** Examples of a reason that a shard gives. */
const EXAMPLES = 5;

const FATES: Record<number, 'dedup.exact' | 'dedup.near' | 'dedup.contained'> = {
  [EXACT]: 'dedup.exact',
  [NEAR]: 'dedup.near',
  [CONTAINED]: 'dedup.contained',
};

function noteOf(fate: number, likeness: number, keeper: Place): string {
  const of = `${keeper.id} (shard ${keeper.shard}, ${keeper.index})`;
  if (fate === EXACT) return likeness === 1 ? `the same text as ${of}` : `the same text as one that went because of ${of}`;
  if (Number.isNaN(likeness)) return `linked through others with ${of}`;
  const share = `${(100 * likeness).toFixed(1)} %`;
  return fate === CONTAINED ? `${share} of it lies in ${of}` : `similarity ${share} to ${of}`;
}

/** Pieces to cut, by index in the shard. */
async function cutsOf(files: HostFiles, { cuts, shard, shards, base }: VerdictInput): Promise<Map<number, { paragraph: number[]; line: number[] }>> {
  const found = new Map<number, { paragraph: number[]; line: number[] }>();
  for (const { path, kind } of cuts) {
    const reader = await files.open(path);
    try {
      const range = new Uint32Array((await reader.read(4 * shard, 8)).slice().buffer);
      if (range[0] === range[1]) continue;
      const header = 4 * (shards + 1);
      const words = new Uint32Array((await reader.read(header + 8 * range[0], 8 * (range[1] - range[0]))).slice().buffer);
      for (let i = 0; i < words.length; i += 2) {
        const index = words[i] - base;
        let entry = found.get(index);
        if (entry === undefined) {
          entry = { paragraph: [], line: [] };
          found.set(index, entry);
        }
        entry[kind].push(words[i + 1]);
      }
    } finally {
      await reader.close();
    }
  }
  return found;
}

/** The documents that stay instead of others, in the order of `keepers`; a sketch is opened once. */
async function keepersOf({ keepers, sketches }: VerdictInput, files: HostFiles): Promise<Place[]> {
  const bySketch: number[][] = sketches.map(() => []);
  for (let k = 0; k < keepers.length / 2; k++) bySketch[keepers[2 * k]].push(k);
  const places: Place[] = [];
  for (let s = 0; s < sketches.length; s++) {
    const indexes = bySketch[s].map((k) => keepers[2 * k + 1]);
    const ids = await idsOf(files, sketches[s].path, indexes);
    bySketch[s].forEach((k, i) => {
      places[k] = { shard: sketches[s].shard, index: indexes[i], id: ids[i] };
    });
  }
  return places;
}

/** The verdict of one shard. */
async function judge(input: VerdictInput, files: HostFiles): Promise<Verdict> {
  const keepers = await keepersOf(input, files);
  const drops: VerdictDrop[] = [];
  for (let i = 0; i < input.likeness.length; i++) {
    const [index, fate, place] = input.drops.subarray(3 * i, 3 * i + 3);
    const likeness = input.likeness[i];
    const similarity = Number.isNaN(likeness) ? {} : { similarity: Number(likeness.toFixed(6)) };
    drops.push({ index, reason: FATES[fate], note: noteOf(fate, likeness, keepers[place]), keeper: keepers[place], ...similarity });
  }
  const facts = await Facts.of(files, input.sketch);
  const shard = await files.open(input.path);
  try {
    const cuts: VerdictCut[] = [];
    const units = new Units();
    for (const [index, { paragraph, line }] of [...(await cutsOf(files, input))].sort((x, y) => x[0] - y[0])) {
      const { offset, bytes } = facts.place(index);
      const doc = JSON.parse(new TextDecoder().decode(await shard.read(offset, bytes))) as Doc;
      const spans: [number, number][] = [];
      for (const [kind, pieces] of [['paragraph', paragraph] as const, ['line', line] as const]) {
        if (pieces.length === 0) continue;
        const all = piecesOf(doc.target, kind);
        for (const piece of pieces) spans.push([all[3 * piece], all[3 * piece + 2]]);
      }
      const joined = joinSpans(spans);
      units.read(compose(cutSpans(doc.target, joined)));
      if (units.count < input.minLeft) {
        drops.push({
          index,
          reason: 'dedup.little-left',
          note: `${units.count} of at least ${input.minLeft} words or characters are left without what others have`,
        });
      } else cuts.push({ index, spans: joined, reason: paragraph.length > 0 ? 'dedup.paragraph' : 'dedup.line' });
    }
    drops.sort((x, y) => x.index - y.index);
    return { version: 1, drops, cuts };
  } finally {
    await shard.close();
  }
}

/** The task `dedup.verdict`: writes the verdict of a shard unless it is there, and sums it up. */
export async function verdictTask(input: VerdictInput, { host: { files } }: TaskContext): Promise<VerdictSummary> {
  let verdict: Verdict;
  if ((await files.stat(input.out)) !== null) verdict = await readVerdict(files, input.out);
  else {
    verdict = await judge(input, files);
    await writeWhole(files, input.out, new TextEncoder().encode(`${JSON.stringify(verdict)}\n`));
  }
  const drops = { 'dedup.exact': 0, 'dedup.near': 0, 'dedup.contained': 0, 'dedup.little-left': 0 };
  const wanted: { drop: VerdictDrop; keeper: Place }[] = [];
  for (const drop of verdict.drops) {
    drops[drop.reason]++;
    if (drop.keeper && drops[drop.reason] <= EXAMPLES) wanted.push({ drop, keeper: drop.keeper });
  }
  const ids = await idsOf(
    files,
    input.sketch,
    wanted.map(({ drop }) => drop.index),
  );
  const examples = wanted.map(({ drop, keeper }, i) => ({
    kept: keeper,
    dropped: { shard: input.shard, index: drop.index, id: ids[i] },
    similarity: drop.similarity ?? null,
    reason: drop.reason,
  }));
  const cutCharacters = verdict.cuts.reduce((sum, { spans }) => sum + spans.reduce((length, [start, end]) => length + end - start, 0), 0);
  return { drops, cutDocuments: verdict.cuts.length, cutCharacters, examples };
}
