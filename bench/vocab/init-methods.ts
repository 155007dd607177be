/**
 * `node bench/vocab/init-methods.ts [--out FILE] [--steps N] [--seeds N] [--only METHOD,…]`: what each way of making new rows is worth. A small model learns English and a
 * little Chinese with a vocabulary learnt from the same; Chinese words are then added, and for each method the loss on held-out English and
 * Chinese is taken right after and after some steps of going on. Also English loss of stories260K where SCION_DATA has it. Texts are the project's own
 * sample. Results are written after every run, and a run that is there is not made again.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { growModel } from '../../src/checkpoint/grow/grow.ts';
import { GROW_METHODS, type GrowMethod } from '../../src/checkpoint/grow/methods.ts';
import { exportHf, importHf } from '../../src/checkpoint/hf.ts';
import { importLlama2c } from '../../src/checkpoint/llama2c-import.ts';
import type { ReadParameter } from '../../src/checkpoint/source.ts';
import { readDocuments } from '../../src/data/documents.ts';
import { type Lang, type SampleDocument, sampleSplits } from '../../src/data/sample/index.ts';
import { type SentencePieceModel, writeSentencePiece } from '../../src/formats/sentencepiece.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { posixFiles as files } from '../../src/host/posix.ts';
import { Generator } from '../../src/infer/generator.ts';
import { scoreDocuments } from '../../src/infer/score.ts';
import { type LlamaConfig, makeConfig } from '../../src/nn/config.ts';
import type { Schedule } from '../../src/optim/schedule.ts';
import { expandSentencePiece, type NewPiece } from '../../src/text/expand/index.ts';
import { learnBpe } from '../../src/text/learn/scratch.ts';
import { SentencePieceTokenizer } from '../../src/text/sentencepiece.ts';
import { loadTokenizer, saveTokenizer, type Tokenizer, tokenizerFromModel } from '../../src/text/tokenizer.ts';
import { prepareRunData } from '../../src/train/data.ts';
import { LLAMA_ADAMW, type TrainSetup } from '../../src/train/programs.ts';
import { Run } from '../../src/train/run.ts';

const root = join(import.meta.dirname, '../..');
const { values: flags } = parseArgs({
  options: {
    out: { type: 'string', default: join(root, 'bench/results/vocab-init.json') },
    work: { type: 'string', default: join(root, '.cache/vocab-init') },
    steps: { type: 'string', default: '200' },
    seeds: { type: 'string', default: '3' },
    only: { type: 'string' },
  },
});

/** Everything the figures depend on; another setup makes another file. */
const SETUP = {
  basePieces: 1024,
  newPieces: 1024,
  hidden: 64,
  intermediate: 172,
  layers: 2,
  heads: 4,
  tokens: 64,
  batch: 8,
  baseSteps: 800,
  basePeak: 0.008,
  steps: Number(flags.steps),
  peak: 0.003,
  /** One Chinese document of so many is in the base's training. */
  chineseShare: 8,
  /** One English document of so many is in the training afterwards. */
  englishShare: 4,
  heldOut: 80,
};

interface Losses {
  readonly en: number;
  readonly zh: number;
}
interface RunResult {
  readonly method: string;
  readonly seed: number;
  /** Nats a token on held-out text, right after and after the steps. */
  readonly start: Losses;
  readonly end: Losses;
}
interface Results {
  setup: typeof SETUP;
  base?: { en: number; zh: number; zhTokensPerCharacter: number; zhTokensPerCharacterGrown: number };
  runs: RunResult[];
  /** English loss right after, on a base that has seen less Chinese; at the first token of a text, and at the others. */
  english?: { oneIn: number; base: number; rises: Record<string, { all: number; first: number; others: number }> };
  stories?: { base: number; rises: Record<string, number>; newPieces: number; tokens: number };
}

const results: Results = existsSync(flags.out) ? (JSON.parse(readFileSync(flags.out, 'utf8')) as Results) : { setup: SETUP, runs: [] };
if (JSON.stringify(results.setup) !== JSON.stringify(SETUP)) throw new Error(`${flags.out} holds results of another setup; give another --out`);
function save(): void {
  mkdirSync(dirname(flags.out), { recursive: true });
  writeFileSync(flags.out, `${JSON.stringify(results, null, 2)}\n`);
}

const { train, validation } = sampleSplits();
const textsOf = (documents: readonly SampleDocument[], lang: Lang): string[] => documents.filter((d) => d.lang === lang).map((d) => d.target);
const every = (texts: readonly string[], n: number): string[] => texts.filter((_, i) => i % n === 0);
/** Some English documents quote Chinese, whose ids change with the vocabulary: losses are only alike on texts without. */
const plainEnglish = textsOf(validation, 'en').filter((text) => !/\p{Script=Han}/u.test(text));
const held = { en: plainEnglish.slice(0, SETUP.heldOut), zh: textsOf(validation, 'zh').slice(0, SETUP.heldOut) };
const [english, chinese] = [textsOf(train, 'en'), textsOf(train, 'zh')];

