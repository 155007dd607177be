/**
 * Learning a vocabulary against SentencePiece's own trainer: the same text file, the same size, whole processes from
 * start to written model, one run of each in turn. Ratios are medians of rounds, so a busy machine slows both alike; CPU
 * seconds (user + system) stand beside the wall time for the same reason. Also the figures of issue 3: tokens on held-out
 * documents, reached pieces, equal bytes for 1, 2 and 4 workers.
 *
 *   node bench/vocab/learn.ts --python PYTHON [--rounds 5] [--data DIR] [--out FILE]
 *
 * PYTHON has the package `sentencepiece`; `--data` (or SCION_DATA) holds `corpora/zh_*.jsonl` and `tokenizers/`.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { PIECE, parseSentencePiece, writeSentencePiece } from '../../src/formats/sentencepiece.ts';
import { findUnreachable } from '../../src/text/expand/index.ts';
import { bareTokenizer } from '../../src/text/expand/reachable.ts';
import { learnBpe } from '../../src/text/learn/scratch.ts';

const SELF = import.meta.filename;
const ROOT = resolve(import.meta.dirname, '../..');
const { values } = parseArgs({
  options: {
    python: { type: 'string', default: process.env.SCION_PYTHON ?? 'python3' },
    rounds: { type: 'string', default: '5' },
    data: { type: 'string', default: process.env.SCION_DATA ?? join(ROOT, '../shared/data') },
    out: { type: 'string', default: join(ROOT, 'bench/results/vocab-learn.json') },
    /** Used by this file on itself: learn from a text file into a model. */
    learn: { type: 'string' },
    size: { type: 'string' },
    model: { type: 'string' },
  },
});

interface Timing {
  readonly wall: number;
  readonly cpu: number;
}

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const round = (value: number): number => Math.round(value * 1000) / 1000;

/** Wall and CPU seconds of a process, its output discarded. */
function timed(program: string, args: readonly string[]): Timing {
  const script = 'TIMEFORMAT="%R %U %S"; exec 3>&2; time "$@" >/dev/null 2>"$0.log"';
  const log = join(folder, 'run');
  const ran = spawnSync('bash', ['-c', script, log, program, ...args], { cwd: ROOT, encoding: 'utf8' });
  const [wall, user, system] = ran.stderr.trim().split('\n').at(-1)?.split(' ').map(Number) ?? [];
  if (ran.status !== 0 || wall === undefined) throw new Error(`${program} ${args.join(' ')}: ${readFileSync(`${log}.log`, 'utf8').slice(-2000)}`);
  return { wall, cpu: user + system };
}

const TRAIN = `
import sentencepiece, sys
sentencepiece.SentencePieceTrainer.train(input=sys.argv[1], model_prefix=sys.argv[2], vocab_size=int(sys.argv[3]), model_type='bpe',
  byte_fallback=True, split_digits=True, character_coverage=1.0, max_sentence_length=1 << 24, num_threads=2,
  normalization_rule_name='identity', remove_extra_whitespaces=False, minloglevel=2)
print(sentencepiece.__version__)
`;

function main(): void {
  const corpora = join(values.data, 'corpora');
  const names = readdirSync(corpora).filter((name) => /^zh_.*\.jsonl$/.test(name));
  const texts = names.sort().flatMap((name) =>
    readFileSync(join(corpora, name), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { target: string }).target),
  );
  const text = join(folder, 'zh.txt');
  const lines = texts.flatMap((one) => one.split('\n').filter((line) => line.trim() !== ''));
  writeFileSync(text, `${lines.join('\n')}\n`);
  const version = spawnSync(values.python, ['-c', 'import sentencepiece; print(sentencepiece.__version__)'], { encoding: 'utf8' }).stdout.trim();
  const llama = join(values.data, 'tokenizers/llama2');
  const rounds = Number(values.rounds);

  const rows = [32_000, 69_104].map((size) => {
    const theirs: Timing[] = [];
    const ours: Timing[] = [];
    const onBase: Timing[] = [];
    for (let turn = 0; turn < rounds; turn++) {
      theirs.push(timed(values.python, ['-c', TRAIN, text, join(folder, 'theirs'), String(size)]));
      ours.push(timed(process.execPath, [SELF, '--learn', text, '--size', String(size), '--model', join(folder, 'ours.model')]));
      if (size > 32_000) {
        const args = ['--base', llama, '--data', text, '--size', String(size), '--out', join(folder, 'grown'), '--force'];
        onBase.push(timed(process.execPath, ['src/cli/main.ts', 'vocab', 'train', ...args]));
      }
      console.error(`size ${size}, round ${turn + 1}: spm ${theirs[turn].wall} s, scratch ${ours[turn].wall} s, on LLaMA-2 ${onBase[turn]?.wall ?? '–'} s`);
    }
    const figures = (list: readonly Timing[]) => ({ wall: round(median(list.map(({ wall }) => wall))), cpu: round(median(list.map(({ cpu }) => cpu))) });
    const ratio = (list: readonly Timing[], what: keyof Timing): number => round(median(list.map((one, i) => one[what] / theirs[i][what])));
    return {
      size,
      spmTrain: figures(theirs),
      scratch: { ...figures(ours), wallRatio: ratio(ours, 'wall'), cpuRatio: ratio(ours, 'cpu') },
      ...(onBase.length > 0 ? { onLlama2: { ...figures(onBase), wallRatio: ratio(onBase, 'wall'), cpuRatio: ratio(onBase, 'cpu') } } : {}),
    };
  });

  const result = {
    corpus: { files: names.length, characters: texts.reduce((sum, one) => sum + one.length, 0) },
    sentencepiece: version,
    node: process.versions.node,
    cores: cpus().length,
    load: loadavg().map(round),
    rounds,
    time: rows,
    expansion: expansion(llama, join(corpora, 'zh_*.jsonl')),
  };
  writeFileSync(values.out, `${JSON.stringify(result, null, 2)}\n`);
  console.log(JSON.stringify(result));
}

