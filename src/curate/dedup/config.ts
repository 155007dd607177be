/**
 * The configuration of deduplication: plain JSON with a default for everything. Bands and rows follow from the
 * threshold unless both are given, because a user knows which texts are too alike and seldom what a band is.
 */
import { z } from 'zod';
import { planBands } from './minhash.ts';

const Repeats = z.strictObject({
  minUnits: z.int().min(1).describe('words (or characters of a script without spaces) that a piece has at least to count'),
});

/** What `dedupShards` takes. */
export const DedupConfig = z
  .strictObject({
    exact: z
      .enum(['text', 'spaces', 'off'])
      .default('spaces')
      .describe('which documents are equal: the same text, or the same but for white space and Unicode form (NFKC); off: none'),
    near: z.boolean().default(true).describe('look for near-duplicates'),
    threshold: z.number().gt(0).max(1).default(0.8).describe('Jaccard similarity of shingle sets from which on two documents are near-duplicates'),
    words: z.int().min(1).max(64).default(5).describe('words of a shingle'),
    characters: z.int().min(1).max(64).default(3).describe('characters of a shingle, in scripts without spaces'),
    permutations: z.int().min(1).max(1024).default(128).describe('hashes of a signature at most, where bands and rows are not given'),
    recall: z
      .number()
      .gt(0)
      .lt(1)
      .default(0.995)
      .describe('share of pairs right at the threshold that bands must bring together, where bands and rows are not given'),
    bands: z.int().min(1).max(256).optional().describe('bands; give rows too'),
    rows: z.int().min(1).max(64).optional().describe('hashes of a band; give bands too'),
    seed: z.int().min(0).max(0xffffffff).default(1).describe('of the permutations'),
    keep: z
      .string()
      .regex(/^(longest|first|best:.+)$/)
      .default('longest')
      .describe('which of a group stays: longest, first, or best:NAME by that score; of equals the first'),
    chains: z
      .enum(['drop', 'keep'])
      .default('drop')
      .describe('members of a group that are like another member but not like the one that stays: drop (union-find as it is), or keep them'),
    maxGroup: z
      .int()
      .min(2)
      .max(1000)
      .default(24)
      .describe('documents of one bucket up to which all pairs are compared; larger ones are compared with representatives'),
    representatives: z.int().min(1).max(1000).default(16).describe('representatives of a larger bucket at most'),
    containment: z
      .union([
        z.null(),
        z.strictObject({
          threshold: z.number().gt(0).max(1).default(0.9).describe('share of the shorter text’s shingles that the longer one has'),
          minShingles: z.int().min(1).default(100).describe('shingles of the shorter text; common phrases make shorter ones look contained'),
          every: z.int().min(1).max(65536).default(32).describe('one of so many shingles is kept as an anchor to find candidates by'),
          maxShared: z.int().min(2).default(64).describe('an anchor in more documents than this is a common phrase and is not followed'),
        }),
      ])
      .default(null)
      .describe('also drop short texts that lie in a long one; null: off'),
    paragraphs: z
      .union([z.null(), Repeats])
      .default({ minUnits: 50 })
      .describe('cut paragraphs (between empty lines, outside code fences) that an earlier document or place has; null: off'),
    lines: z.union([z.null(), Repeats]).default(null).describe('the same for lines; null: off'),
    minLeft: z.int().min(0).default(20).describe('words or characters that must be left after cuts, else the document goes'),
  })
  .refine(({ bands, rows }) => (bands === undefined) === (rows === undefined), 'give both bands and rows, or none of them')
  .refine(({ bands = 1, rows = 1 }) => bands * rows <= 4096, 'bands x rows is more than 4096 hashes')
  .refine(
    ({ paragraphs, lines, minLeft }) => minLeft <= Math.min(paragraphs?.minUnits ?? Infinity, lines?.minUnits ?? Infinity),
    'minLeft must not be above minUnits of paragraphs or lines: the first place of a repeated piece could go with its document',
  );

export type DedupConfig = z.infer<typeof DedupConfig>;
/** As a user writes it: everything may be left out. */
export type DedupInput = z.input<typeof DedupConfig>;

/** Bands and rows in force: given, or planned from the threshold. */
export function bandsOf(config: DedupConfig): { bands: number; rows: number } {
  if (config.bands !== undefined && config.rows !== undefined) return { bands: config.bands, rows: config.rows };
  return planBands(config.threshold, config.recall, config.permutations);
}
