/**
 * How often bands bring two documents together, by their exact similarity: the formula beside real text. And recall and
 * precision of the whole step against all pairs compared by definition. Prints Markdown tables (docs/data-dedup.md).
 *
 *   SCION_DATA=… node bench/data/dedup-curve.ts [--json FILE]
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, env, stdout } from 'node:process';
import { type DedupInput, dedupShards, readVerdict } from '../../src/curate/dedup/index.ts';
import { candidateShare, MinHash, planBands } from '../../src/curate/dedup/minhash.ts';
import { compose, Shingles, Units } from '../../src/curate/dedup/units.ts';
import { TaskPool } from '../../src/curate/pipeline/pool.ts';
import { host } from '../../src/host/index.ts';
import { writeResults } from '../lib/result-file.ts';
import { allPairs, edited, jaccard, seeded, shinglesOf } from './dedup-oracle.ts';

const DATA = env.SCION_DATA ?? join(import.meta.dirname, '../../../shared/data');
const SIZE = { words: 5, characters: 3 };
/** Seeds of permutations over which the measured share is taken. */
const SEEDS = 5;
const RUNS = [1, 4, 16, 64];
const SHARES = [0.05, 0.1, 0.2, 0.3];

const lines = (path: string): Record<string, string>[] =>
  readFileSync(join(DATA, path), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>);

/** Every so-manieth document of each corpus, its first characters. */
function sample(every: number, characters: number): string[] {
  const files = readdirSync(join(DATA, 'corpora')).filter((name) => name.endsWith('.jsonl'));
  return files.flatMap((name) =>
    lines(`corpora/${name}`)
      .filter((_, i) => i % every === 0)
      .map(({ target }) => target.slice(0, characters)),
  );
}

/** Pairs of real text of all similarities: editions, and documents with 1 to 30 % of their characters edited. */
function pairsOfText(): [string, string][] {
  const pairs: [string, string][] = [];
  for (const { a, b } of lines('dedup/zh_tang300_two_editions.jsonl')) pairs.push([a, b]);
  for (const { a, b } of lines('dedup/en_rust_book_two_editions.jsonl')) pairs.push([a, b]);
  const random = seeded(1);
  for (const text of sample(20, 4000)) {
    for (const run of RUNS) pairs.push([text, edited(text, 0.01 + 0.29 * random(), run, random)], [text, edited(text, 0.01 + 0.1 * random(), run, random)]);
  }
  return pairs;
}

interface Bin {
  pairs: number;
  similarity: number;
  together: number[];
}

function curve(plans: readonly { bands: number; rows: number }[]): Bin[] {
  const bins: Bin[] = Array.from({ length: 20 }, () => ({ pairs: 0, similarity: 0, together: plans.map(() => 0) }));
  const units = new Units();
  const shingles = new Shingles();
  const hashers = plans.map(({ bands, rows }) => Array.from({ length: SEEDS }, (_, seed) => new MinHash(bands, rows, seed + 1)));
  const bandsOf = (text: string): Uint32Array[][] => {
    units.read(compose(text));
    shingles.read(units, SIZE);
    return hashers.map((seeds) =>
      seeds.map((minhash) => {
        minhash.read(shingles.a, shingles.count);
        const out = new Uint32Array(2 * minhash.bands);
        for (let band = 0; band < minhash.bands; band++) minhash.band(band, out, 2 * band);
        return out;
      }),
    );
  };
  for (const [a, b] of pairsOfText()) {
    const similarity = jaccard(shinglesOf(a, SIZE.words, SIZE.characters), shinglesOf(b, SIZE.words, SIZE.characters));
    const bin = bins[Math.min(19, Math.floor(similarity * 20))];
    const [x, y] = [bandsOf(a), bandsOf(b)];
    bin.pairs++;
    bin.similarity += similarity;
    plans.forEach(({ bands }, p) => {
      for (let seed = 0; seed < SEEDS; seed++) {
        let any = false;
        for (let k = 0; k < 2 * bands; k += 2) any ||= x[p][seed][k] === y[p][seed][k] && x[p][seed][k + 1] === y[p][seed][k + 1];
        if (any) bin.together[p]++;
      }
    });
  }
  return bins;
}

interface Row {
  readonly name: string;
  readonly threshold: number;
  readonly documents: number;
  readonly pairs: number;
  readonly together: number;
  readonly dropped: number;
  readonly rightly: number;
  readonly compared: number;
}