/** `scion vocab train` as a process; its JSON. */
function train(args: readonly string[]): Record<string, unknown> {
  const ran = spawnSync(process.execPath, ['src/cli/main.ts', 'vocab', 'train', ...args, '--json'], { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (ran.status !== 0) throw new Error(ran.stderr);
  return JSON.parse(ran.stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
}

function expansion(llama: string, data: string): object {
  const hashes = [1, 2, 4].map((workers) => {
    const out = join(folder, `w${workers}`);
    const { seconds, peakRssBytes, size, added, reachable } = train([
      '--base',
      llama,
      '--data',
      data,
      '--size',
      '69104',
      '--out',
      out,
      '--workers',
      String(workers),
    ]);
    const sha256 = createHash('sha256')
      .update(readFileSync(join(out, 'tokenizer.model')))
      .digest('hex');
    return { workers, size, added, reachable, seconds, peakRssBytes, sha256 };
  });
  const base = parse(join(llama, 'tokenizer.model'));
  const other = parse(join(values.data, 'tokenizers/chinese_llama2_55k/tokenizer.model'));
  const held = [55_296, 69_104].map((size) => {
    const out = join(folder, `h${size}`);
    const { holdout } = train(['--base', llama, '--data', data, '--size', String(size), '--out', out, '--holdout', '0.1']);
    return { size, holdout };
  });
  return {
    byWorkers: hashes,
    held,
    chineseLlama2_55k: { ...compare(other), unreachable: findUnreachable(other, base.pieces.length).size, added: added(other, base.pieces.length) },
  };
}

const parse = (path: string) => parseSentencePiece(new Uint8Array(readFileSync(path)), path);
const added = (model: ReturnType<typeof parse>, from: number): number => model.pieces.slice(from).filter(({ type }) => type === PIECE.NORMAL).length;

/** Ids of the same held-out documents with another tokenizer: the choice is a hash of the id (`isHeldOut`). */
function compare(model: ReturnType<typeof parse>): { readonly tokens: number } {
  const tokenizer = bareTokenizer(model);
  let tokens = 0;
  for (const { text } of heldOut) tokens += tokenizer.encodeTyped(text).length;
  return { tokens };
}

const heldOut: { text: string }[] = [];
const folder = mkdtempSync(join(tmpdir(), 'scion-learn-'));
try {
  if (values.learn !== undefined) {
    const lines = readFileSync(values.learn, 'utf8').split('\n');
    writeFileSync(values.model ?? 'learnt.model', writeSentencePiece(learnBpe(lines, { size: Number(values.size) })));
  } else {
    const { isHeldOut } = await import('../../src/data/count-words.ts');
    const corpora = join(values.data, 'corpora');
    for (const name of readdirSync(corpora).filter((one) => /^zh_.*\.jsonl$/.test(one))) {
      for (const line of readFileSync(join(corpora, name), 'utf8').split('\n')) {
        if (line === '') continue;
        const { id, target } = JSON.parse(line) as { id: string; target: string };
        if (isHeldOut({ id, text: target, category: null, lang: null }, 0.1)) heldOut.push({ text: target });
      }
    }
    main();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
