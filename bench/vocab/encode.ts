/**
 * Encoding speed, one thread, on the corpora of SCION_DATA: scion beside SentencePiece (C++, through Python) and
 * @huggingface/tokenizers (JavaScript). All candidates of a corpus run in turn, several rounds, and medians are given,
 * by the clock and by processor time (which hardly notices what else the machine does). Token counts must agree.
 *
 *   PYTHON=python-with-sentencepiece node bench/vocab/encode.ts [--rounds N] [--json FILE]
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, cpuUsage, env, stdout, version } from 'node:process';
import { createInterface } from 'node:readline';
import { Tokenizer as PeerTokenizer } from '@huggingface/tokenizers';
import { parseSentencePiece } from '../../src/formats/sentencepiece.ts';
import { JsonTokenizer } from '../../src/text/bpe-json.ts';
import { tokenizerJson } from '../../src/text/expand/index.ts';
import { SentencePieceTokenizer } from '../../src/text/sentencepiece.ts';
import type { Tokenizer } from '../../src/text/types.ts';

const ROOT = join(import.meta.dirname, '../..');
const DATA = env.SCION_DATA ?? join(ROOT, '../shared/data');
/** The peer in JavaScript gets every so-manieth document: it is slower by an order of magnitude. */
const SHARE = 8;

interface Round {
  readonly seconds: number;
  readonly cpu: number;
  readonly tokens: number;
}
type Runner = () => Round | Promise<Round>;
interface Row {
  readonly model: string;
  readonly corpus: string;
  readonly who: string;
  readonly megabytes: number;
  readonly tokens: number;
  readonly mbPerSecond: number;
  readonly mbPerCpuSecond: number;
  readonly tokensPerSecond: number;
  /** The first round: caches empty, code not compiled yet. */
  readonly coldMbPerSecond: number;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

function corpus(language: string): string[] {
  const folder = join(DATA, 'corpora');
  const files = readdirSync(folder).filter((name) => name.startsWith(`${language}_`) && name.endsWith('.jsonl'));
  return files.flatMap((name) =>
    readFileSync(join(folder, name), 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { target: string }).target),
  );
}

const megabytes = (docs: readonly string[]): number => docs.reduce((sum, doc) => sum + Buffer.byteLength(doc), 0) / 1e6;

/** A round of one candidate in this process. */
function here(docs: readonly string[], encode: (text: string) => { readonly length: number }): Runner {
  return () => {
    const [start, before] = [performance.now(), cpuUsage()];
    let tokens = 0;
    for (const doc of docs) tokens += encode(doc).length;
    const { user, system } = cpuUsage(before);
    return { seconds: (performance.now() - start) / 1e3, cpu: (user + system) / 1e6, tokens };
  };
}

/** SentencePiece in a process of its own. */
class Library {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  version = '';

  constructor(docs: readonly string[], model: string, folder: string) {
    const file = join(folder, `docs-${docs.length}.json`);
    writeFileSync(file, JSON.stringify(docs));
    this.#child = spawn(env.PYTHON ?? 'python3', [join(import.meta.dirname, 'encode-peer.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('no pipe from the peer');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#child.stdin?.write(`${JSON.stringify({ docs: file, model })}\n`);
  }

