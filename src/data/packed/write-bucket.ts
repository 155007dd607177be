/**
 * Writes one bucket: packs its pieces, puts the packs in seeded order, and gathers their tokens from the token files by
 * range, a block of packs at a time. In memory are the list of pieces, the flags (an eighth of a byte a token) and
 * one block; never all tokens. Each bucket is written from the plan alone, so the order of writing does not matter.
 *
 * Layout: `docs/data-pack.md`.
 */
import { invariant } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { Random } from '../../base/random.ts';
import { readExactly } from '../../formats/bytes.ts';
import { openSafetensors } from '../../formats/safetensors.ts';
import { tensorEntry, writeSafetensors } from '../../formats/safetensors-write.ts';
import type { FileReader, Host, HostFiles } from '../../host/types.ts';
import { saveTokenizer } from '../../text/tokenizer.ts';
import type { Tokenizer } from '../../text/types.ts';
import { IGNORE_LABEL } from '../pack.ts';
import { writeAside } from './aside.ts';
import { bitAt, bitBytes, bytesOf, copyBits, newTokens, tokensOf, tokenWidth } from './bits.ts';
import { fitPieces } from './fit.ts';
import type { HeldOutFile } from './held-out.ts';
import { type BucketFacts, type PackedManifest, writeManifest } from './manifest.ts';
import { type PackPlan, readPieces, readPlan } from './plan.ts';

/** Philox stream of the order of packs. */
const ORDER_STREAM = 0x6f726465;
/** Tokens gathered at once. */
const BLOCK_TOKENS = 1 << 21;
/** Flags read at once, in bytes. */
const SPAN_BYTES = 1 << 20;
/** Reads under way at once. */
const READS = 8;

export const bucketName = (bucket: number): string => `bucket-${String(bucket).padStart(2, '0')}.safetensors`;

/** A segment and where its tokens lie. */
interface Placed {
  readonly shard: number;
  /** First token in the token file. */
  readonly at: number;
  readonly length: number;
  /** True if the document goes on behind it. */
  readonly goesOn: boolean;
  /** Index in the segment table, pack, first token in the pack. */
  readonly segment: number;
  readonly pack: number;
  readonly start: number;
}

/** Where `tokens` and `learnt` lie in a token file. */
interface Offsets {
  readonly tokens: number;
  readonly learnt: number;
}

/** The segments of one token file, in its order, and how to read there. */
interface Group {
  readonly path: string;
  readonly reader: FileReader;
  readonly offsets: Offsets;
  readonly segments: readonly Placed[];
}

/** Runs `work` on all items, `READS` of them at once. */
async function some<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += READS) await Promise.all(items.slice(i, i + READS).map(work));
}

/** Opens each token file once for all segments that lie there. */
class Gatherer {
  readonly #files: HostFiles;
  readonly #plan: PackPlan;
  readonly #offsets = new Map<number, Offsets>();

  constructor(files: HostFiles, plan: PackPlan) {
    this.#files = files;
    this.#plan = plan;
  }

  async visit(segments: Iterable<Placed>, work: (group: Group) => Promise<void>): Promise<void> {
    const sorted = [...segments].sort((a, b) => a.shard - b.shard || a.at - b.at);
    for (let i = 0; i < sorted.length; ) {
      const { shard } = sorted[i];
      let end = i;
      while (end < sorted.length && sorted[end].shard === shard) end++;
      const path = this.#plan.shards[shard];
      const reader = await this.#files.open(path);
      try {
        let offsets = this.#offsets.get(shard);
        if (offsets === undefined) {
          const file = await openSafetensors(reader, path);
          offsets = { tokens: file.info('tokens').offset, learnt: file.info('learnt').offset };
          this.#offsets.set(shard, offsets);
        }
        await work({ path, reader, offsets, segments: sorted.slice(i, end) });
        i = end;
      } finally {
        await reader.close();
      }
    }
  }
}

/**
 * Writes `buckets/bucket-NN.safetensors` of a plan into `out` and gives what the manifest says of it. The same plan gives the
 * same bytes, whoever runs it and when. `plan` is the plan's folder.
 */
