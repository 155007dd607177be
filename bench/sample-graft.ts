/**
 * `node bench/sample-graft.ts [--seeds N] [--out FILE]`: the sample's graft from nothing to the table, with the arm without replay, as plain calls of the library: a tiny English
 * base, Chinese pieces, mean init, the stages of `SAMPLE_GRAFT`. What the recipe engine does with folders, keys and resume happens here in memory, so it is
 * also what the engine's figures are held against. Prints every figure; processor time is told beside wall time, since other work may share the cores.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { Random } from '../src/base/random.ts';
import { growModel } from '../src/checkpoint/grow/grow.ts';
import { importHf } from '../src/checkpoint/hf.ts';
import type { ReadParameter } from '../src/checkpoint/source.ts';
import { PackLoader, sequentialBatches } from '../src/data/loader.ts';
import { type Pack, packDocuments } from '../src/data/pack.ts';
import { sampleAnswerCounts, sampleChoiceQuestions } from '../src/data/sample/choices.ts';
import { GRAFT_CATEGORIES, type GraftCategory } from '../src/data/sample/graft.ts';
import type { Lang } from '../src/data/sample/index.ts';
import { askChoices, CHOICE_METHODS, type ChoiceReport, commonestAnswer } from '../src/eval/choice.ts';
import { posixFiles as files } from '../src/host/posix.ts';
import { Generator } from '../src/infer/generator.ts';
import { type LlamaConfig, makeConfig } from '../src/nn/config.ts';
import { writeTokenizerFolder } from '../src/text/expand/index.ts';
import { BaseWords } from '../src/text/learn/base-words.ts';
import { categoryWeights, WordCounts, weighWords } from '../src/text/learn/counts.ts';
import { learnOnBase } from '../src/text/learn/extend.ts';
import { openGrowBase } from '../src/text/learn/grow.ts';
import { learnBpe } from '../src/text/learn/scratch.ts';
import { ScriptFilter } from '../src/text/learn/scripts.ts';
import { loadTokenizer, type Tokenizer, tokenizerFromModel } from '../src/text/tokenizer.ts';
import { LLAMA_ADAMW, type TrainSetup } from '../src/train/programs.ts';
import { Run } from '../src/train/run.ts';
import { SAMPLE_GRAFT, type SampleGraft, type SampleGraftStage, sampleGraftTexts, withoutReplay } from '../src/train/sample-run.ts';

const { values: flags } = parseArgs({ options: { seeds: { type: 'string', default: '1' }, first: { type: 'string', default: '1' }, out: { type: 'string' } } });
const LANGS: readonly Lang[] = ['en', 'zh'];
/** Learnt beyond what is asked for, so that the size holds if some pieces turn out unusable. */
const SPARE = 256;

const work = mkdtempSync(join(tmpdir(), 'scion-graft-'));
const graft = SAMPLE_GRAFT;
const texts = sampleGraftTexts(graft);
const questions = { en: sampleChoiceQuestions('en'), zh: sampleChoiceQuestions('zh') };
const bytesOf = (some: readonly string[]): number => some.reduce((sum, text) => sum + Buffer.byteLength(text), 0);

/** Where time went: wall and processor seconds by part. */
const times: Record<string, { wall: number; processor: number }> = {};
async function timed<T>(part: string, work: () => Promise<T> | T): Promise<T> {
  const [wall, processor] = [performance.now(), process.cpuUsage()];
  const result = await work();
  const used = process.cpuUsage(processor);
  const sum = times[part] ?? { wall: 0, processor: 0 };
  times[part] = { wall: sum.wall + (performance.now() - wall) / 1000, processor: sum.processor + (used.user + used.system) / 1e6 };
  return result;
}

interface Look {
  readonly bitsPerByte: Record<GraftCategory, number>;
  readonly accuracy: Record<Lang, ChoiceReport['methods']> | null;
}

function packAll(tokenizer: Tokenizer, some: readonly string[]): Pack[] {
  const marks = { bos: tokenizer.bosId as number, eos: tokenizer.eosId as number, pad: 0 };
  return packDocuments(
    some.map((text) => tokenizer.encode(text)),
    { T: graft.model.tokens, ...marks },
  ).packs;
}

