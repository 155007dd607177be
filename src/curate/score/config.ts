/**
 * What the score step is told, as plain data: which classifiers, models and lists look at a document, and which
 * scores are too low or too high to keep it. Without a drop rule nothing is dropped: scores are for sampling.
 */
import { z } from 'zod';

const dropSchema = z
  .strictObject({
    /** Drop documents whose score is less. Reason `score.below-<name>`. */
    below: z.number().optional(),
    /** Drop documents whose score is more. Reason `score.above-<name>`. */
    above: z.number().optional(),
  })
  .refine((d) => d.below !== undefined || d.above !== undefined, 'give below, above or both');

/** An n-gram model. */
export const ngramSchema = z.strictObject({
  /** Folder that `trainNgram` wrote. */
  path: z.string().min(1),
  /** Only the first so many bytes of a document. */
  maxBytes: z
    .int()
    .min(16)
    .default(16 * 1024),
});

export const scoreSchema = z.strictObject({
  /** Trained classifiers. Two classes: a score. More: the likeliest label as a tag `<name>:<label>`, its probability as the score. */
  classifiers: z
    .array(
      z.strictObject({
        /** Folder that `trainScorer` wrote. */
        path: z.string().min(1),
        /** The score's name; by default the one it was trained under. */
        name: z.string().min(1).optional(),
        /** Least probability of a label that becomes a tag. Of two classes the second is tagged only if this is given. */
        tagAt: z.number().min(0).max(1).optional(),
      }),
    )
    .default([]),
  /** Perplexity a byte under an n-gram model, as score `ngram`. */
  ngram: ngramSchema.optional(),
  /** Scores `readability.sentence`, `.word`, `.flesch` (English), `.rare` (Chinese). */
  readability: z.boolean().default(true),
  /** Word lists: tag `safety:<name>` from `minHits` hits on, and the hits in a thousand units as score `safety.<name>`. */
  safety: z
    .array(
      z
        .strictObject({
          name: z.string().min(1),
          /** Words and phrases … */
          words: z.array(z.string().min(1)).optional(),
          /** … or a file of them, one a line, # for remarks. */
          file: z.string().min(1).optional(),
          minHits: z.int().min(1).default(1),
        })
        .refine((l) => (l.words === undefined) !== (l.file === undefined), 'give words or a file'),
    )
    .default([]),
  /** By score name. */
  drop: z.record(z.string().min(1), dropSchema).default({}),
});
export type ScoreConfig = z.output<typeof scoreSchema>;
