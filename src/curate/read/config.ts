/**
 * Where documents come from and how much of a file is believed: the part of a recipe that reading needs. Limits are
 * generous for real data and small beside the memory of a laptop; what passes one is counted, never an end of the build.
 */
import { z } from 'zod';

const column = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);

/** Fields a record may have, and what a file calls them. Several columns are joined by line ends. */
const fieldsSchema = z.strictObject({
  text: column.optional().describe('the text; the same as target without a source'),
  source: column.optional().describe('read but not learnt'),
  target: column.optional().describe('learnt'),
  messages: column.optional().describe('the turns of a chat'),
  id: column.optional(),
  category: column.optional(),
  lang: column.optional(),
  title: column.optional(),
});
export type Fields = z.output<typeof fieldsSchema>;

export const sourceSchema = z.strictObject({
  paths: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .transform((paths) => (typeof paths === 'string' ? [paths] : paths))
    .describe('files, folders or globs'),
  category: z.string().min(1).max(200).optional().describe("for records that name none; else the file's name up to its first dot"),
  lang: z.string().min(1).max(40).optional().describe('for records that name none'),
  fields: fieldsSchema.default({}).describe("what records call their fields, where it is not the house's names"),
});
export type Source = z.output<typeof sourceSchema>;

const size = (fallback: number) => z.int().min(1).default(fallback);

export const readSchema = z.strictObject({
  maxLineBytes: size(16 * 2 ** 20).describe('longest line of JSON Lines, CSV and plain text'),
  maxUnpackedBytes: size(2 ** 34).describe('most unpacked bytes of one packed file'),
  maxUnpackRatio: size(200).describe('most unpacked bytes for each packed one, beyond the first MiB'),
  maxHtmlBytes: size(4 * 2 ** 20).describe('largest HTML page'),
  maxJsonBytes: size(64 * 2 ** 20).describe('largest JSON file; JSON Lines have no such limit'),
  textBytes: size(256 * 2 ** 10).describe('plain texts up to this size are one document; larger ones are cut at blank lines into pieces of about this size'),
  shardBytes: z
    .int()
    .min(1024)
    .default(4 * 2 ** 20)
    .describe('about the size of a shard, the unit of work'),
});
export type ReadConfig = z.output<typeof readSchema>;
