/**
 * A trained classifier at rest and at work: a folder with `scorer.json` (what it is and how it was made) and
 * `scorer.safetensors` (its numbers), and plain loops over typed arrays that need no device, so that any worker
 * can score. A document's probability is the mean over its passages.
 */

import { z } from 'zod';
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { decodeUtf8 } from '../../formats/bytes.ts';
import { openSafetensors } from '../../formats/safetensors.ts';
import { tensorEntry, writeSafetensors } from '../../formats/safetensors-write.ts';
import type { HostFiles } from '../../host/types.ts';
import { fillWhole, writeWhole } from '../../host/whole-file.ts';
import { FeatureExtractor, featureCount, featureSchema } from './features.ts';
import { type LinearWeights, rowLogits } from './fit.ts';
import type { UnitScanner } from './units.ts';

export const SCORER_JSON = 'scorer.json';
export const SCORER_TENSORS = 'scorer.safetensors';

const scorerSchema = z.looseObject({
  version: z.literal(1),
  /** The score's name in the record. */
  name: z.string().min(1),
  /** Labels by class; of two the second is what is scored (`positive`). */
  labels: z.array(z.string().min(1)).min(2).max(1024),
  features: featureSchema,
  /** How it was made: counts, figures of the fit and of the validation. For people. */
  training: z.record(z.string(), z.unknown()),
});
export type ScorerCard = z.output<typeof scorerSchema>;

/** Writes both files; numbers first, so that a folder with a card is whole. */
export async function saveScorer(files: HostFiles, folder: string, card: ScorerCard, model: LinearWeights): Promise<void> {
  await files.makeDir(folder);
  const outputs = model.bias.length;
  await fillWhole(files, joinPath(folder, SCORER_TENSORS), (writer) =>
    writeSafetensors(writer, [
      tensorEntry('weights', 'F32', [model.weights.length / outputs, outputs], bytesOf(model.weights)),
      tensorEntry('bias', 'F32', [outputs], bytesOf(model.bias)),
    ]),
  );
  await writeWhole(files, joinPath(folder, SCORER_JSON), new TextEncoder().encode(`${JSON.stringify(card, null, 2)}\n`));
}

const bytesOf = (a: Float32Array): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);

/** Scores texts on the CPU. Keeps scratch memory, so one a worker. */
export class LinearScorer {
  readonly card: ScorerCard;
  readonly #model: LinearWeights;
  readonly #extractor: FeatureExtractor;
  readonly #logits: Float64Array;

  constructor(card: ScorerCard, model: LinearWeights) {
    this.card = card;
    this.#model = model;
    this.#extractor = new FeatureExtractor(card.features);
    this.#logits = new Float64Array(model.bias.length);
  }

  /** Reads a folder that `trainScorer` wrote. @throws ScionError `input` or `format` naming the file. */
  static async load(files: HostFiles, folder: string): Promise<LinearScorer> {
    const path = joinPath(folder, SCORER_JSON);
    if ((await files.stat(path)) === null)
      throw new ScionError('input', `${folder} holds no ${SCORER_JSON}, so it is no trained classifier; train one, or name another folder`, { folder });
    let json: unknown;
    try {
      json = JSON.parse(decodeUtf8(await files.read(path), path));
    } catch (error) {
      throw new ScionError('format', `${path} is not JSON: ${String(error)}`, { path }, error);
    }
    const parsed = scorerSchema.safeParse(json);
    if (!parsed.success) throw new ScionError('format', `${path}: ${z.prettifyError(parsed.error)}`, { path });
    const card = parsed.data;
    const outputs = card.labels.length === 2 ? 1 : card.labels.length;
    const name = joinPath(folder, SCORER_TENSORS);
    const reader = await files.open(name);
    try {
      const file = await openSafetensors(reader, name);
      const weights = await file.readF32('weights');
      const bias = await file.readF32('bias');
      if (weights.length !== featureCount(card.features) * outputs || bias.length !== outputs)
        throw new ScionError('format', `${name} holds ${weights.length} weights where ${path} tells of ${featureCount(card.features) * outputs}`, { name });
      return new LinearScorer(card, { weights, bias });
    } finally {
      await reader.close();
    }
  }

  /** Probability of each class; of two classes, of the second alone. The scanner holds `text`. */
  score(text: string, scanner: UnitScanner): Float64Array {
    const O = this.#logits.length;
    const sum = new Float64Array(O);
    this.#extractor.each(text, scanner, (_, passages) => {
      rowLogits(this.#extractor.ids, this.#extractor.values, 0, this.#extractor.count, this.#model, this.#logits);
      toProbabilities(this.#logits);
      for (let o = 0; o < O; o++) sum[o] += this.#logits[o] / passages;
    });
    return sum;
  }
}

/** Logits to probabilities in place: a sigmoid of one, a softmax of several. */
export function toProbabilities(logits: Float64Array): void {
  if (logits.length === 1) {
    logits[0] = 1 / (1 + Math.exp(-logits[0]));
    return;
  }
  let max = Number.NEGATIVE_INFINITY;
  for (const z of logits) max = Math.max(max, z);
  let sum = 0;
  for (let o = 0; o < logits.length; o++) {
    logits[o] = Math.exp(logits[o] - max);
    sum += logits[o];
  }
  for (let o = 0; o < logits.length; o++) logits[o] /= sum;
}