  async #answer(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the peer ended; does PYTHON name one with sentencepiece?');
    return JSON.parse(value);
  }

  async ready(): Promise<void> {
    this.version = ((await this.#answer()) as { version: string }).version;
  }

  async round(how: 'doc' | 'batch'): Promise<Round> {
    this.#child.stdin?.write(`${how}\n`);
    return (await this.#answer()) as Round;
  }

  end(): void {
    this.#child.stdin?.end();
  }
}

/** Runs all candidates in turn; the first round warms up and is told apart. */
async function race(runners: ReadonlyMap<string, Runner>, rounds: number, mb: number, model: string, name: string): Promise<Row[]> {
  const taken = new Map<string, Round[]>([...runners.keys()].map((who) => [who, []]));
  const cold = new Map<string, number>();
  for (let round = 0; round <= rounds; round++) {
    for (const [who, run] of runners) {
      const one = await run();
      if (round > 0) taken.get(who)?.push(one);
      else cold.set(who, mb / one.seconds);
    }
  }
  return [...taken].map(([who, all]) => {
    const [seconds, cpu] = [median(all.map((one) => one.seconds)), median(all.map((one) => one.cpu))];
    const { tokens } = all[0];
    const row = {
      model,
      corpus: name,
      who,
      megabytes: mb,
      tokens,
      mbPerSecond: mb / seconds,
      mbPerCpuSecond: mb / cpu,
      tokensPerSecond: tokens / seconds,
      coldMbPerSecond: cold.get(who) ?? 0,
    };
    stdout.write(
      `${model.padEnd(20)} ${name}  ${who.padEnd(34)} ${row.mbPerSecond.toFixed(2).padStart(8)} MB/s ${row.mbPerCpuSecond.toFixed(2).padStart(8)} MB/cpu-s ${row.coldMbPerSecond.toFixed(2).padStart(8)} MB/s cold  ${tokens} tokens\n`,
    );
    return row;
  });
}

const random = (count: number, make: (r: number) => number): string => {
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 0x100000000;
  };
  return Array.from({ length: count }, () => String.fromCharCode(make(next()))).join('');
};
/** A megabyte each, without a space. */
const BLOCKS: Readonly<Record<string, string>> = {
  'one letter': 'a'.repeat(1e6),
  ab: 'ab'.repeat(5e5),
  'random Latin': random(1e6, (r) => 97 + Math.floor(r * 26)),
  digits: random(1e6, (r) => 48 + Math.floor(r * 10)),
  'random Han': random(333_333, (r) => 0x4e00 + Math.floor(r * 20_000)),
  'common Han': random(333_333, (r) => '的一是了我不人在他有这上们来到时大地为子中你说生国年着就那和要'.charCodeAt(Math.floor(r * 32))),
  'one Han': '中'.repeat(333_333),
  signs: '-=*#~'.repeat(2e5),
};

async function main(): Promise<void> {
  const option = (name: string): string | undefined => (argv.includes(name) ? argv[argv.indexOf(name) + 1] : undefined);
  const rounds = Number(option('--rounds') ?? 5);
  const folder = mkdtempSync(join(tmpdir(), 'scion-encode-'));
  const corpora = { en: corpus('en'), zh: corpus('zh') };
  const load = [loadavg()[0]];
  const rows: Row[] = [];
  const blocks: { model: string; kind: string; seconds: number; tokens: number }[] = [];
  let library = '';
  const models = {
    llama2: 'tokenizers/llama2/tokenizer.model',
    chinese_llama2_55k: 'tokenizers/chinese_llama2_55k/tokenizer.model',
    chinese_sp_20k: 'tokenizers/chinese_sp_20k/chinese_sp.model',
  };
  try {
    for (const [model, file] of Object.entries(models)) {
      const path = join(DATA, file);
      const bytes = new Uint8Array(readFileSync(path));
      const parsed = parseSentencePiece(bytes, path);
      const own: Tokenizer = new SentencePieceTokenizer(parsed, { source: { name: 'tokenizer.model', bytes } });
      const json = own.kind === 'sentencepiece-bpe' ? tokenizerJson(parsed, { bosId: null, eosId: null }).json : null;
      for (const [name, docs] of Object.entries(corpora)) {
        const peer = new Library(docs, path, folder);
        await peer.ready();
        library = peer.version;
        rows.push(
          ...(await race(
            new Map<string, Runner>([
              ['scion', here(docs, (text) => own.encode(text))],
              ['scion, typed', here(docs, (text) => own.encodeTyped(text))],
              ['SentencePiece, a call a document', () => peer.round('doc')],
              ['SentencePiece, one call', () => peer.round('batch')],
            ]),
            rounds,
            megabytes(docs),
            model,
            name,
          )),
        );
        peer.end();
        if (json !== null) rows.push(...(await raceInJs(json, own, docs, model, name, Math.min(rounds, 3))));
      }
      for (const [kind, text] of Object.entries(BLOCKS)) {
        const start = performance.now();
        const tokens = own.encode(text).length;
        blocks.push({ model, kind, seconds: (performance.now() - start) / 1e3, tokens });
      }
    }
    const byteLevel = env.SCION_BYTE_LEVEL ?? join(ROOT, 'test/golden/text/hf-llama3.tokenizer.json');
    const json = JSON.parse(readFileSync(byteLevel, 'utf8')) as Record<string, unknown>;
    for (const [name, docs] of Object.entries(corpora)) rows.push(...(await raceInJs(json, null, docs, 'byte-level', name, Math.min(rounds, 3))));
  } finally {
    rmSync(folder, { recursive: true });
  }
  load.push(loadavg()[0]);
  for (const { model, kind, seconds } of blocks) stdout.write(`1 MB without a space: ${model} ${kind}: ${(seconds * 1e3).toFixed(0)} ms\n`);
  const ratios = ratiosOf(rows);
  for (const { what, clock, cpu, cold } of ratios)
    stdout.write(`${what}: ${clock.toFixed(2)} x by the clock, ${cpu.toFixed(2)} x by processor time, ${cold.toFixed(2)} x cold\n`);
  const file = option('--json');
  const round = (_: string, value: unknown): unknown => (typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value);
  const machine = { cpu: cpus()[0].model, cores: cpus().length, load, node: version, sentencepiece: library };
  if (file !== undefined) writeFileSync(file, `${JSON.stringify({ machine, rounds, ratios, rows, blocks }, round, 1)}\n`);
}

/** scion and the peer in JavaScript, on a share of the documents. */
async function raceInJs(json: object, own: Tokenizer | null, docs: readonly string[], model: string, name: string, rounds: number): Promise<Row[]> {
  const part = docs.filter((_, i) => i % SHARE === 0);
  const peer = new PeerTokenizer(json, {});
  const read = new JsonTokenizer(json, { source: { name: 'tokenizer.json', bytes: new Uint8Array(0) } });
  const runners = new Map<string, Runner>();
  if (own !== null)
    runners.set(
      'scion, tokenizer.model, share',
      here(part, (text) => own.encode(text)),
    );
  runners.set(
    'scion, tokenizer.json, share',
    here(part, (text) => read.encode(text, { allowSpecial: true })),
  );
  runners.set(
    '@huggingface/tokenizers, share',
    here(part, (text) => peer.encode(text, { add_special_tokens: false }).ids),
  );
  return race(runners, rounds, megabytes(part), model, name);
}

function ratiosOf(rows: readonly Row[]): { what: string; clock: number; cpu: number; cold: number }[] {
  const found: { what: string; clock: number; cpu: number; cold: number }[] = [];
  for (const row of rows) {
    if (!row.who.startsWith('scion')) continue;
    const beside = row.who.endsWith('share') ? '@huggingface' : 'SentencePiece';
    // Beside the faster of the library's two ways.
    const peers = rows.filter((other) => other.model === row.model && other.corpus === row.corpus && other.who.startsWith(beside));
    const clock = row.mbPerSecond / Math.max(...peers.map((other) => other.mbPerSecond));
    const cpu = row.mbPerCpuSecond / Math.max(...peers.map((other) => other.mbPerCpuSecond));
    const cold = row.coldMbPerSecond / Math.max(...peers.map((other) => other.coldMbPerSecond));
    found.push({ what: `${row.model} ${row.corpus}: ${row.who} / ${beside}`, clock, cpu, cold });
  }
  return found;
}

await main();
