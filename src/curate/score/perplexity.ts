/**
 * Perplexity of documents under a scion model, as score `perplexity`. It needs a device and so runs in the main
 * thread, many documents at once; the other scores are made in workers. Same reading as `scion score`: a begin mark that is not
 * scored, windows that overlap by half.
 */

import { ScionError } from '../../base/errors.ts';
import { importHf } from '../../checkpoint/hf.ts';
import { type Doc, docText } from '../../data/doc.ts';
import { readDocShard } from '../../data/doc-shard.ts';
import { JsonlWriter } from '../../formats/jsonl.ts';
import { GpuDevice } from '../../gpu/device.ts';
import type { Host, HostFiles } from '../../host/types.ts';
import { fillWhole } from '../../host/whole-file.ts';
import { Generator } from '../../infer/generator.ts';
import { scoreDocuments } from '../../infer/score.ts';
import { loadTokenizer, type Tokenizer } from '../../text/tokenizer.ts';

export interface PerplexityOptions {
  /** A Hugging Face folder. */
  readonly model: string;
  /** Folder or file; by default that of the model. */
  readonly tokenizer?: string;
  readonly precision?: 'f32' | 'mixed';
  /** Tokens seen at once; by default the model's context, at most 512. */
  readonly window?: number;
  /** Only the first so many tokens of a document. Default 2,048. */
  readonly maxTokens?: number;
  readonly adapter?: string;
}

const BATCH_TOKENS = 1024;
const LONGEST_WINDOW = 512;
/** Device runs of one group of documents. */
const RUNS = 8;

/** An open model that scores; `close` it. */
export class PerplexityScorer {
  readonly #device: GpuDevice;
  readonly #generator: Generator;
  readonly #tokenizer: Tokenizer;
  readonly #maxTokens: number;
  readonly #groupTokens: number;

  private constructor(device: GpuDevice, generator: Generator, tokenizer: Tokenizer, maxTokens: number, groupTokens: number) {
    this.#device = device;
    this.#generator = generator;
    this.#tokenizer = tokenizer;
    this.#maxTokens = maxTokens;
    this.#groupTokens = groupTokens;
  }

  /** @throws ScionError `input` for a folder that is no model or tokenizers that do not fit, `device` where there is none. */
  static async open(files: HostFiles, options: PerplexityOptions): Promise<PerplexityScorer> {
    const { model, precision = 'f32', maxTokens = 2048 } = options;
    if (!(Number.isInteger(maxTokens) && maxTokens >= 2)) throw new ScionError('usage', `maxTokens must be an integer of 2 or more, got ${maxTokens}`);
    const tokenizer = await loadTokenizer(files, options.tokenizer ?? model);
    const source = await importHf(files, model);
    let device: GpuDevice | null = null;
    try {
      const { config } = source;
      if (tokenizer.vocabSize > config.vocabSize)
        throw new ScionError('input', `the tokenizer has ${tokenizer.vocabSize} pieces, the model ${config.vocabSize} rows; they do not belong together`, {
          model,
        });
      const T = options.window ?? Math.min(config.maxPositions, LONGEST_WINDOW);
      const B = Math.max(1, Math.floor(BATCH_TOKENS / T));
      device = await GpuDevice.open({ adapter: options.adapter });
      const generator = await Generator.open(device, config, (name) => source.read(name), { precision, capacity: 0, score: { batch: B, tokens: T } });
      return new PerplexityScorer(device, generator, tokenizer, maxTokens, RUNS * B * T);
    } catch (error) {
      device?.destroy();
      throw error;
    } finally {
      await source.close();
    }
  }

  /** Perplexity of each text; null where it has no token to score. */
  async perplexities(texts: readonly string[]): Promise<(number | null)[]> {
    const out: (number | null)[] = [];
    let group: number[][] = [];
    let held = 0;
    const bosId = this.#tokenizer.bosId ?? this.#generator.config.bosId;
    const flush = async (): Promise<void> => {
      if (group.length === 0) return;
      const scores = await scoreDocuments(this.#generator, group, { bosId, maxTokens: this.#maxTokens });
      for (const { nll, tokens } of scores) out.push(tokens === 0 ? null : Math.exp(nll / tokens));
      group = [];
      held = 0;
    };
    for (const text of texts) {
      // Tokens are at least one byte, so a longer prefix than this cannot be needed… unless a piece is long: 16 characters each.
      const ids = this.#tokenizer.encode(text.slice(0, this.#maxTokens * 16)).slice(0, this.#maxTokens);
      group.push(ids);
      held += ids.length;
      if (held >= this.#groupTokens) await flush();
    }
    await flush();
    return out;
  }

  /** Sets `scores.perplexity` of documents in place. */
  async score(docs: readonly Doc[]): Promise<void> {
    const found = await this.perplexities(docs.map(docText));
    docs.forEach((doc, i) => {
      const value = found[i];
      if (value !== null) doc.scores = { ...doc.scores, perplexity: Number(value.toPrecision(6)) };
    });
  }

  close(): void {
    this.#generator.destroy();
    this.#device.destroy();
  }
}

/** Scores a shard: reads `from`, writes `to` aside and renames it. Gives the number of documents. */
export async function scoreShardPerplexity(host: Host, from: string, to: string, scorer: PerplexityScorer): Promise<number> {
  const docs: Doc[] = [];
  for await (const doc of readDocShard(host.files, from)) docs.push(doc);
  await scorer.score(docs);
  await fillWhole(host.files, to, async (writer) => {
    const lines = new JsonlWriter(writer);
    for (const doc of docs) await lines.write(doc);
    await lines.flush();
  });
  return docs.length;
}
