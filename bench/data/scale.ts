/**
 * Memory and speed of `scion data build` by the size of its input, exact and near deduplication included. The input is made by
 * resampling the real corpora: documents of their lengths out of their sentences, a few characters or words of each sentence
 * left out, so that text is new while its statistics stay; 3 of 100 documents repeat an earlier one, 5 are near one.
 *
 *     SCION_DATA=… node bench/data/scale.ts [MB …] [--workers N] [--dir FOLDER] [--json FILE]     # 50 200 by default; 1000 is the goal's
 *
 * Prints a table and the ratio of peaks; the process is measured as a whole (resident set, all threads).
 */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Random } from '../../src/base/random.ts';
import { writeResults } from '../lib/result-file.ts';

const data = process.env.SCION_DATA;
if (!data) throw new Error('set SCION_DATA to the folder of real data');
const words = process.argv.slice(2);
const option = (name: string): string | undefined => {
  const at = words.indexOf(`--${name}`);
  return at < 0 ? undefined : words.splice(at, 2)[1];
};
const workers = option('workers') ?? '2';
const dir = option('dir') ?? join(tmpdir(), 'scion-scale');
const json = option('json');
const sizes = words.length > 0 ? words.map(Number) : [50, 200];
const root = resolve(import.meta.dirname, '../..');

interface Kind {
  readonly category: string;
  readonly sentences: string[];
  /** Sentences a document has. */
  readonly lengths: number[];
  readonly bytes: number;
}

function kindsOf(): Kind[] {
  const folder = join(data ?? '', 'corpora');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => {
      const lines = readFileSync(join(folder, name), 'utf8').trim().split('\n');
      const sentences: string[] = [];
      const lengths: number[] = [];
      for (const line of lines) {
        const own = (JSON.parse(line) as { target: string }).target.match(/[^.!?。！？\n]+[.!?。！？\n]*/g) ?? [];
        sentences.push(...own);
        lengths.push(Math.min(own.length, 400));
      }
      return { category: name.replace('.jsonl', ''), sentences, lengths, bytes: statSync(join(folder, name)).size };
    });
}

/** Leaves out one word of twenty; of a text without spaces, one character. */
function thinned(sentence: string, random: Random): string {
  const units = sentence.includes(' ') ? sentence.split(/(?<= )/) : [...sentence];
  return units.filter(() => random.below(20) > 0).join('');
}

function make(path: string, megabytes: number, kinds: readonly Kind[]): void {
  const random = new Random(megabytes, 5);
  const total = kinds.reduce((sum, { bytes }) => sum + bytes, 0);
  const file = openSync(path, 'w');
  const recent: string[] = [];
  let written = 0;
  for (let i = 0; written < megabytes * 1e6; i++) {
    let at = random.uniform() * total;
    const kind = kinds.find(({ bytes }) => {
      at -= bytes;
      return at < 0;
    });
    if (!kind) continue;
    const dice = random.below(100);
    let target: string;
    if (dice < 8 && recent.length > 0) {
      target = recent[random.below(recent.length)];
      if (dice >= 3) target += `\n${thinned(kind.sentences[random.below(kind.sentences.length)], random)}`;
    } else {
      const n = kind.lengths[random.below(kind.lengths.length)];
      target = Array.from({ length: n }, () => thinned(kind.sentences[random.below(kind.sentences.length)], random)).join('');
      if (recent.length < 2000) recent.push(target);
      else recent[random.below(2000)] = target;
    }
    written += writeSync(file, `${JSON.stringify({ id: `${i}`, category: kind.category, source: '', target })}\n`);
  }
  closeSync(file);
}

mkdirSync(dir, { recursive: true });
let kinds: Kind[] | null = null;
const rows: Record<string, unknown>[] = [];
const peaks: number[] = [];
process.stdout.write('   MB  documents     out  exact    near   seconds    MB/s  peak MiB\n');
for (const megabytes of sizes) {
  const input = join(dir, `input-${megabytes}.jsonl`);
  kinds ??= kindsOf();
  if (!existsSync(input)) make(input, megabytes, kinds);
  const out = join(dir, `out-${megabytes}`);
  rmSync(out, { recursive: true, force: true });
  const args = [
    'data',
    'build',
    '--data',
    input,
    '--rules',
    'book',
    '--tokenizer',
    join(data, 'tokenizers/llama2'),
    '--out',
    out,
    '--workers',
    workers,
    '--json',
  ];
  const stdout = execFileSync(process.execPath, ['src/cli/main.ts', ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 26,
  });
  const result = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as {
    documentsIn: number;
    documentsOut: number;
    drops: Record<string, number>;
    tokensAfterSampling: number;
    tokensPacked: number;
    seconds: number;
    peakRssBytes: number;
  };
  if (result.tokensAfterSampling !== result.tokensPacked) throw new Error('tokens were lost');
  peaks.push(result.peakRssBytes);
  const size = statSync(input).size / 1e6;
  const cells = [
    [size.toFixed(0), 5],
    [result.documentsIn, 10],
    [result.documentsOut, 7],
    [result.drops['dedup.exact'] ?? 0, 6],
    [result.drops['dedup.near'] ?? 0, 7],
    [result.seconds.toFixed(1), 9],
    [(size / result.seconds).toFixed(2), 7],
    [(result.peakRssBytes / 2 ** 20).toFixed(0), 9],
  ] as const;
  process.stdout.write(`${cells.map(([cell, width]) => String(cell).padStart(width)).join(' ')}\n`);
  const { seconds } = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as { seconds: Record<string, number> };
  process.stdout.write(
    `      ${Object.entries(seconds)
      .map(([step, s]) => `${step} ${s.toFixed(1)} s (${(size / s).toFixed(1)} MB/s)`)
      .join(', ')}\n`,
  );
  const { documentsIn, documentsOut, drops, tokensPacked, seconds: total, peakRssBytes } = result;
  rows.push({ bytes: statSync(input).size, documentsIn, documentsOut, drops, tokensPacked, seconds: total, peakRssBytes, secondsByStep: seconds });
  rmSync(out, { recursive: true, force: true });
}
if (peaks.length > 1) process.stdout.write(`peak of the largest / peak of the smallest: ${(peaks[peaks.length - 1] / peaks[0]).toFixed(2)}\n`);
if (json) writeResults(json, 'bench/data/scale.ts', { workers: Number(workers), rows, peakRatio: peaks[peaks.length - 1] / peaks[0] });