/** Bits per byte always; questions where they are worth their seconds. */
async function look(run: Run, tokenizer: Tokenizer, asking: boolean): Promise<Look> {
  const { stepper } = run.trainer;
  const bitsPerByte = {} as Record<GraftCategory, number>;
  for (const category of GRAFT_CATEGORIES) {
    const held = texts.validation[category];
    const { nll } = await stepper.evaluate(sequentialBatches(packAll(tokenizer, held), run.options.setup.batch, 0));
    bitsPerByte[category] = nll / Math.LN2 / bytesOf(held);
  }
  if (!asking) return { bitsPerByte, accuracy: null };
  const model = Generator.attach(stepper.session, run.options.setup.model, { precision: 'f32', capacity: 0, score: { batch: 8, tokens: graft.model.tokens } });
  const ask = async (lang: Lang) => (await askChoices(model, tokenizer, questions[lang])).methods;
  const accuracy = { en: await ask('en'), zh: await ask('zh') };
  model.destroy();
  return { bitsPerByte, accuracy };
}

/** Packs of a stage: of each category its share, in passes over all its packs. */
function mixPacks(packs: Readonly<Record<GraftCategory, readonly Pack[]>>, stage: SampleGraftStage, seed: number): Pack[] {
  const total = stage.schedule.steps * graft.model.batch;
  return Object.entries(stage.mix).flatMap(([category, share], stream) => {
    const random = new Random(seed, 0x7000 + stream);
    const out: Pack[] = [];
    for (let pass: Pack[] = []; out.length < Math.round(share * total); out.push(pass.pop() as Pack))
      if (pass.length === 0) pass = random.shuffle([...packs[category as GraftCategory]]);
    return out;
  });
}

async function openRun(
  model: LlamaConfig,
  tokenizer: Tokenizer,
  stage: SampleGraftStage,
  packs: readonly Pack[],
  seed: number,
  held: readonly string[] | null,
  initial?: ReadParameter,
) {
  const setup: TrainSetup = {
    model,
    precision: 'f32',
    batch: graft.model.batch,
    tokens: graft.model.tokens,
    optimizer: { ...LLAMA_ADAMW, decay: graft.model.decay },
    clip: 1,
    recompute: 'none',
  };
  const validation = held === null ? null : { sets: [{ category: 'en', packs: packAll(tokenizer, held), bytes: bytesOf(held) }] };
  const losses: [number, number][] = [];
  const run = await Run.open({
    setup,
    schedule: stage.schedule,
    accumulate: 1,
    data: { packs: packs.length, fill: 1, trainBytes: null, validation, open: (B, s) => new PackLoader(packs, { B, seed: s }) },
    tokenizer,
    seed,
    ...(initial ? { initial } : {}),
    validateEvery: held === null ? 0 : Math.ceil(stage.schedule.steps / 10),
    saveEvery: 0,
    out: null,
    resume: false,
    version: 'bench',
    hooks: { onValidate: (v) => void losses.push([v.step, v.loss]) },
  });
  return { run, losses };
}

/** Trains a stage from a folder and leaves its model in another. */
async function stageRun(
  from: string,
  to: string,
  tokenizer: Tokenizer,
  packs: Readonly<Record<GraftCategory, readonly Pack[]>>,
  stage: SampleGraftStage,
  seed: number,
  last: boolean,
) {
  const source = await importHf(files, from);
  const { run } = await openRun(source.config, tokenizer, stage, mixPacks(packs, stage, seed), seed, null, source.read);
  await source.close();
  try {
    await timed(stage.name, () => run.train());
    await run.exportModel(to);
    return await timed('asking', () => look(run, tokenizer, last));
  } finally {
    await run.close();
  }
}

function print(name: string, { bitsPerByte, accuracy }: Look): void {
  const bits = Object.entries(bitsPerByte).map(([c, x]) => `${c} ${x.toFixed(4)}`);
  console.log(`${name.padEnd(20)} bits per byte: ${bits.join(', ')}`);
  if (accuracy === null) return;
  for (const lang of LANGS) {
    const { sum } = accuracy[lang];
    const others = CHOICE_METHODS.slice(1).map((m) => `${m} ${(accuracy[lang][m].accuracy * 100).toFixed(1)}`);
    const kinds = Object.entries(sum.byCategory).map(([c, r]) => `${c} ${(r.accuracy * 100).toFixed(0)}`);
    const ends = sum.interval.map((x) => (x * 100).toFixed(1));
    console.log(`${''.padEnd(20)} ${lang} ${(sum.accuracy * 100).toFixed(1)} % [${ends.join(', ')}] (${others.join(', ')}; ${kinds.join(', ')})`);
  }
}