/** Chinese words that a vocabulary learnt on Chinese alone has, commonest first. */
function chineseWords(count: number): NewPiece[] {
  const model = learnBpe(chinese, { size: count + 1500 });
  return model.pieces.filter((p) => /^\p{Script=Han}{2,}$/u.test(p.text)).map((p) => ({ text: p.text }));
}

function grow(base: SentencePieceModel, count: number): SentencePieceModel {
  const { model } = expandSentencePiece(base, chineseWords(count), { size: base.pieces.length + count });
  return model;
}

function configOf(words: Tokenizer): LlamaConfig {
  const { hidden, intermediate, layers, heads, tokens } = SETUP;
  return makeConfig({
    vocabSize: words.vocabSize,
    hiddenSize: hidden,
    intermediateSize: intermediate,
    numLayers: layers,
    numHeads: heads,
    initializerRange: 0.06,
    maxPositions: tokens,
    bosId: words.bosId,
    eosIds: words.eosId === null ? [] : [words.eosId],
  });
}

/** Nats a token on held-out text. */
async function lossOf(model: Generator, words: Tokenizer, texts: readonly string[]): Promise<number> {
  const scores = await scoreDocuments(
    model,
    texts.map((text) => words.encode(text)),
    { bosId: words.bosId },
  );
  return scores.reduce((sum, s) => sum + s.nll, 0) / scores.reduce((sum, s) => sum + s.tokens, 0);
}

/** Trains from given weights, or from nothing; what is asked before and after. */
async function training(
  words: Tokenizer,
  config: LlamaConfig,
  texts: readonly string[],
  schedule: Schedule,
  seed: number,
  initial: ReadParameter | undefined,
  dir: string | null,
): Promise<{ start: Losses; end: Losses }> {
  const data = prepareRunData(words, texts, held.en.slice(0, 8), { tokens: SETUP.tokens });
  const setup: TrainSetup = {
    model: config,
    precision: 'f32',
    batch: SETUP.batch,
    tokens: SETUP.tokens,
    optimizer: { ...LLAMA_ADAMW, decay: 0.05 },
    clip: 1,
    recompute: 'none',
  };
  const about = { accumulate: 1, seed, validateEvery: 0, saveEvery: 0, out: null, resume: false, version: 'bench' };
  const run = await Run.open({ setup, schedule, data, tokenizer: words, ...about, ...(initial ? { initial } : {}) });
  try {
    const scorer = Generator.attach(run.trainer.stepper.session, config, { precision: 'f32', capacity: 0, score: { batch: 8, tokens: SETUP.tokens } });
    const losses = async (): Promise<Losses> => ({ en: await lossOf(scorer, words, held.en), zh: await lossOf(scorer, words, held.zh) });
    const start = await losses();
    await run.train();
    const end = await losses();
    if (dir !== null) await run.exportModel(dir);
    return { start, end };
  } finally {
    await run.close();
  }
}

/** The base model and both tokenizers, made once; one Chinese document of `oneIn` is in its training. */
async function prepareBase(name: string, oneIn: number): Promise<{ base: string; grown: string }> {
  const base = join(flags.work, name);
  const grown = join(flags.work, `${name}-grown`);
  const few = [...english, ...every(chinese, oneIn)];
  const own = join(flags.work, `${name}-words`);
  if (!existsSync(join(grown, 'tokenizer.model'))) {
    const model = learnBpe(few, { size: SETUP.basePieces });
    await saveTokenizer(files, tokenizerFromModel(model), own);
    await saveTokenizer(files, tokenizerFromModel(grow(model, SETUP.newPieces)), grown);
  }
  if (!existsSync(join(base, 'config.json'))) {
    const words = await loadTokenizer(files, own);
    const schedule: Schedule = { kind: 'cosine', peak: SETUP.basePeak, warmup: 40, steps: SETUP.baseSteps, minimum: 0.05 };
    const { end } = await training(words, configOf(words), few, schedule, 1, undefined, base);
    const perCharacter = (tokenizer: Tokenizer): number =>
      held.zh.reduce((sum, t) => sum + tokenizer.encode(t).length, 0) / held.zh.reduce((sum, t) => sum + [...t].length, 0);
    if (name === 'base')
      results.base = { ...end, zhTokensPerCharacter: perCharacter(words), zhTokensPerCharacterGrown: perCharacter(await loadTokenizer(files, grown)) };
    save();
    console.log(name, end);
  }
  return { base, grown };
}

/** The base grown by a method into a fresh folder; methods that want texts get these. */
async function growInto(out: string, base: string, grown: string, method: GrowMethod, seed: number, texts: readonly string[] = chinese): Promise<void> {
  await files.remove(out);
  await growModel(files, {
    base,
    tokenizer: grown,
    out,
    method,
    seed,
    texts: async function* () {
      yield* texts;
    },
  });
}

