/**
 * Speed of deduplication on one core: near-duplicates beside datatrove with the same settings (5-word shingles, 14
 * buckets of 8 hashes; its default), rounds in turn, medians by the clock and by processor time (which hardly notices what
 * else runs). English corpora, each document also once more with a few words changed. What scion does is more: it reads JSON Lines
 * and compares every candidate pair; datatrove has the documents in memory and takes candidates as they are. Then the
 * speed of each part of scion's step.
 *
 *   PYTHON=python-with-datatrove SCION_DATA=… node bench/data/dedup.ts [--rounds N] [--json FILE]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, cpuUsage, env, stdout, version } from 'node:process';
import { createInterface } from 'node:readline';
import { type DedupInput, dedupShards } from '../../src/curate/dedup/index.ts';
import { TaskPool } from '../../src/curate/pipeline/pool.ts';
import { host } from '../../src/host/index.ts';
import { edited, seeded } from './dedup-oracle.ts';

const DATA = env.SCION_DATA ?? join(import.meta.dirname, '../../../shared/data');
const SETTINGS = { words: 5, bands: 14, rows: 8 };

interface Round {
  readonly seconds: number;
  readonly cpu: number;
  readonly removed: number;
}

function option(name: string, otherwise: string): string {
  const at = argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : argv[at + 1];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

function corpus(language: string): string[] {
  const folder = join(DATA, 'corpora');
  const random = seeded(1);
  return readdirSync(folder)
    .filter((name) => name.startsWith(`${language}_`) && name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').trimEnd().split('\n'))
    .map((line) => (JSON.parse(line) as { target: string }).target)
    .flatMap((text) => [text, edited(text, 0.02, 30, random)]);
}

function writeShards(texts: readonly string[], folder: string, name: string): string[] {
  const shards: string[] = [];
  let lines: string[] = [];
  let size = 0;
  texts.forEach((target, id) => {
    lines.push(`${JSON.stringify({ id: String(id), category: 'c', target })}\n`);
    size += Buffer.byteLength(target);
    if (size < 4 * 2 ** 20 && id < texts.length - 1) return;
    const path = join(folder, `${name}-${String(shards.length).padStart(5, '0')}.jsonl`);
    writeFileSync(path, lines.join(''));
    shards.push(path);
    lines = [];
    size = 0;
  });
  return shards;
}

async function scionRound(shards: readonly string[], scratch: string, config: DedupInput): Promise<Round> {
  rmSync(scratch, { recursive: true, force: true });
  const machine = await host();
  const [start, before] = [performance.now(), cpuUsage()];
  const { stats } = await dedupShards({ host: machine, pool: new TaskPool(machine, 1), scratch }, shards, config);
  const { user, system } = cpuUsage(before);
  return { seconds: (performance.now() - start) / 1e3, cpu: (user + system) / 1e6, removed: stats.near + stats.exact };
}

async function main(): Promise<void> {
  const rounds = Number(option('rounds', '5'));
  const folder = mkdtempSync(join(tmpdir(), 'scion-bench-dedup-'));
  const texts = corpus('en');
  const megabytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1e6;
  const shards = writeShards(texts, folder, 'en');
  const docs = join(folder, 'docs.json');
  writeFileSync(docs, JSON.stringify(texts));

  const child = spawn(env.PYTHON ?? 'python3', [join(import.meta.dirname, 'dedup-peer.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // One core: numpy's libraries must not take more.
    env: { ...env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', TQDM_DISABLE: '1' },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async <T>(question: string): Promise<T> => {
    child.stdin.write(`${question}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error('the peer ended; set PYTHON to one with datatrove, spacy and orjson');
    return JSON.parse(value) as T;
  };
  const { version: peerVersion } = await answer<{ version: string }>(
    JSON.stringify({ docs, words: SETTINGS.words, buckets: SETTINGS.bands, rows: SETTINGS.rows }),
  );

  const near: DedupInput = { exact: 'off', paragraphs: null, ...SETTINGS };
  const scratch = join(folder, 'work');
  // Both get a round that does not count: compilers, caches, imports.
  await scionRound(shards, scratch, near);
  await answer<Round>('round');
  const ours: Round[] = [];
  const peers: Round[] = [];
  for (let r = 0; r < rounds; r++) {
    ours.push(await scionRound(shards, scratch, near));
    peers.push(await answer<Round>('round'));
    stdout.write(
      `round ${r + 1}: scion ${ours[r].seconds.toFixed(2)} s (${ours[r].cpu.toFixed(2)} s processor), datatrove ${peers[r].seconds.toFixed(2)} s (${peers[r].cpu.toFixed(2)} s)\n`,
    );
  }
  child.stdin.end();
  const of = (list: readonly Round[], what: 'seconds' | 'cpu'): number => median(list.map((round) => round[what]));
  const parts: Record<string, number> = {};
  const PARTS: Record<string, DedupInput> = {
    'exact documents': { near: false, paragraphs: null },
    'near, 21 x 6': { exact: 'off', paragraphs: null },
    'near, 14 x 8': near,
    paragraphs: { exact: 'off', near: false },
    'all defaults': {},
  };
  for (const language of ['en', 'zh']) {
    const some = language === 'en' ? shards : writeShards(corpus('zh'), folder, 'zh');
    const size = some.reduce((sum, path) => sum + readFileSync(path).length, 0) / 1e6;
    for (const [name, config] of Object.entries(PARTS)) {
      const measured: Round[] = [];
      for (let r = 0; r < rounds; r++) measured.push(await scionRound(some, scratch, config));
      parts[`${language}: ${name}`] = size / of(measured, 'cpu');
    }
  }
  rmSync(folder, { recursive: true, force: true });
  const result = {
    node: version,
    datatrove: peerVersion,
    cpu: cpus()[0]?.model,
    load: loadavg(),
    rounds,
    megabytes,
    documents: texts.length,
    scion: { seconds: of(ours, 'seconds'), cpuSeconds: of(ours, 'cpu'), megabytesPerCpuSecond: megabytes / of(ours, 'cpu'), removed: ours[0].removed },
    peer: { seconds: of(peers, 'seconds'), cpuSeconds: of(peers, 'cpu'), megabytesPerCpuSecond: megabytes / of(peers, 'cpu'), removed: peers[0].removed },
    ratio: of(peers, 'seconds') / of(ours, 'seconds'),
    ratioCpu: of(peers, 'cpu') / of(ours, 'cpu'),
    megabytesPerCpuSecond: parts,
  };
  stdout.write(`${JSON.stringify(result, null, 1)}\n`);
  if (option('json', '') !== '') writeFileSync(option('json', ''), `${JSON.stringify(result, null, 1)}\n`);
}

await main();
