/**
 * Packing beside the original's: tokens lost, fill, and how even the buckets are, on the corpora of SCION_DATA and on made
 * lengths. The original's splicer is written here from the description of what it does (bins over the concatenation,
 * sort by category and length, next fit inside a buffer of 8 packs, an open pack kept only at the very end).
 *
 *   node bench/data/pack.ts [--quick] [--json FILE]
 *
 * With --quick only the made lengths of 2,000 documents. Prints one JSON object at the end.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, env, stderr, stdout } from 'node:process';
import { Random } from '../../src/base/random.ts';
import { openPacked, packShards } from '../../src/data/packed/index.ts';
import { openTokenShard } from '../../src/data/packed/token-shard.ts';
import { host } from '../../src/host/index.ts';
import { loadTokenizer, type Tokenizer } from '../../src/text/tokenizer.ts';
import { byteTokenizer } from '../../test/data/byte-tokenizer.ts';

const DATA = env.SCION_DATA ?? join(import.meta.dirname, '../../../shared/data');
const BUCKETS = 10;

interface Item {
  readonly category: string;
  readonly length: number;
}

/** What a way of packing gave. */
interface Outcome {
  readonly packs: number;
  readonly tokensIn: number;
  readonly tokensPacked: number;
  readonly lostPercent: number;
  readonly fillPercent: number;
}

const outcome = (packs: number, tokensIn: number, tokensPacked: number, T: number): Outcome => ({
  packs,
  tokensIn,
  tokensPacked,
  lostPercent: (100 * (tokensIn - tokensPacked)) / tokensIn,
  fillPercent: (100 * tokensPacked) / (packs * T),
});

/** The original's way: what it emits of these documents, in the order of its input files. */
function originalSplicer(items: readonly Item[], T: number): Outcome & { cutOffPercent: number; shareOffPoints: number } {
  const interval = Math.ceil(100 / BUCKETS);
  let packs = 0;
  let packed = 0;
  const mixes: Map<string, number>[] = [];
  for (let part = 0; part * interval < 100; part++) {
    const from = Math.floor((items.length * part * interval) / 100);
    const to = Math.floor((items.length * Math.min(100, (part + 1) * interval)) / 100);
    const sorted = items.slice(from, to).sort((a, b) => (a.category < b.category ? -1 : a.category > b.category ? 1 : a.length - b.length));
    const mix = new Map<string, number>();
    mixes.push(mix);
    for (let at = 0; at < sorted.length; ) {
      const buffer: Item[] = [];
      for (let held = 0; at < sorted.length && held < 8 * T; at++) {
        buffer.push(sorted[at]);
        held += Math.min(sorted[at].length, T);
      }
      let open: Item[] = [];
      let filled = 0;
      const emit = (pack: readonly Item[]): void => {
        if (pack.length === 0) return;
        packs++;
        for (const { category, length } of pack) {
          packed += Math.min(length, T);
          mix.set(category, (mix.get(category) ?? 0) + Math.min(length, T));
        }
      };
      for (const item of buffer) {
        if (item.length > T) emit([item]);
        else if (filled + item.length <= T) {
          open.push(item);
          filled += item.length;
        } else {
          emit(open);
          open = [item];
          filled = item.length;
        }
      }
      if (at === sorted.length) emit(open);
    }
  }
  const whole = new Map<string, number>();
  for (const mix of mixes) for (const [category, tokens] of mix) whole.set(category, (whole.get(category) ?? 0) + tokens);
  const tokensIn = items.reduce((sum, { length }) => sum + length, 0);
  const cutOff = items.reduce((sum, { length }) => sum + Math.max(0, length - T), 0);
  return { ...outcome(packs, tokensIn, packed, T), cutOffPercent: (100 * cutOff) / tokensIn, shareOffPoints: shareOff([...whole.keys()], mixes) };
}

/** The greatest distance, in points of percent, of a category's share in a bucket from its share in the whole. */
function shareOff(categories: readonly string[], mixes: readonly ReadonlyMap<string, number>[]): number {
  const sum = (mix: ReadonlyMap<string, number>): number => [...mix.values()].reduce((a, b) => a + b, 0);
  const all = mixes.reduce((total, mix) => total + sum(mix), 0);
  let worst = 0;
  for (const category of categories) {
    const share = mixes.reduce((total, mix) => total + (mix.get(category) ?? 0), 0) / all;
    for (const mix of mixes) worst = Math.max(worst, 100 * Math.abs((mix.get(category) ?? 0) / sum(mix) - share));
  }
  return worst;
}

const machine = await host();

