/**
 * Speed and decisions of the C4 and Gopher rules beside datatrove, on the English corpora of SCION_DATA: the same rules
 * with the same thresholds, first decided document by document and compared, then timed in turn, one thread each,
 * several rounds, medians, by the clock and by processor time. Only the filters are timed, in both. A second row of ours
 * times the whole rule set `web`, with all edits that datatrove's filters do not do.
 *
 *   PYTHON=python-with-datatrove-and-spacy node bench/data/clean.ts [--rounds N] [--share N] [--json FILE]
 *
 * `--share N` takes every N-th document (1: all).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, cpuUsage, env, stdout, version } from 'node:process';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { type CleanConfigInput, createCleaner } from '../../src/curate/clean/index.ts';
import { Scan, WordSet } from '../../src/curate/clean/scan.ts';
import { isDrop, type MapStep } from '../../src/curate/step.ts';

const ROOT = join(import.meta.dirname, '../..');
const DATA = env.SCION_DATA ?? join(ROOT, '../shared/data');
const FILES = ['docs', 'encyclopedia', 'literature', 'stories', 'textbook', 'web'];

/** datatrove's defaults. */
const C4_EDIT = { c4: { terminal: true, minWords: 3, maxWordLength: 1000, javascript: true, policy: true, citations: true } };
const C4_DROPS = { 'few-sentences': 5, 'lorem-ipsum': 0, 'curly-brackets': 0 };
const QUALITY = {
  'few-words': 50,
  'many-words': 100_000,
  'short-words': 3,
  'long-words': 10,
  'hash-marks': 0.1,
  ellipses: 0.1,
  'bullet-lines': 0.9,
  'ellipsis-lines': 0.3,
  'few-letter-words': 0.8,
  'few-stop-words': 2,
};
const REPETITION = {
  'duplicate-paragraphs': 0.3,
  'duplicate-paragraph-characters': 0.2,
  'duplicate-lines': 0.3,
  'duplicate-line-characters': 0.2,
  'top-2-grams': 0.2,
  'top-3-grams': 0.18,
  'top-4-grams': 0.16,
  'duplicate-5-grams': 0.15,
  'duplicate-6-grams': 0.14,
  'duplicate-7-grams': 0.13,
  'duplicate-8-grams': 0.12,
  'duplicate-9-grams': 0.11,
  'duplicate-10-grams': 0.1,
};
const CONFIGS: Readonly<Record<string, CleanConfigInput>> = {
  c4: { rules: 'none', edits: C4_EDIT, drops: C4_DROPS },
  quality: { rules: 'none', drops: QUALITY },
  repetition: { rules: 'none', drops: REPETITION },
  chain: { rules: 'none', edits: C4_EDIT, drops: { ...C4_DROPS, ...QUALITY, ...REPETITION } },
};

interface Round {
  readonly seconds: number;
  readonly cpu: number;
}
type Verdicts = Readonly<Record<string, readonly (string | null)[]>> & { readonly words: readonly number[] };

class Peer {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(docs: string) {
    this.#child = spawn(env.PYTHON ?? 'python3', [join(import.meta.dirname, 'clean-peer.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('no pipe from the peer');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#child.stdin?.write(`${JSON.stringify({ docs })}\n`);
  }

  async answer(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the peer ended; does PYTHON name one with datatrove and spacy?');
    return JSON.parse(value);
  }

  async ask(line: string): Promise<unknown> {
    this.#child.stdin?.write(`${line}\n`);
    return await this.answer();
  }

