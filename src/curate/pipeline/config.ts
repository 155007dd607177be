/**
 * A whole build as data: what a recipe holds, each part the configuration of its step. Left out means the step's defaults;
 * `false` turns a step off. Decontamination, scores and sampling are off unless they are named, since they need files or a wish.
 */
import { z } from 'zod';
import { TEMPLATES, templateNamed } from '../../data/packed/index.ts';
import { CleanConfig } from '../clean/index.ts';
import { decontaminateSchema, indexSchema } from '../decontaminate/index.ts';
import { DedupConfig } from '../dedup/index.ts';
import { readSchema, sourceSchema } from '../read/config.ts';
import { sampleSchema } from '../sample/config.ts';
import { ngramSchema, scoreSchema } from '../score/index.ts';

/** Off, or a configuration; a bare word stands for a field of it. */
const switched = <T extends z.ZodType>(schema: T, word?: string) =>
  z.preprocess(
    (value) => (value === false ? null : value === true ? {} : typeof value === 'string' && word !== undefined ? { [word]: value } : value),
    schema.nullable(),
  );

const paths = z.array(z.string().min(1)).min(1);
const trained = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9_-]{0,39}$/, 'a short name of a-z, 0-9, - and _')
      .refine((name) => name !== 'ngram' && name !== 'perplexity', 'ngram and perplexity are scores of their own'),
    positives: paths.optional().describe('files of good texts, with negatives'),
    negatives: paths.optional(),
    classes: z.record(z.string(), paths).optional().describe('or files of each label'),
    limit: z.int().min(1).optional().describe('most documents of a class'),
    C: z.number().gt(0).optional(),
    tagAt: z.number().min(0).max(1).optional(),
  })
  .describe('a classifier that is trained before it scores; it stays in scorers/ of the output');
export type TrainedScorer = z.output<typeof trained>;

const ngram = ngramSchema
  .extend({
    path: z.string().min(1).optional().describe('a folder with an n-gram model'),
    train: paths.optional().describe('or files of texts that others are to be like: a model is made of them; it stays in scorers/ngram of the output'),
    order: z.int().min(1).max(6).optional().describe('longest n-gram in bytes of a model that is made'),
  })
  .refine((n) => (n.path === undefined) !== (n.train === undefined), 'give path or train')
  .describe('score "ngram": perplexity a byte under an n-gram model');

const perplexity = z
  .strictObject({
    model: z.string().min(1).describe('a Hugging Face folder'),
    tokenizer: z.string().min(1).optional(),
    precision: z.enum(['f32', 'mixed']).optional(),
    window: z.int().min(2).optional(),
    maxTokens: z.int().min(2).optional(),
  })
  .describe('score "perplexity" under a scion model, on the device, in the main thread');

const validation = z
  .strictObject({
    share: z.number().gt(0).max(0.5).default(0.01).describe('of the documents of each category, by a seeded hash of their text'),
    documents: z.int().min(1).default(200).describe('at most so many a category'),
    bytes: z
      .int()
      .min(1)
      .default(2 ** 20)
      .describe('at most so many bytes of text a category'),
  })
  .describe('documents that are held out of sampling and packing, as validation/CATEGORY.jsonl beside the packed data');
export type ValidationConfig = z.output<typeof validation>;

/** A chat template by name, with its dash or without. */
export const chatTemplate = z.preprocess((value) => (typeof value === 'string' ? (templateNamed(value) ?? value) : value), z.enum(TEMPLATES));

export const buildSchema = z.strictObject({
  name: z.string().optional(),
  data: z
    .array(
      z.preprocess((value) => {
        if (typeof value === 'string') return { paths: value };
        // `path` reads better for one.
        if (typeof value === 'object' && value !== null && 'path' in value && !('paths' in value)) {
          const { path, ...rest } = value;
          return { ...rest, paths: path };
        }
        return value;
      }, sourceSchema),
    )
    .min(1, 'name at least one file, folder or glob'),
  seed: z.int().min(0).max(0xffffffff).default(0).describe('of sampling and of the order of packs'),
  read: readSchema.prefault({}),
  clean: switched(CleanConfig, 'rules').prefault({}),
  dedup: switched(DedupConfig).prefault({}),
  decontaminate: switched(z.strictObject({ ...indexSchema.shape, ...decontaminateSchema.omit({ index: true }).shape })).default(null),
  score: switched(
    z.strictObject({ ...scoreSchema.shape, ngram: ngram.optional(), train: z.array(trained).default([]), perplexity: perplexity.optional() }),
  ).default(null),
  validation: switched(validation).default(null),
  sample: switched(sampleSchema).default(null),
  tokenizer: z.string().min(1).nullable().default(null).describe('a folder or file; without one nothing is packed'),
  pack: z
    .strictObject({
      length: z.int().min(2).default(4096).describe('tokens a pack'),
      buckets: z.int().min(1).max(10_000).default(10),
      template: chatTemplate.default('plain').describe('for chats'),
      minChunk: z.int().min(1).optional().describe('shortest chunk that a long document is cut into on purpose; length / 16'),
    })
    .prefault({}),
});
export type BuildConfig = z.output<typeof buildSchema>;
export type BuildInput = z.input<typeof buildSchema>;

/** Steps that `--only` names. Reading is always done. */
export const STEP_NAMES = ['read', 'clean', 'dedup', 'decontaminate', 'score', 'validation', 'sample', 'pack'] as const;
export type StepName = (typeof STEP_NAMES)[number];

/** The configuration with only these steps on. */
export function onlySteps(config: BuildConfig, only: readonly StepName[]): BuildConfig {
  const has = (name: StepName): boolean => only.includes(name);
  return {
    ...config,
    clean: has('clean') ? config.clean : null,
    dedup: has('dedup') ? config.dedup : null,
    decontaminate: has('decontaminate') ? config.decontaminate : null,
    score: has('score') ? config.score : null,
    validation: has('validation') ? config.validation : null,
    sample: has('sample') ? config.sample : null,
    tokenizer: has('pack') ? config.tokenizer : null,
  };
}
