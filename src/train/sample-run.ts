/**
 * The run of `npm start` and of the page: a small LLaMA learns the project's own bilingual corpus. Sizes
 * are chosen so that two CPU cores finish in minutes and the model still passes an order-5 byte n-gram model.
 */
import { ByteNgram } from '../data/ngram.ts';
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