/** Packs shards our way; gives the outcome and the documents in order of input. */
async function ours(shards: readonly string[], tokenizer: Tokenizer, T: number, scratch: string) {
  const start = performance.now();
  const work = join(scratch, `work-${T}`);
  const { plan, manifest } = await packShards(machine, { shards, tokenizer, T, buckets: BUCKETS, seed: 1, scratch: work, out: join(scratch, `out-${T}`) });
  const seconds = (performance.now() - start) / 1000;
  const items: Item[] = [];
  for (const path of plan.shards) {
    const shard = await openTokenShard(machine.files, path);
    await shard.file.close();
    shard.category.forEach((c, i) => {
      items.push({ category: shard.counts.categories[c].category, length: shard.starts[i + 1] - shard.starts[i] });
    });
  }
  const folder = await openPacked(machine.files, join(scratch, `out-${T}`));
  let oneTopic = 0;
  let chunks = 0;
  for (let k = 0; k < BUCKETS; k++) {
    const bucket = await folder.bucket(k);
    for (let p = 0; p < bucket.packs; p++) {
      const segments = bucket.segments(p);
      chunks += segments.length;
      if (new Set(segments.map(({ category }) => category)).size === 1) oneTopic++;
    }
    await bucket.close();
  }
  const least = items.reduce((sum, { length }) => sum + Math.ceil(length / T), 0);
  const mixes = manifest.buckets.map(({ mix }) => new Map(mix.map((tokens, i) => [manifest.categories[i].category, tokens])));
  const bucketTokens = manifest.buckets.map(({ tokens }) => tokens);
  return {
    items,
    result: {
      ...outcome(manifest.packs, plan.tokens, manifest.tokens, T),
      bestPossiblePacks: Math.ceil(plan.tokens / T),
      shareOffPoints: shareOff(
        manifest.categories.map(({ category }) => category),
        mixes,
      ),
      bucketTokensOffPercent: (100 * Math.max(...bucketTokens.map((n) => Math.abs(n * BUCKETS - manifest.tokens)))) / manifest.tokens,
      oneTopicPercent: (100 * oneTopic) / manifest.packs,
      cutsBeyondNeedPercent: (100 * (chunks - least)) / least,
      seconds,
    },
  };
}

type Row = { readonly data: string; readonly T: number; readonly documents: number } & Record<string, unknown>;
const rows: Row[] = [];

async function compare(data: string, shards: readonly string[], tokenizer: Tokenizer, scratch: string): Promise<void> {
  for (const T of [4096, 512]) {
    const { items, result } = await ours(shards, tokenizer, T, scratch);
    const original = originalSplicer(items, T);
    rows.push({ data, T, documents: items.length, ours: result, original });
    stderr.write(
      `${data} T=${T}: lost ${result.lostPercent.toFixed(2)} % (original ${original.lostPercent.toFixed(2)} %, ${original.cutOffPercent.toFixed(2)} % cut off long documents), fill ${result.fillPercent.toFixed(2)} % (${original.fillPercent.toFixed(2)} %), share off ${result.shareOffPoints.toFixed(3)} (${original.shareOffPoints.toFixed(1)}) points, ${result.oneTopicPercent.toFixed(1)} % of one topic, ${result.cutsBeyondNeedPercent.toFixed(2)} % more chunks than need be, ${result.seconds.toFixed(1)} s\n`,
    );
  }
}

/** A shard of one-byte tokens with these lengths, begin and end marks included. */
function madeShard(folder: string, lengths: readonly number[]): string {
  const path = join(folder, 'made.jsonl');
  writeFileSync(
    path,
    lengths.map((n, i) => `${JSON.stringify({ id: String(i), category: `topic ${i % 5}`, target: 'x'.repeat(Math.max(1, n - 2)) })}\n`).join(''),
  );
  return path;
}

const scratch = mkdtempSync(join(tmpdir(), 'scion-pack-'));
try {
  const quick = argv.includes('--quick');
  for (const documents of quick ? [2000] : [2000, 20_000]) {
    const random = new Random(5);
    const logNormal = Array.from({ length: documents }, () => Math.max(8, Math.round(400 * Math.exp(random.normal()))));
    const uniform = Array.from({ length: documents }, () => 50 + random.below(1451));
    for (const [name, lengths] of [
      ['log-normal', logNormal],
      ['uniform 50-1500', uniform],
    ] as const) {
      await compare(`${name}, ${documents} documents`, [madeShard(scratch, lengths)], byteTokenizer(), scratch);
    }
  }
  if (!quick) {
    const corpora = join(DATA, 'corpora');
    const shards = readdirSync(corpora)
      .filter((name) => name.endsWith('.jsonl'))
      .sort()
      .map((name) => join(corpora, name));
    for (const name of ['llama2', 'chinese_llama2_55k']) {
      await compare(`corpora, ${name}`, shards, await loadTokenizer(machine.files, join(DATA, 'tokenizers', name)), scratch);
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
const report = { bench: 'data/pack', host: machine.version, cores: machine.cores, load: loadavg()[0], rows };
const target = argv.indexOf('--json');
if (target > 0) writeFileSync(argv[target + 1], `${JSON.stringify(report, null, 2)}\n`);
stdout.write(`${JSON.stringify(report)}\n`);