/** The whole step on `texts`, against all pairs. */
async function score(name: string, texts: readonly string[], threshold: number, root: string): Promise<Row> {
  const shard = join(root, 'shard-00000.jsonl');
  writeFileSync(shard, texts.map((target, id) => `${JSON.stringify({ id: String(id), category: 'c', target })}\n`).join(''));
  const machine = await host();
  const config: DedupInput = { exact: 'off', paragraphs: null, keep: 'first', threshold, ...SIZE };
  const result = await dedupShards({ host: machine, pool: new TaskPool(machine, 1), scratch: join(root, 'work') }, [shard], config);
  const keeper = texts.map((_, i) => i);
  for (const { index, keeper: kept } of (await readVerdict(machine.files, result.verdicts[0])).drops) keeper[index] = kept?.index ?? index;
  const truth = allPairs(
    texts.map((text) => shinglesOf(text, SIZE.words, SIZE.characters)),
    threshold,
  );
  const alike = new Set(truth.flatMap(({ a, b }) => [a, b]));
  const dropped = keeper.flatMap((kept, i) => (kept === i ? [] : [i]));
  return {
    name,
    threshold,
    documents: texts.length,
    pairs: truth.length,
    together: truth.filter(({ a, b }) => keeper[a] === keeper[b]).length,
    dropped: dropped.length,
    rightly: dropped.filter((i) => alike.has(i)).length,
    compared: result.stats.pairsVerified,
  };
}

const percent = (part: number, whole: number): string => (whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)} %`);

async function main(): Promise<void> {
  const plans = [planBands(0.8, 0.995, 128), { bands: 14, rows: 8 }, planBands(0.65, 0.995, 128), planBands(0.5, 0.995, 128)];
  const bins = curve(plans);
  stdout.write(`| similarity | pairs |${plans.map(({ bands, rows }) => ` ${bands} x ${rows}: formula | measured |`).join('')}\n`);
  stdout.write(`| --- | ---: |${plans.map(() => ' ---: | ---: |').join('')}\n`);
  bins.forEach((bin, i) => {
    if (bin.pairs === 0) return;
    const mean = bin.similarity / bin.pairs;
    const cells = plans.map(({ bands, rows }, p) => ` ${percent(candidateShare(mean, bands, rows), 1)} | ${percent(bin.together[p], bin.pairs * SEEDS)} |`);
    stdout.write(`| ${(i / 20).toFixed(2)} to ${((i + 1) / 20).toFixed(2)}, mean ${mean.toFixed(3)} | ${bin.pairs} |${cells.join('')}\n`);
  });

  const root = mkdtempSync(join(tmpdir(), 'scion-dedup-curve-'));
  const rows: Row[] = [];
  const editions = (path: string): string[] => lines(path).flatMap(({ a, b }) => [a, b]);
  for (const threshold of [0.8, 0.65, 0.5]) {
    rows.push(await score('poems in two editions', editions('dedup/zh_tang300_two_editions.jsonl'), threshold, root));
    rows.push(await score('chapters in two editions', editions('dedup/en_rust_book_two_editions.jsonl'), threshold, root));
    for (const run of RUNS) {
      const random = seeded(100 + run);
      const texts = sample(12, 4000).flatMap((text) => [text, ...SHARES.map((share) => edited(text, share, run, random))]);
      rows.push(await score(`5, 10, 20, 30 % edited, runs of ${run}`, texts, threshold, root));
    }
    rows.push(await score('all corpora as they are', sample(1, 1e9), threshold, root));
  }
  rmSync(root, { recursive: true, force: true });
  stdout.write('\n| texts | threshold | documents | pairs at it or above | in one group | dropped | with such a pair | compared |\n');
  stdout.write('| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n');
  for (const row of rows) {
    stdout.write(
      `| ${row.name} | ${row.threshold} | ${row.documents} | ${row.pairs} | ${percent(row.together, row.pairs)} | ${row.dropped} | ${percent(row.rightly, row.dropped)} | ${row.compared} |\n`,
    );
  }
  const json = argv.indexOf('--json');
  if (json >= 0) writeResults(argv[json + 1], 'bench/data/dedup-curve.ts', { plans, seeds: SEEDS, bins, rows });
}

await main();