/** One method under one seed: grown, scored, trained, scored. */
async function measure(base: string, grown: string, method: GrowMethod, seed: number): Promise<RunResult> {
  const out = join(flags.work, `${method}-${seed}`);
  const texts = [...chinese, ...every(english, SETUP.englishShare)];
  await growInto(out, base, grown, method, seed, texts);
  const source = await importHf(files, out);
  try {
    const words = await loadTokenizer(files, out);
    const schedule: Schedule = { kind: 'cosine', peak: SETUP.peak, warmup: 10, steps: SETUP.steps, minimum: 0.1 };
    const losses = await training(words, source.config, texts, schedule, seed, source.read, null);
    return { method, seed, ...losses };
  } finally {
    await source.close();
    await files.remove(out);
  }
}

/** English loss before and right after, told apart by place. */
async function englishRises(): Promise<void> {
  const oneIn = 64;
  const { base, grown } = await prepareBase('base64', oneIn);
  const device = await GpuDevice.open();
  const score = async (dir: string): Promise<readonly Float32Array[]> => {
    const opened = await importHf(files, dir);
    const words = await loadTokenizer(files, dir);
    const model = await Generator.open(device, opened.config, opened.read, { precision: 'f32', capacity: 0, score: { batch: 8, tokens: SETUP.tokens } });
    const encoded = held.en.map((text) => words.encode(text));
    const scores = await scoreDocuments(model, encoded, { bosId: words.bosId, perToken: true });
    model.session.destroy();
    await opened.close();
    return scores.map((one) => one.tokenNll ?? new Float32Array());
  };
  const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
  const before = await score(base);
  const rises: NonNullable<Results['english']>['rises'] = {};
  for (const method of GROW_METHODS) {
    const out = join(flags.work, 'base64-out');
    await growInto(out, base, grown, method, 1);
    const after = await score(out);
    const rise = after.map((row, i) => Array.from(row, (x, j) => x - before[i][j]));
    rises[method] = { all: mean(rise.flat()), first: mean(rise.map((row) => row[0])), others: mean(rise.flatMap((row) => row.slice(1))) };
    console.log('less Chinese', method, rises[method]);
  }
  device.destroy();
  results.english = { oneIn, base: mean(before.flatMap((row) => [...row])), rises };
  save();
}

/** English loss of stories260K before and right after Chinese words were added. */
async function stories(): Promise<void> {
  const data = process.env.SCION_DATA ?? join(root, '../shared/data');
  const folder = join(data, 'models/stories260K');
  if (!existsSync(folder)) return console.log('skipped: no SCION_DATA with models/stories260K');
  const { documents } = await readDocuments(files, [join(data, 'corpora/en_stories.jsonl')]);
  const texts = documents.slice(0, 100).map((d) => d.text);
  const tokenizer = await loadTokenizer(files, join(folder, 'tok512.model'));
  if (!(tokenizer instanceof SentencePieceTokenizer)) throw new Error('tok512.model is no SentencePiece model');
  const base = join(flags.work, 'stories');
  const grown = join(flags.work, 'stories-words');
  const newPieces = 1000;
  for (const dir of [base, grown]) await files.remove(dir);
  const source = await importLlama2c(files, join(folder, 'stories260K.bin'));
  await exportHf(files, base, source.config, source.read, { dtype: 'f32', tokenizerFiles: { 'tokenizer.model': writeSentencePiece(tokenizer.model) } });
  await source.close();
  await saveTokenizer(files, tokenizerFromModel(grow(tokenizer.model, newPieces)), grown);
  const device = await GpuDevice.open();
  const score = async (dir: string): Promise<{ loss: number; tokens: number }> => {
    const opened = await importHf(files, dir);
    const words = await loadTokenizer(files, dir);
    const model = await Generator.open(device, opened.config, opened.read, { precision: 'f32', capacity: 0, score: { batch: 4, tokens: 256 } });
    const loss = await lossOf(model, words, texts);
    model.session.destroy();
    await opened.close();
    return { loss, tokens: texts.reduce((sum, t) => sum + words.encode(t).length, 0) };
  };
  const before = await score(base);
  const rises: Record<string, number> = {};
  for (const method of GROW_METHODS) {
    const out = join(flags.work, 'stories-grown');
    await growInto(out, base, grown, method, 1);
    rises[method] = (await score(out)).loss - before.loss;
    console.log('stories260K', method, rises[method].toFixed(4));
  }
  device.destroy();
  results.stories = { base: before.loss, rises, newPieces, tokens: before.tokens };
  save();
}

const { base, grown } = await prepareBase('base', SETUP.chineseShare);
if (!results.stories) await stories();
if (!results.english) await englishRises();
const methods = flags.only === undefined ? GROW_METHODS : GROW_METHODS.filter((m) => flags.only?.split(',').includes(m));
for (let seed = 1; seed <= Number(flags.seeds); seed++) {
  for (const method of methods) {
    if (results.runs.some((r) => r.method === method && r.seed === seed)) continue;
    const result = await measure(base, grown, method, seed);
    results.runs.push(result);
    save();
    console.log(
      `${method} seed ${seed}: start en ${result.start.en.toFixed(4)} zh ${result.start.zh.toFixed(4)}, end en ${result.end.en.toFixed(4)} zh ${result.end.zh.toFixed(4)}`,
    );
  }
}