export async function writeBucket(host: Host, options: { readonly plan: string; readonly bucket: number; readonly out: string }): Promise<BucketFacts> {
  const { files } = host;
  const { bucket, out } = options;
  const plan = await readPlan(files, options.plan);
  const { T, dtype } = plan;
  const width = tokenWidth(dtype);
  const pieces = await readPieces(files, options.plan, bucket);
  const fitted = fitPieces(
    Array.from(pieces.length, (length, i) => ({ length, topic: pieces.category[i], long: pieces.total[i] > T })),
    T,
    plan.minChunk,
  );
  const rows = new Random(plan.seed, (ORDER_STREAM ^ bucket) >>> 0).shuffle(fitted);

  const P = rows.length;
  const S = rows.reduce((sum, row) => sum + row.length, 0);
  const packSegments = new Uint32Array(P + 1);
  const packUsed = new Uint32Array(P);
  const packLabels = new Uint32Array(P);
  const start = new Uint32Array(S);
  const document = new Uint32Array(S);
  const from = new Uint32Array(S);
  const copy = new Uint16Array(S);
  const category = new Uint16Array(S);
  const next = new Int32Array(S).fill(IGNORE_LABEL);
  const mix = new Array<number>(plan.categories.length).fill(0);
  const pieceOf = new Uint32Array(S);
  let segment = 0;
  rows.forEach((row, pack) => {
    for (const { piece, from: inPiece, length } of row) {
      pieceOf[segment] = piece;
      start[segment] = packUsed[pack];
      document[segment] = pieces.document[piece];
      from[segment] = pieces.from[piece] + inPiece;
      copy[segment] = pieces.copy[piece];
      category[segment] = pieces.category[piece];
      mix[pieces.category[piece]] += length;
      packUsed[pack] += length;
      segment++;
    }
    packSegments[pack + 1] = segment;
  });
  /** The segments of some packs, from the tables. */
  function* placed(first: number, count: number): Generator<Placed> {
    for (let pack = first; pack < first + count; pack++) {
      const end = packSegments[pack + 1];
      for (let s = packSegments[pack]; s < end; s++) {
        const piece = pieceOf[s];
        const length = (s + 1 < end ? start[s + 1] : packUsed[pack]) - start[s];
        const goesOn = from[s] + length < pieces.total[piece];
        yield { shard: pieces.shard[piece], at: pieces.at[piece] + from[s] - pieces.from[piece], length, goesOn, segment: s, pack, start: start[s] };
      }
    }
  }

  const gatherer = new Gatherer(files, plan);
  const perBlock = Math.max(1, Math.floor(BLOCK_TOKENS / T));
  const blocks: { first: number; count: number }[] = [];
  for (let first = 0; first < P; first += perBlock) blocks.push({ first, count: Math.min(perBlock, P - first) });

  // First the flags: labels and next tokens stand in tables that come before the tokens.
  const rowBytes = bitBytes(T);
  const learnt = new Uint8Array(P * rowBytes);
  await gatherer.visit(placed(0, P), async ({ path, reader, offsets, segments }) => {
    const cut: Placed[] = [];
    for (let i = 0; i < segments.length; ) {
      // One read for all flags up to a mebibyte; few of them are of other buckets' documents, and they are small.
      const from8 = segments[i].at >>> 3;
      const endOf = ({ at, length, goesOn }: Placed): number => (at + length + (goesOn ? 1 : 0) + 7) >>> 3;
      let end = i + 1;
      let to8 = endOf(segments[i]);
      while (end < segments.length && endOf(segments[end]) - from8 <= SPAN_BYTES) to8 = Math.max(to8, endOf(segments[end++]));
      const bits = await readExactly(reader, offsets.learnt + from8, to8 - from8, path);
      for (; i < end; i++) {
        const { at, length, goesOn, pack, start: begin } = segments[i];
        const first = at - from8 * 8;
        const set = copyBits(bits, first, learnt.subarray(pack * rowBytes, (pack + 1) * rowBytes), begin, length);
        // The first token's flag is a label of what stands before it in its document, wherever that is.
        packLabels[pack] += set - bitAt(bits, first);
        if (goesOn && bitAt(bits, first + length) === 1) cut.push(segments[i]);
      }
    }
    await some(cut, async ({ at, length, segment: s, pack }) => {
      next[s] = tokensOf(await readExactly(reader, offsets.tokens + (at + length) * width, width, path), dtype)[0];
      packLabels[pack]++;
    });
  });

  async function* tokens(): AsyncGenerator<Uint8Array> {
    for (const { first, count } of blocks) {
      const block = newTokens(dtype, count * T).fill(plan.marks.pad);
      const bytes = bytesOf(block);
      await gatherer.visit(placed(first, count), ({ path, reader, offsets, segments }) =>
        some(segments, async ({ at, length, pack, start: begin }) => {
          bytes.set(await readExactly(reader, offsets.tokens + at * width, length * width, path), ((pack - first) * T + begin) * width);
        }),
      );
      yield bytes;
    }
  }

  const used = packUsed.reduce((sum, n) => sum + n, 0);
  const planned = pieces.length.reduce((sum, n) => sum + n, 0);
  invariant(used === planned, `bucket ${bucket} was to hold ${planned} tokens and holds ${used}`, { planned, used });
  const name = bucketName(bucket);
  await files.makeDir(joinPath(out, 'buckets'));
  const facts = await writeAside(host, joinPath(out, 'buckets', name), (writer) =>
    writeSafetensors(
      writer,
      [
        { name: 'tokens', dtype, shape: [P, T], chunks: tokens },
        tensorEntry('learnt', 'U8', [P, rowBytes], learnt),
        tensorEntry('pack_segments', 'U32', [P + 1], bytesOf(packSegments)),
        tensorEntry('pack_used', 'U32', [P], bytesOf(packUsed)),
        tensorEntry('pack_labels', 'U32', [P], bytesOf(packLabels)),
        tensorEntry('segment_start', 'U32', [S], bytesOf(start)),
        tensorEntry('segment_document', 'U32', [S], bytesOf(document)),
        tensorEntry('segment_from', 'U32', [S], bytesOf(from)),
        tensorEntry('segment_next', 'I32', [S], bytesOf(next)),
        tensorEntry('segment_copy', 'U16', [S], bytesOf(copy)),
        tensorEntry('segment_category', 'U16', [S], bytesOf(category)),
      ],
      { format: 'scion packed bucket', version: '1' },
    ),
  );
  return {
    file: `buckets/${name}`,
    ...facts,
    packs: P,
    trainable: packLabels.reduce((sum, n) => sum + (n > 0 ? 1 : 0), 0),
    segments: S,
    tokens: used,
    labels: packLabels.reduce((sum, n) => sum + n, 0),
    mix,
  };
}

