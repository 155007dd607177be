/**
 * A whole run as data: what `scion run` takes. Base, vocabulary, rows, data, stages, evaluation, export; each part has the
 * fields of the verb that does it alone, so that whoever knows `scion data build` knows `data:`. Everything that changes a
 * result is a field with a default that is written into the run's `config.json`.
 */
import { z } from 'zod';
import { parseBytes } from '../base/format.ts';
import { GROW_METHODS } from '../checkpoint/grow/methods.ts';
import { buildSchema, chatTemplate } from '../curate/pipeline/config.ts';
import { CHOICE_METHODS } from '../eval/choice.ts';
import { LORA_TARGETS } from '../nn/lora.ts';

/** `8.5B`, `300k`, `2M` or a number. */
function amount(what: string) {
  return z.preprocess(
    (value) => {
      if (typeof value !== 'string') return value;
      const found = /^\s*(\d+(?:\.\d+)?)\s*([kKmMgGbBtT]?)\s*$/.exec(value);
      const unit = { k: 1e3, m: 1e6, g: 1e9, b: 1e9, t: 1e12 }[(found?.[2] ?? '').toLowerCase()] ?? 1;
      return found ? Number(found[1]) * unit : value;
    },
    z.number({ error: `a number, or one with k, M, B behind it: ${what}` }).gt(0),
  );
}

/** `24GB`, `512MiB` or a number of bytes. */
const memory = z.preprocess(
  (value) => (typeof value === 'string' ? (parseBytes(value) ?? value) : value),
  z.number({ error: 'bytes, or a size such as 24GB or 512MiB' }).gt(0),
);

const shortName = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,39}$/, 'a short name of a-z, 0-9, - and _');
const share = z.number().min(0).max(1);

/** Parts of the generated corpus. */
export const SAMPLE_PARTS = ['en', 'zh', 'facts'] as const;
export type SamplePart = (typeof SAMPLE_PARTS)[number];

/** Text made by scion itself: a source like any other. */
const sampleSource = z.strictObject({ sample: z.enum(SAMPLE_PARTS).describe('the generated corpus: English, Chinese, Chinese facts') });

const source = z.union([sampleSource, buildSchema.shape.data.element], { error: 'a path, {path or paths, category, lang, fields}, or {sample: en}' });

/** The data recipe without what the run decides: tokenizer, sampling and packing belong to stages. */
const dataSchema = buildSchema.omit({ name: true, tokenizer: true, sample: true, pack: true, seed: true }).extend({
  data: z.array(source).min(1, 'name at least one file, folder or glob'),
  buckets: z.int().min(1).max(10_000).default(10),
  minChunk: z.int().min(1).optional(),
});
export type RecipeData = z.output<typeof dataSchema>;

const scheduleSchema = z.strictObject({
  kind: z.enum(['cosine', 'constant', 'linear', 'wsd']).default('cosine'),
  peak: z.number().gt(0).default(3e-4).describe('peak learning rate'),
  warmup: z
    .union([z.int().min(0), z.string().regex(/^\d+(\.\d+)?\s*%$/, 'steps, or a share such as 5%')])
    .default('5%')
    .describe('steps, or a share of all'),
  minimum: share.default(0.1).describe('floor as a share of the peak'),
  decayShare: share.optional().describe('of wsd: the last part, in which the rate falls'),
  settle: share.lt(1).optional().describe('share of the steps at the end that stay at the floor'),
  continue: z.boolean().default(false).describe('go on with the schedule of the stage before, as if both were one'),
});

/** Adapters of a stage. */
export const loraSchema = z.strictObject({
  rank: z.int().min(1).default(16),
  alpha: z.number().gt(0).default(32),
  dropout: z.number().min(0).lt(1).default(0),
  targets: z.array(z.enum(LORA_TARGETS)).min(1).default(['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']),
  init: z.enum(['kaiming', 'pissa']).default('kaiming'),
  rslora: z.boolean().default(false),
});

const optimizerSchema = z.strictObject({
  kind: z.enum(['adamw', 'sgd']).default('adamw'),
  beta1: share.default(0.9),
  beta2: share.default(0.95),
  epsilon: z.number().gt(0).default(1e-8),
  momentum: share.default(0.9).describe('of sgd'),
  decay: z.number().min(0).default(0.1).describe('weight decay'),
  decayAll: z.boolean().default(false).describe('also on norms, biases, embedding and head'),
  carry: z.boolean().default(false).describe('take moments and step count over from the stage before'),
});