  end(): void {
    this.#child.stdin?.end();
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1];
const nothing = { count: () => {} };
const decide = (step: MapStep, text: string): string | null => {
  const out = step.apply({ id: '', category: '', lang: 'en', target: text }, nothing);
  return isDrop(out) ? out.reason : null;
};

const { values } = parseArgs({ args: argv.slice(2), options: { rounds: { type: 'string' }, share: { type: 'string' }, json: { type: 'string' } } });
const rounds = Number(values.rounds ?? 3);
const share = Number(values.share ?? 1);
const records = FILES.flatMap((name) =>
  readFileSync(join(DATA, 'corpora', `en_${name}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { id: string; target: string }),
).filter((_, i) => i % share === 0);
const texts = records.map(({ target }) => target);
const megabytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1e6;
const folder = mkdtempSync(join(tmpdir(), 'scion-clean-'));
writeFileSync(join(folder, 'docs.json'), JSON.stringify(texts));
const peer = new Peer(join(folder, 'docs.json'));
try {
  const { version: peerVersion } = (await peer.answer()) as { version: string };
  const theirs = (await peer.ask('decide')) as Verdicts;
  const agreement: Record<string, { agree: number; documents: number; share: number; dropped: number; droppedByPeer: number }> = {};
  const differences: { filter: string; id: string; ours: string | null; theirs: string | null }[] = [];
  for (const [name, config] of Object.entries(CONFIGS)) {
    const step = await createCleaner(config);
    const ours = texts.map((text) => decide(step, text));
    let agree = 0;
    for (const [i, found] of ours.entries()) {
      if ((found === null) === (theirs[name][i] === null)) agree++;
      else differences.push({ filter: name, id: records[i].id, ours: found, theirs: theirs[name][i] });
    }
    const dropped = ours.filter((one) => one !== null).length;
    const droppedByPeer = theirs[name].filter((one) => one !== null).length;
    agreement[name] = { agree, documents: texts.length, share: agree / texts.length, dropped, droppedByPeer };
    stdout.write(
      `${name.padEnd(11)} agree on ${agree} of ${texts.length} (${((100 * agree) / texts.length).toFixed(2)} %); dropped ${dropped}, by datatrove ${droppedByPeer}\n`,
    );
  }
  const scan = new Scan();
  const none = new WordSet([]);
  const words = texts.map((text) => {
    scan.scan(text, none);
    return scan.tokens;
  });
  const total = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
  const wordRatio = total(words) / total(theirs.words);

  const chain = await createCleaner(CONFIGS.chain);
  const web = await createCleaner('web');
  const here = (step: MapStep) => (): Round => {
    const [start, before] = [performance.now(), cpuUsage()];
    for (const text of texts) decide(step, text);
    const { user, system } = cpuUsage(before);
    return { seconds: (performance.now() - start) / 1e3, cpu: (user + system) / 1e6 };
  };
  const runners = new Map<string, () => Round | Promise<Round>>([
    ['scion', here(chain)],
    ['scion, all of web', here(web)],
    ['datatrove', async () => (await peer.ask('time')) as Round],
  ]);
  const taken = new Map<string, Round[]>([...runners.keys()].map((who) => [who, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [who, run] of runners) {
      const one = await run();
      if (round > 0) taken.get(who)?.push(one);
    }
  }
  const rows = [...taken].map(([who, all]) => {
    const row = { who, mbPerSecond: megabytes / median(all.map((one) => one.seconds)), mbPerCpuSecond: megabytes / median(all.map((one) => one.cpu)) };
    stdout.write(`${who.padEnd(20)} ${row.mbPerSecond.toFixed(2).padStart(8)} MB/s ${row.mbPerCpuSecond.toFixed(2).padStart(8)} MB/cpu-s\n`);
    return row;
  });
  const ratio = rows[0].mbPerCpuSecond / rows[2].mbPerCpuSecond;
  const clockRatio = rows[0].mbPerSecond / rows[2].mbPerSecond;
  stdout.write(`ratio ${ratio.toFixed(1)} by processor time, ${clockRatio.toFixed(1)} by the clock; words found ${wordRatio.toFixed(4)} of datatrove's\n`);
  const result = { documents: texts.length, megabytes, rounds, ratio, clockRatio, wordRatio, agreement, differences, rows };
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, load: loadavg(), node: version, datatrove: peerVersion };
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ ...result, machine }, null, 1)}\n`);
} finally {
  peer.end();
  rmSync(folder, { recursive: true });
}
