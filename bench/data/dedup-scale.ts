/**
 * Memory and time of deduplication as input grows: corpora made larger by drawing sentences again, with planted equal
 * documents, near-duplicates and paragraphs. Each size runs in a process of its own (peak memory is a property of a process).
 *
 *   SCION_DATA=… node bench/data/dedup-scale.ts [--sizes 50,200] [--workers 1] [--json FILE] [--keep FOLDER]
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, cpuUsage, env, execPath, stdout, version } from 'node:process';
import { dedupShards } from '../../src/curate/dedup/index.ts';
import { TaskPool } from '../../src/curate/pipeline/pool.ts';
import { host } from '../../src/host/index.ts';
import { edited, seeded } from './dedup-oracle.ts';

const DATA = env.SCION_DATA ?? join(import.meta.dirname, '../../../shared/data');
const SHARD_BYTES = 4 * 2 ** 20;
/** Bytes of a document, about. */
const DOC_BYTES = 2000;

function option(name: string, otherwise: string): string {
  const at = argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : argv[at + 1];
}

function sentences(): string[] {
  const folder = join(DATA, 'corpora');
  const out: string[] = [];
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.jsonl'))) {
    for (const line of readFileSync(join(folder, name), 'utf8').trimEnd().split('\n')) {
      out.push(...(JSON.parse(line) as { target: string }).target.split(/(?<=[.!?。！？\n])\s*/).filter((sentence) => sentence.length > 20));
    }
  }
  return out;
}

/** Shards of `megabytes` in `folder`. One document in ten is near an earlier one, one in twenty equal, one in ten has a shared paragraph. */
function makeInput(folder: string, megabytes: number): void {
  mkdirSync(folder, { recursive: true });
  const pool = sentences();
  const random = seeded(megabytes);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)];
  const text = (bytes: number): string => {
    const parts: string[] = [];
    for (let size = 0; size < bytes; ) {
      const sentence = pick(pool);
      parts.push(sentence);
      size += Buffer.byteLength(sentence);
    }
    return parts.join(random() < 0.2 ? '\n\n' : ' ');
  };
  const notices = Array.from({ length: 200 }, () => text(600));
  const recent: string[] = [];
  let written = 0;
  for (let shard = 0, id = 0; written < megabytes * 1e6; shard++) {
    const file = openSync(join(folder, `shard-${String(shard).padStart(5, '0')}.jsonl`), 'w');
    for (let size = 0; size < SHARD_BYTES && written < megabytes * 1e6; id++) {
      const draw = random();
      let target = text(DOC_BYTES * (0.3 + 1.4 * random()));
      if (recent.length > 0 && draw < 0.1) target = edited(pick(recent), 0.04, 30, random);
      else if (recent.length > 0 && draw < 0.15) target = pick(recent);
      else if (draw < 0.25) target += `\n\n${pick(notices)}`;
      if (recent.length < 2000) recent.push(target);
      else recent[Math.floor(random() * 2000)] = target;
      const line = Buffer.from(`${JSON.stringify({ id: `d${id}`, category: 'c', target })}\n`);
      writeSync(file, line);
      size += line.length;
      written += line.length;
    }
    closeSync(file);
  }
}

async function one(folder: string, workers: number): Promise<void> {
  const machine = await host();
  const shards = readdirSync(folder)
    .filter((name) => name.startsWith('shard-'))
    .sort()
    .map((name) => join(folder, name));
  const scratch = join(folder, 'work');
  rmSync(scratch, { recursive: true, force: true });
  const pool = new TaskPool(machine, workers);
  const marks: Record<string, number> = {};
  const start = machine.now();
  const before = cpuUsage();
  const { stats } = await dedupShards({ host: machine, pool, scratch }, shards, {}, ({ stage }) => {
    marks[stage] = (machine.now() - start) / 1e3;
  });
  await pool.end();
  const { user, system } = cpuUsage(before);
  const scratchBytes = readdirSync(scratch).reduce((sum, name) => sum + statSync(join(scratch, name)).size, 0);
  stdout.write(
    `${JSON.stringify({ seconds: (machine.now() - start) / 1e3, cpuSeconds: (user + system) / 1e6, until: marks, peakRssBytes: machine.peakResidentBytes(), scratchBytes, stats })}\n`,
  );
}

async function main(): Promise<void> {
  const workers = Number(option('workers', '1'));
  const given = option('one', '');
  if (given !== '') return one(given, workers);
  const root = option('keep', '') || mkdtempSync(join(tmpdir(), 'scion-dedup-scale-'));
  const rows = [];
  for (const megabytes of option('sizes', '50,200').split(',').map(Number)) {
    const folder = join(root, `${megabytes}`);
    if (!existsSync(folder)) makeInput(folder, megabytes);
    const { stdout: out, stderr, status } = spawnSync(execPath, [import.meta.filename, '--one', folder, '--workers', `${workers}`], { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    const row = { megabytes, ...(JSON.parse(out) as { seconds: number; peakRssBytes: number; cpuSeconds: number; stats: { documents: number } }) };
    rows.push(row);
    stdout.write(
      `${megabytes} MB, ${row.stats.documents} documents: ${row.seconds.toFixed(1)} s, ${row.cpuSeconds.toFixed(1)} s of processor, peak ${(row.peakRssBytes / 1e6).toFixed(0)} MB ${JSON.stringify(row)}\n`,
    );
    if (option('keep', '') === '') rmSync(folder, { recursive: true, force: true });
  }
  const result = {
    node: version,
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    load: loadavg(),
    workers,
    rows,
    growth: rows[rows.length - 1].peakRssBytes / rows[0].peakRssBytes,
  };
  stdout.write(`memory of the largest over the smallest: ${result.growth.toFixed(2)}\n`);
  if (option('json', '') !== '') writeFileSync(option('json', ''), `${JSON.stringify(result, null, 1)}\n`);
  if (option('keep', '') === '') rmSync(root, { recursive: true, force: true });
}

await main();