/** What a stage may say; `stages` and `base.train.stage` share it. */
const stageFields = {
  name: shortName,
  kind: z.enum(['pretrain', 'inject', 'replay', 'sft']).default('pretrain').describe('what it is for; sft learns from the answers of chats'),
  mix: z.record(z.string(), z.number().min(0)).optional().describe('categories (names or patterns with *) and their weights; all alike where absent'),
  temperature: share.default(1).describe('share of a category = weight x size^temperature'),
  maxEpochs: z.number().gt(0).max(1000).default(4).describe('a budget repeats a category at most so often'),
  replay: z
    .strictObject({
      share: z.number().gt(0).lt(1).describe('of the tokens of this stage'),
      of: z
        .preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(shortName).min(1))
        .default(['base'])
        .describe('the text of the base ("base"), or of earlier stages by name'),
      categories: z.array(z.string()).min(1).optional().describe('only these'),
      mix: z.record(z.string(), z.number().min(0)).optional().describe('weights of its categories, as of the stage; what is not named counts once'),
    })
    .optional()
    .describe('earlier data among the new, so that it is not forgotten'),
  tokens: amount('tokens to train on').optional(),
  epochs: z.number().gt(0).max(1000).optional().describe('over the data, in place of tokens'),
  steps: z.int().min(1).optional().describe('optimizer steps, in place of tokens'),
  learn: z
    .union([z.enum(['all', 'embeddings', 'rows', 'lora']), z.array(z.string().min(1)).min(1)])
    .default('all')
    .describe('all; embedding and head; only their new rows; adapters; or patterns over Hugging Face names'),
  lora: loraSchema.optional(),
  baseStorage: z.enum(['f32', 'f16', 'q8', 'q4']).optional().describe('how frozen matrices are held'),
  schedule: scheduleSchema.prefault({}),
  optimizer: optimizerSchema.prefault({}),
  length: z.int().min(2).default(1024).describe('tokens a pack'),
  batch: z.int().min(1).default(4).describe('packs a micro'),
  accumulate: z.int().min(1).default(1).describe('micros a step'),
  buckets: z.int().min(1).max(10_000).optional().describe('1: one global shuffle'),
  template: chatTemplate.optional().describe('of chats'),
  precision: z.enum(['f32', 'mixed']).default('f32'),
  recompute: z.enum(['none', 'layer', 'selective']).default('none'),
  clip: z.number().min(0).default(1),
  zLoss: z.number().min(0).default(0),
  neftune: z.number().min(0).default(0).describe('alpha of noise on embeddings'),
  ema: z.number().min(0).lt(1).default(0).describe('decay of an average of the weights'),
  handOn: z.enum(['weights', 'average']).default('weights').describe('what the next stage and the export take: the weights, or their average (ema)'),
  outlier: z.number().min(0).default(0).describe('skip steps whose gradient norm is so many times the median; 0: off'),
  stopAfterBad: z.int().min(1).max(64).default(5).describe('steps with NaN or infinity in a row'),
  validate: z
    .strictObject({
      every: z.int().min(0).optional().describe('steps; by default so that it takes a fiftieth of the arithmetic'),
      bytes: z
        .int()
        .min(1)
        .default(64 * 1024)
        .describe('of held-out text a category'),
      prompts: z.array(z.string()).max(20).default([]),
    })
    .prefault({}),
  save: z
    .strictObject({
      every: z.int().min(0).optional().describe('steps; by default 100, or fewer saves where they would take more than 2 % of the time'),
      keep: z.int().min(1).default(1),
    })
    .prefault({}),
};

const budgets = (stage: { tokens?: number; epochs?: number; steps?: number }): boolean =>
  [stage.tokens, stage.epochs, stage.steps].filter((given) => given !== undefined).length <= 1;
const stageSchema = z
  .strictObject(stageFields)
  .refine(budgets, 'give one of tokens, epochs and steps')
  .refine((s) => s.handOn !== 'average' || s.ema > 0, { message: 'average: the stage keeps none; give it ema, for example 0.999', path: ['handOn'] })
  .refine((s) => s.learn !== 'lora' || s.lora !== undefined, { message: 'learn: lora needs lora: (rank, alpha, targets)', path: ['lora'] })
  .refine((s) => s.lora === undefined || s.learn === 'lora' || s.learn === 'rows' || s.learn === 'embeddings', {
    message: 'lora: goes with learn: lora (or rows, embeddings); other matrices would be trained themselves',
    path: ['lora'],
  });
