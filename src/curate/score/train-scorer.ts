/**
 * Trains a classifier from files: good texts against bad ones, or one set of files a topic. Documents are split by a
 * hash of their id into training and validation, so a document never lies on both sides; the card that is saved
 * beside the weights tells how well the validation side is told apart.
 */
import { ScionError } from '../../base/errors.ts';
import { streamDocuments } from '../../data/documents.ts';
import { hash32 } from '../../data/hash.ts';
import { GpuDevice } from '../../gpu/device.ts';
import type { Host } from '../../host/types.ts';
import { type FeatureConfig, featureSchema } from './features.ts';
import { type FitResult, fitLinear, type LinearWeights, rowLogits, type SparseRows } from './fit.ts';
import { type ScorerCard, saveScorer, toProbabilities } from './linear.ts';
import { auc } from './metrics.ts';
import { RowBuilder } from './rows.ts';

export interface TrainScorerOptions {
  /** Files, folders or globs. Either these two … */
  readonly positives?: readonly string[];
  readonly negatives?: readonly string[];
  /** … or the files of each label. */
  readonly classes?: Readonly<Record<string, readonly string[]>>;
  /** Folder that is written. */
  readonly out: string;
  /** The score's name; by default `quality`, with `classes` `topic`. */
  readonly name?: string;
  readonly features?: Partial<FeatureConfig>;
  /** As scikit-learn's C. Default 10. */
  readonly C?: number;
  readonly maxSteps?: number;
  /** Share of documents kept for validation. Default 0.1. */
  readonly validation?: number;
  /** Most documents of a class; a larger class gives those with the smallest hash, not the first. */
  readonly limit?: number;
  readonly seed?: number;
  /** An open device; else one is opened, by `adapter`. */
  readonly device?: GpuDevice;
  readonly adapter?: string;
  readonly onProgress?: (message: string) => void;
}

export interface TrainScorerResult {
  readonly out: string;
  readonly name: string;
  readonly labels: readonly string[];
  /** Documents by label, training and validation together. */
  readonly documents: Readonly<Record<string, number>>;
  readonly rows: number;
  readonly steps: number;
  readonly objective: number;
  readonly gradient: number;
  readonly converged: boolean;
  /** By label (of two, the second alone): AUC on the validation documents, null where there are too few to tell. */
  readonly validationAuc: Readonly<Record<string, number | null>>;
  readonly validationDocuments: number;
  readonly seconds: number;
  readonly device: string;
}

/** Mean probability of each output by document, from rows. */
export function documentProbabilities(rows: SparseRows & { readonly documents: Uint32Array }, model: LinearWeights): Float64Array[] {
  const sums: Float64Array[] = [];
  const counts: number[] = [];
  const logits = new Float64Array(model.bias.length);
  rows.labels.forEach((_, i) => {
    rowLogits(rows.ids, rows.values, rows.starts[i], rows.starts[i + 1], model, logits);
    toProbabilities(logits);
    const d = rows.documents[i];
    sums[d] ??= new Float64Array(logits.length);
    counts[d] = (counts[d] ?? 0) + 1;
    for (let o = 0; o < logits.length; o++) sums[d][o] += logits[o];
  });
  sums.forEach((sum, d) => {
    for (let o = 0; o < sum.length; o++) sum[o] /= counts[d];
  });
  return sums;
}

function classesOf(options: TrainScorerOptions): [string, readonly string[]][] {
  const { positives = [], negatives = [], classes } = options;
  if (classes !== undefined) {
    const entries = Object.entries(classes);
    if (positives.length + negatives.length > 0) throw new ScionError('usage', 'training a classifier: give positives and negatives, or classes, not both');
    if (entries.length < 2) throw new ScionError('usage', `training a classifier: classes needs at least two labels, got ${entries.length}`);
    return entries;
  }
  if (positives.length === 0 || negatives.length === 0)
    throw new ScionError(
      'usage',
      'training a classifier: both positives and negatives need files; for example positives: [good/*.jsonl], negatives: [bad/*.jsonl]',
    );
  return [
    ['negative', negatives],
    ['positive', positives],
  ];
}

/** Reads the texts of one class, at most `limit` of them. */
async function readClass(host: Host, patterns: readonly string[], limit: number, seed: number): Promise<{ id: string; text: string }[]> {
  let kept: { id: string; text: string; hash: number }[] = [];
  for await (const { id, text } of streamDocuments(host.files, patterns)) {
    if (text.trim() === '') continue;
    kept.push({ id, text, hash: hash32(id, seed) });
    if (kept.length >= 2 * limit) kept = kept.sort((a, b) => a.hash - b.hash).slice(0, limit);
  }
  return kept.length <= limit ? kept : kept.sort((a, b) => a.hash - b.hash).slice(0, limit);
}

/** Trains and saves. @throws ScionError `usage`, `input` for the data, `device` where there is no GPU entry. */
export async function trainScorer(host: Host, options: TrainScorerOptions): Promise<TrainScorerResult> {
  const { out, validation = 0.1, limit = Number.POSITIVE_INFINITY, seed = 0, C = 10, onProgress = () => {} } = options;
  if (!(validation >= 0 && validation < 1)) throw new ScionError('usage', `validation is a share from 0 to less than 1, got ${validation}`);
  const began = host.now();
  const classes = classesOf(options);
  const labels = classes.map(([label]) => label);
  const name = options.name ?? (options.classes ? 'topic' : 'quality');
  const features = featureSchema.parse(options.features ?? {});
  const training = new RowBuilder(features);
  const held = new RowBuilder(features);
  const documents: Record<string, number> = {};
  for (const [label, [text, patterns]] of classes.entries()) {
    const read = await readClass(host, patterns, limit, seed);
    documents[text] = read.length;
    onProgress(`${text}: ${read.length} documents`);
    for (const d of read) (hash32(d.id, seed + 1) / 2 ** 32 < validation ? held : training).add(d.text, label);
  }
  const rows = training.rows(labels.length);
  const device = options.device ?? (await GpuDevice.open({ adapter: options.adapter }));
  let fitted: FitResult;
  try {
    fitted = await fitLinear(device, rows, {
      C,
      maxSteps: options.maxSteps,
      onProgress: (step, objective, gradient) => onProgress(`step ${step}: objective ${objective.toFixed(5)}, gradient ${gradient.toExponential(1)}`),
    });
  } finally {
    if (!options.device) device.destroy();
  }
  const heldRows = held.rows(labels.length);
  const probabilities = documentProbabilities(heldRows, fitted);
  const labelOf = new Int32Array(held.documents);
  heldRows.documents.forEach((d, i) => {
    labelOf[d] = heldRows.labels[i];
  });
  const validationAuc: Record<string, number | null> = {};
  for (const [o, label] of (labels.length === 2 ? [labels[1]] : labels).entries()) {
    const wanted = labels.length === 2 ? 1 : o;
    const value = auc(
      probabilities.map((p) => p[o]),
      Array.from(labelOf, (l) => l === wanted),
    );
    validationAuc[label] = Number.isNaN(value) ? null : value;
  }
  const { weights, bias, ...figures } = fitted;
  const card: ScorerCard = {
    version: 1,
    name,
    labels,
    features,
    training: { documents, rows: rows.labels.length, C, seed, validation, validationDocuments: held.documents, validationAuc, ...figures },
  };
  await saveScorer(host.files, out, card, { weights, bias });
  return {
    out,
    name,
    labels,
    documents,
    rows: rows.labels.length,
    ...figures,
    validationAuc,
    validationDocuments: held.documents,
    seconds: (host.now() - began) / 1000,
    device: device.facts.name,
  };
}