/**
 * Ends a build: the tokenizer beside the buckets and, last, the manifest. `buckets` are the results of `writeBucket`, in
 * order; `validation` lists files of held-out documents that are there already. Throws `internal` where packed tokens are not those of the plan.
 */
export async function finishPacked(
  host: Host,
  options: {
    readonly plan: string;
    readonly out: string;
    readonly buckets: readonly BucketFacts[];
    readonly tokenizer: Tokenizer;
    readonly validation?: readonly HeldOutFile[];
  },
): Promise<PackedManifest> {
  const { out, buckets, tokenizer } = options;
  const plan = await readPlan(host.files, options.plan);
  const total = (of: (bucket: BucketFacts) => number): number => buckets.reduce((sum, bucket) => sum + of(bucket), 0);
  const tokens = total((bucket) => bucket.tokens);
  invariant(tokens === plan.tokens && buckets.length === plan.buckets, `${plan.tokens} tokens were to be packed, ${tokens} are`, {
    planned: plan.tokens,
    tokens,
  });
  await saveTokenizer(host.files, tokenizer, joinPath(out, 'tokenizer'));
  const { T, dtype, seed, minChunk, categories, marks } = plan;
  const { vocabSize, bos, eos, pad, template, tokenizer: hash } = marks;
  const packs = total((bucket) => bucket.packs);
  return writeManifest(host, out, {
    T,
    dtype,
    vocabSize,
    tokenizer: hash,
    template,
    bos,
    eos,
    pad,
    seed,
    minChunk,
    categories: categories.map((category) => ({ ...category })),
    tokens,
    labels: total((bucket) => bucket.labels),
    packs,
    segments: total((bucket) => bucket.segments),
    fill: tokens / (packs * T),
    buckets: [...buckets],
    validation: [...(options.validation ?? [])],
  });
}
