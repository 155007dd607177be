/**
 * Reads `report.json` back, as a stranger's file: what draws it may then rely on its shape. Numbers are not judged here; the
 * page shows what stands there.
 */
import { z } from 'zod';
import { ScionError } from '../../base/errors.ts';
import { decodeUtf8 } from '../../formats/bytes.ts';
import { nestsDeeper } from '../../formats/json.ts';
import type { HostFiles } from '../../host/types.ts';
import type { BuildReport } from './types.ts';

const MAX_BYTES = 64 * 2 ** 20;
const MAX_DEPTH = 64;

const counts = z.record(z.string(), z.number());
const bins = z.array(z.number());
const example = z.object({ id: z.string(), category: z.string(), note: z.string().optional(), text: z.string() });

const schema = z.object({
  version: z.literal(1),
  funnel: z.array(z.object({ step: z.string(), category: z.string(), documents: z.number(), bytes: z.number(), tokens: z.number().nullable() })),
  drops: counts,
  dropsByCategory: z.record(z.string(), counts),
  heldOut: z.record(z.string(), z.object({ documents: z.number(), bytes: z.number() })).optional(),
  examples: z.record(z.string(), z.array(example)),
  tallies: counts,
  histograms: z.object({
    length: z.record(z.string(), bins),
    lengthKept: z.record(z.string(), bins).optional(),
    scores: z.record(z.string(), z.object({ edges: bins, counts: bins, atLeast: z.number().optional(), atMost: z.number().optional() })),
  }),
  duplicates: z.object({
    exact: z.number(),
    near: z.number(),
    clusters: z.number(),
    pairsVerified: z.number(),
    examples: z.array(z.object({ a: example, b: example, similarity: z.number().nullable(), reason: z.string() })),
  }),
  buckets: z.array(z.object({ bucket: z.number(), tokens: z.number(), packs: z.number(), fill: z.number(), mix: counts })),
  packing: z.object({ tokensAfterSampling: z.number(), tokensPacked: z.number(), packs: z.number(), fill: z.number(), T: z.number(), lengthHistogram: bins }),
  compression: z.object({ tokenizer: z.string(), charactersPerToken: counts }),
  seconds: counts,
  peakRssBytes: z.number().nullable(),
  scorers: z.record(z.string(), z.object({ auc: counts })).optional(),
  config: z.unknown(),
});

/** Reads a report. Null if there is none; throws ScionError `format`, naming the field, for one that is none. */
export async function readReport(files: HostFiles, path: string): Promise<BuildReport | null> {
  const stat = await files.stat(path);
  if (stat === null || stat.isDirectory) return null;
  if (stat.size > MAX_BYTES) throw new ScionError('format', `${path} has ${stat.size} bytes; a report has at most ${MAX_BYTES}`, { size: stat.size });
  const text = decodeUtf8(await files.read(path), path);
  if (nestsDeeper(text, MAX_DEPTH)) throw new ScionError('format', `${path}: nested too deeply for a report`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ScionError('format', `${path}: not JSON; the file is cut or damaged: build the data again`, {}, error);
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ScionError('format', `${path}: ${issue.path.join('.') || 'file'}: ${issue.message}; build the data again`, { issues: parsed.error.issues.length });
}