async function one(seed: number, g: SampleGraft) {
  const at = (name: string): string => join(work, `${seed}-${name}`);
  const looks: Record<string, Look> = {};
  const { model: m } = g;
  const words = await timed('vocabulary', () => tokenizerFromModel(learnBpe(texts.train.en, { size: g.basePieces })));
  const config = makeConfig({
    vocabSize: words.vocabSize,
    hiddenSize: m.hidden,
    intermediateSize: m.intermediate,
    numLayers: m.layers,
    numHeads: m.heads,
    initializerRange: m.initializerRange,
    maxPositions: m.tokens,
    bosId: words.bosId,
    eosIds: [words.eosId as number],
  });
  const base = await openRun(config, words, g.base, packAll(words, texts.train.en), seed, texts.validation.en);
  await timed('base', () => base.run.train());
  const before = base.losses.findLast(([step]) => step <= g.base.schedule.steps * 0.8);
  const moved = 1 - (base.losses.at(-1) as [number, number])[1] / (before as [number, number])[1];
  console.log(
    `base losses ${base.losses.map(([step, loss]) => `${step}: ${loss.toFixed(4)}`).join(', ')}; moved ${(moved * 100).toFixed(2)} % in the last fifth`,
  );
  looks.base = await timed('asking', () => look(base.run, words, true));
  print('base', looks.base);
  await base.run.exportModel(at('base'));
  await base.run.close();
  const tokenizer = await timed('vocabulary', async () => {
    const grow = await openGrowBase(files, at('base'));
    const counts = new WordCounts(grow.learn.cutter);
    for (const category of ['zh', 'facts'] as const) for (const text of texts.train[category]) counts.add(text, category);
    const learnt = learnOnBase(new BaseWords(grow.learn, weighWords(counts, categoryWeights(counts, {}))), {
      count: g.grownPieces - grow.size + SPARE,
      targets: new ScriptFilter(['Han']),
    });
    await writeTokenizerFolder(files, at('words'), grow.grow(learnt.pieces, g.grownPieces, false).files({}, new Map()).files, { force: true });
    await growModel(files, { base: at('base'), tokenizer: at('words'), out: at('grown'), method: 'mean', seed });
    return loadTokenizer(files, at('grown'));
  });
  const packs = { en: packAll(tokenizer, texts.train.en), zh: packAll(tokenizer, texts.train.zh), facts: packAll(tokenizer, texts.train.facts) };
  for (const stages of [g.stages, withoutReplay(g.stages)]) {
    let from = at('grown');
    for (const stage of stages) {
      looks[stage.name] = await stageRun(from, at(stage.name), tokenizer, packs, stage, seed, stage === stages.at(-1));
      print(stage.name, looks[stage.name]);
      from = at(stage.name);
    }
  }
  const last = looks[(g.stages.at(-1) as SampleGraftStage).name];
  const bare = looks[(withoutReplay(g.stages).at(-1) as SampleGraftStage).name];
  const worse = (l: Look): string => `${((l.bitsPerByte.en / looks.base.bitsPerByte.en - 1) * 100).toFixed(2)} %`;
  console.log(
    `seed ${seed}: base moved ${(moved * 100).toFixed(2)} %; English bits per byte against the base's: ${worse(last)} with replay, ${worse(bare)} without`,
  );
  return { seed, moved, looks };
}

try {
  const counts = {
    en: sampleAnswerCounts(
      texts.train.en.map((target) => ({ target })),
      'en',
    ),
    zh: sampleAnswerCounts(
      [...texts.train.zh, ...texts.train.facts].map((target) => ({ target })),
      'zh',
    ),
  };
  for (const lang of LANGS)
    console.log(`${lang}: ${questions[lang].length} questions, commonest answer ${(commonestAnswer(questions[lang], counts[lang]) * 100).toFixed(1)} %`);
  const runs = [];
  for (let i = 0; i < Number(flags.seeds); i++) runs.push(await one(Number(flags.first) + i, graft));
  const total = Object.values(times).reduce((sum, t) => ({ wall: sum.wall + t.wall, processor: sum.processor + t.processor }), { wall: 0, processor: 0 });
  for (const [part, t] of Object.entries({ ...times, total })) console.log(`${part.padEnd(20)} ${t.wall.toFixed(1)} s, processor ${t.processor.toFixed(1)} s`);
  if (flags.out) writeFileSync(flags.out, `${JSON.stringify({ graft, runs, times }, null, 2)}\n`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
