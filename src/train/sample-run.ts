/**
 * The run of `npm start` and of the page: a small LLaMA learns the project's own bilingual corpus. Sizes
 * are chosen so that two CPU cores finish in minutes and the model still passes an order-5 byte n-gram model.
 */
import { ByteNgram } from '../data/ngram.ts';
import { GRAFT_TEXTS, type GraftCategory, type GraftOptions, sampleGraftDocuments } from '../data/sample/graft.ts';
import { type SampleQuestion, sampleQuestions, sampleSplits } from '../data/sample/index.ts';
import { makeConfig } from '../nn/config.ts';
import type { Schedule } from '../optim/schedule.ts';
import { learnBpe } from '../text/learn/scratch.ts';
import { type Tokenizer, tokenizerFromModel } from '../text/tokenizer.ts';
import { prepareRunData, type TextRunData } from './data.ts';
import { LLAMA_ADAMW, type TrainSetup } from './programs.ts';

/** Sizes of a sample run. */
export interface SampleSize {
  readonly vocabulary: number;
  readonly hidden: number;
  readonly intermediate: number;
  readonly layers: number;
  readonly heads: number;
  readonly tokens: number;
  readonly batch: number;
  readonly steps: number;
  readonly peakRate: number;
  /** Validation documents, taken from the front of the split. */
  readonly validation: number;
}

/** `full` for `npm start`; `quick` for the page and for tests. */
export const SAMPLE_SIZES: Readonly<Record<'full' | 'quick', SampleSize>> = {
  full: { vocabulary: 2048, hidden: 96, intermediate: 256, layers: 2, heads: 4, tokens: 128, batch: 4, steps: 800, peakRate: 0.008, validation: 120 },
  quick: { vocabulary: 1024, hidden: 64, intermediate: 172, layers: 2, heads: 4, tokens: 64, batch: 4, steps: 60, peakRate: 0.008, validation: 24 },
};

/** Texts of a run before packing: the sample's, or the user's. */
export interface RunTexts {
  readonly train: readonly string[];
  readonly validation: readonly string[];
}

/** The sample corpus, split; validation cut to the size's documents. */
export function sampleTexts(size: SampleSize): RunTexts {
  const { train, validation } = sampleSplits();
  return { train: train.map((d) => d.target), validation: validation.slice(0, size.validation).map((d) => d.target) };
}

/** Tokenizer, packs, setup and schedule for texts at a size. */
export function prepareSampleRun(
  texts: RunTexts,
  size: SampleSize,
  tokenizer?: Tokenizer,
): { tokenizer: Tokenizer; data: TextRunData; setup: TrainSetup; schedule: Schedule } {
  const words = tokenizer ?? tokenizerFromModel(learnBpe(texts.train, { size: size.vocabulary }));
  const data = prepareRunData(words, texts.train, texts.validation, { tokens: size.tokens });
  const model = makeConfig({
    vocabSize: words.vocabSize,
    hiddenSize: size.hidden,
    intermediateSize: size.intermediate,
    numLayers: size.layers,
    numHeads: size.heads,
    // Narrow models start slowly from the usual 0.02: at width 96, 0.06 reaches 1.13 bits per byte where 0.02 reaches 1.58.
    initializerRange: 0.06,
    maxPositions: size.tokens,
    bosId: words.bosId,
    eosIds: words.eosId === null ? [] : [words.eosId],
  });
  return {
    tokenizer: words,
    data,
    setup: { model, precision: 'f32', batch: size.batch, tokens: size.tokens, optimizer: { ...LLAMA_ADAMW, decay: 0.05 }, clip: 1, recompute: 'none' },
    schedule: { kind: 'cosine', peak: size.peakRate, warmup: Math.ceil(size.steps * 0.05), steps: size.steps, minimum: 0.05 },
  };
}

/** The baseline to beat: bits per byte of an order-5 byte n-gram model on the same split. */
export function ngramBaseline(texts: RunTexts): number {
  return ByteNgram.train(texts.train).bitsPerByte(texts.validation).bitsPerByte;
}