export type RecipeStage = z.output<typeof stageSchema>;

const shapeSchema = z.strictObject({
  hidden: z.int().min(2),
  intermediate: z.int().min(1),
  layers: z.int().min(1),
  heads: z.int().min(1),
  kvHeads: z.int().min(1).optional(),
  tied: z.boolean().default(false),
  initializerRange: z.number().gt(0).default(0.02),
  maxPositions: z.int().min(2).optional(),
});

const questionSet = z.union(
  [
    z.strictObject({ name: shortName, sample: z.enum(['en', 'zh']).describe('questions on the generated corpus') }),
    z.strictObject({ name: shortName, path: z.string().min(1).describe('JSON Lines of {prompt, options, answer}') }),
  ],
  { error: '{name, path} of JSON Lines, or {name, sample: en}' },
);

const initSchema = z.strictObject({ method: z.enum(GROW_METHODS).default('mean'), padTo: z.int().min(1).default(1) });

/** A variation of the run, from the same base and documents, to hold the run against. */
const armSchema = z.strictObject({
  vocab: z.literal(false).optional().describe('false: no new pieces'),
  init: initSchema.optional(),
  replay: z.literal(false).optional().describe('false: the stages without their replayed share, shorter by it'),
  buckets: z.int().min(1).max(10_000).optional().describe('of every stage; 1: a global shuffle'),
  stages: z.array(stageSchema).min(1).max(100).optional().describe('other stages altogether'),
});
export type RecipeArm = z.output<typeof armSchema>;

export const recipeSchema = z
  .strictObject({
    name: shortName.default('run'),
    seed: z.int().min(0).max(0xffffffff).default(1).describe('of everything that is drawn'),
    budget: memory.optional().describe('memory of the device that a stage may take; one that needs more is refused before anything runs'),
    base: z.union(
      [
        z.strictObject({ model: z.string().min(1).describe('a Hugging Face folder'), tokenizer: z.string().min(1).optional() }),
        z.strictObject({
          train: z.strictObject({
            vocab: z.strictObject({
              size: z.int().min(260),
              categories: z
                .array(z.string())
                .min(1)
                .optional()
                .describe('learnt from these alone (names or patterns with *); text of others is spelt with what they lack, as bytes'),
              maxPieceLength: z.int().min(1).optional(),
              coverage: share.optional(),
            }),
            shape: shapeSchema,
            data: dataSchema,
            stage: stageSchema,
          }),
        }),
      ],
      { error: 'either model: (a Hugging Face folder) or train: {vocab, shape, data, stage}' },
    ),
    data: dataSchema,
    vocab: z
      .strictObject({
        size: z.int().min(1).optional().describe('rows of the tokenizer in all'),
        add: z.int().min(1).optional().describe('or so many more'),
        fewer: z.boolean().default(false).describe('take fewer where the documents hold no more'),
        tokenizer: z.string().min(1).optional().describe('or a tokenizer that was grown before'),
        minCount: z.number().min(1).default(2),
        maxPieceLength: z.int().min(1).default(16),
        coverage: share.default(1),
        temperature: share.default(0.7).describe('balance of categories'),
        scripts: z.array(z.string()).min(1).optional(),
      })
      .refine((v) => [v.size, v.add, v.tokenizer].filter((given) => given !== undefined).length === 1, 'give one of size, add and tokenizer')
      .optional()
      .describe('new pieces, learnt from data; absent: the base keeps its vocabulary'),
    init: initSchema.prefault({}).describe('how rows of new pieces begin'),
    stages: z.array(stageSchema).min(1, 'a run has at least one stage').max(100),
    arms: z.record(shortName, armSchema).default({}).describe('variations to compare with, run after the stages'),
    evaluate: z
      .strictObject({
        questions: z.array(questionSet).default([]),
        method: z.enum(CHOICE_METHODS).default('sum'),
        at: z.enum(['stages', 'ends']).default('stages').describe('asked after every stage, or only before the first and after the last'),
        every: z.number().int().min(1).optional().describe('asked every so many steps of each stage too, for a curve in its report'),
      })
      .prefault({}),
    export: z.strictObject({ dtype: z.enum(['f32', 'f16', 'bf16']).default('f32') }).prefault({}),
  })
  .refine((r) => new Set([...r.stages.map(({ name }) => name), 'base']).size === r.stages.length + 1, {
    message: 'stages need names of their own; "base" is taken',
    path: ['stages'],
  });
export type Recipe = z.output<typeof recipeSchema>;