/** Questions asked before and after: frequent facts in wordings that training never shows; two English, one Chinese. */
export function sampleProbes(): SampleQuestion[] {
  const core = sampleQuestions().filter((q) => q.core && q.form === 'sentence');
  const pick = (lang: string, count: number) => core.filter((q) => q.lang === lang && q.category === 'capital').slice(0, count);
  return [...pick('en', 2), ...pick('zh', 1)];
}

/** A stage of the sample's graft: what is mixed, how long, at which rates. */
export interface SampleGraftStage {
  readonly name: string;
  readonly schedule: Schedule;
  /** Shares of packs by category; they add up to 1. */
  readonly mix: Readonly<Partial<Record<GraftCategory, number>>>;
}

/** The sample's graft as data. Base and stages start their optimizer anew. */
export interface SampleGraft {
  /** What the texts are generated with. */
  readonly texts: GraftOptions;
  readonly model: Pick<SampleSize, 'hidden' | 'intermediate' | 'layers' | 'heads' | 'tokens' | 'batch'> & {
    readonly initializerRange: number;
    readonly decay: number;
  };
  /** Pieces learnt on English, and rows after Chinese ones have joined them. */
  readonly basePieces: number;
  readonly grownPieces: number;
  readonly base: SampleGraftStage;
  readonly stages: readonly SampleGraftStage[];
}

/**
 * The graft of `npm start`, made so that two CPU cores finish it in less than five minutes. The base rests for its last fifth at a rate that hardly moves it; `inject` warms up
 * again on mostly Chinese with a share of the old English in it, `replay` cools down on mostly English, which takes back what the warm
 * rates undid. docs/experiments/sample-graft.md says what was tried.
 */
export const SAMPLE_GRAFT: SampleGraft = {
  texts: GRAFT_TEXTS,
  model: { hidden: 64, intermediate: 172, layers: 2, heads: 4, tokens: 128, batch: 4, initializerRange: 0.06, decay: 0.05 },
  basePieces: 1024,
  grownPieces: 1792,
  base: { name: 'base', schedule: { kind: 'cosine', peak: 0.01, warmup: 60, steps: 1200, minimum: 0.002, settle: 0.2 }, mix: { en: 1 } },
  stages: [
    { name: 'inject', schedule: { kind: 'cosine', peak: 0.005, warmup: 20, steps: 320, minimum: 0.6 }, mix: { zh: 0.2, facts: 0.45, en: 0.35 } },
    { name: 'replay', schedule: { kind: 'cosine', peak: 0.003, warmup: 0, steps: 310, minimum: 0.01 }, mix: { en: 0.6, zh: 0.1, facts: 0.3 } },
  ],
};

/** Texts of the graft by category, for training and to measure on. */
export function sampleGraftTexts(graft: SampleGraft): Record<'train' | 'validation', Record<GraftCategory, string[]>> {
  const { train, validation } = sampleGraftDocuments(graft.texts);
  const texts = (side: Record<GraftCategory, { target: string }[]>) => ({
    en: side.en.map((d) => d.target),
    zh: side.zh.map((d) => d.target),
    facts: side.facts.map((d) => d.target),
  });
  return { train: texts(train), validation: texts(validation) };
}

/**
 * The same graft without replay: no old category in any stage, the same number of packs of each new one, at the same rates. A stage is shorter by what
 * is left out, so that Chinese is learnt from the same tokens and nothing but the English is missing.
 */
export function withoutReplay(stages: readonly SampleGraftStage[], old: readonly GraftCategory[] = ['en']): SampleGraftStage[] {
  return stages.flatMap((stage) => {
    const kept = Object.entries(stage.mix).filter(([category]) => !old.includes(category as GraftCategory));
    const share = kept.reduce((sum, [, part]) => sum + part, 0);
    if (share === 0) return [];
    const { schedule } = stage;
    const steps = Math.round(schedule.steps * share);
    return [
      {
        name: `${stage.name}-no-replay`,
        schedule: { ...schedule, steps, warmup: Math.round(schedule.warmup * share) },
        mix: Object.fromEntries(kept.map(([category, part]) => [category, part / share])),
      },
    ];
  });
}
