/**
 * A byte n-gram model in a form that can be kept in a file and looked up fast: the numbers of `ByteNgram`
 * (interpolated modified Kneser-Ney) in open-addressing tables. Perplexity under such a model of good text is the classic
 * filter of web data (Wenzek et al. 2020, "CCNet"). Memory goes with the text it was trained on: megabytes, not gigabytes.
 */

import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { readDocuments } from '../../data/documents.ts';
import { ByteNgram } from '../../data/ngram.ts';
import { openSafetensors } from '../../formats/safetensors.ts';
import { tensorEntry, writeSafetensors } from '../../formats/safetensors-write.ts';
import type { Host, HostFiles } from '../../host/types.ts';
import { fillWhole } from '../../host/whole-file.ts';

export const NGRAM_TENSORS = 'ngram.safetensors';

const RADIX = 259;
const START = 257;
const PREDICTABLE = 257;

/** Keys (integers below 2^53) to numbers, by open addressing at most half full. */
class KeyTable {
  readonly #mask: number;
  readonly #keys: Float64Array;
  readonly #values: Float32Array;

  constructor(keys: Float64Array, values: Float32Array) {
    let size = 4;
    while (size < 2 * keys.length) size *= 2;
    this.#mask = size - 1;
    this.#keys = new Float64Array(size).fill(-1);
    this.#values = new Float32Array(size);
    for (let i = 0; i < keys.length; i++) {
      let at = slotOf(keys[i]) & this.#mask;
      while (this.#keys[at] !== -1) at = (at + 1) & this.#mask;
      this.#keys[at] = keys[i];
      this.#values[at] = values[i];
    }
  }

  /** NaN where the key is not there. */
  get(key: number): number {
    const keys = this.#keys;
    const mask = this.#mask;
    let at = slotOf(key) & mask;
    for (;;) {
      const found = keys[at];
      if (found === key) return this.#values[at];
      if (found === -1) return Number.NaN;
      at = (at + 1) & mask;
    }
  }
}

function slotOf(key: number): number {
  const high = Math.floor(key / 0x100000000);
  let h = Math.imul(key | 0, 0x85ebca6b) ^ Math.imul(high, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

interface Order {
  readonly shares: KeyTable;
  readonly rests: KeyTable;
}

export class NgramModel {
  readonly order: number;
  readonly #orders: readonly Order[];
  readonly #encoder = new TextEncoder();
  #bytes = new Uint8Array(4096);

  constructor(levels: readonly { shares: [Float64Array, Float32Array]; rests: [Float64Array, Float32Array] }[]) {
    this.order = levels.length;
    this.#orders = levels.map(({ shares, rests }) => ({ shares: new KeyTable(...shares), rests: new KeyTable(...rests) }));
  }

  /** Reads what `trainNgram` wrote. @throws ScionError `input` or `format` naming the file. */
  static async load(files: HostFiles, folder: string): Promise<NgramModel> {
    const name = joinPath(folder, NGRAM_TENSORS);
    if ((await files.stat(name)) === null)
      throw new ScionError('input', `${folder} holds no ${NGRAM_TENSORS}; train an n-gram model, or name its folder`, { folder });
    const reader = await files.open(name);
    try {
      const file = await openSafetensors(reader, name);
      const levels = [];
      for (let k = 1; file.tensors.has(`keys${k}`); k++) {
        const pair = async (kind: string, values: string): Promise<[Float64Array, Float32Array]> => [
          new Float64Array((await file.read(`${kind}${k}`)).buffer),
          await file.readF32(`${values}${k}`),
        ];
        levels.push({ shares: await pair('keys', 'shares'), rests: await pair('contexts', 'rests') });
      }
      if (levels.length === 0) throw new ScionError('format', `${name} holds no n-grams; was it written by scion?`, { name });
      return new NgramModel(levels);
    } finally {
      await reader.close();
    }
  }

  /** Bits of the first `maxBytes` UTF-8 bytes of a text, and how many bytes that were. Its end is not predicted. */
  bits(text: string, maxBytes = Number.POSITIVE_INFINITY): { bits: number; bytes: number } {
    // A UTF-16 unit gives at most three bytes, so a prefix of `maxBytes` units always suffices.
    const head = text.length > maxBytes ? text.slice(0, maxBytes) : text;
    if (this.#bytes.length < head.length * 3) this.#bytes = new Uint8Array(head.length * 3);
    const bytes = Math.min(maxBytes, this.#encoder.encodeInto(head, this.#bytes).written);
    let bits = 0;
    for (let i = 0; i < bytes; i++) bits -= Math.log2(this.#probability(i));
    return { bits, bytes };
  }

  /** Perplexity a byte: 2 to the bits a byte. NaN for an empty text. */
  perplexity(text: string, maxBytes?: number): number {
    const { bits, bytes } = this.bits(text, maxBytes);
    return 2 ** (bits / bytes);
  }

  /** Of byte i after those before it, from the shortest context up. */
  #probability(i: number): number {
    const bytes = this.#bytes;
    let p = 1 / PREDICTABLE;
    let context = 0;
    let scale = 1;
    // The text begins with START, one place before the first byte.
    const longest = Math.min(this.order, i + 2);
    for (let k = 1; k <= longest; k++) {
      if (k > 1) {
        const at = i + 1 - k;
        context += ((at < 0 ? START : bytes[at]) + 1) * scale;
        scale *= RADIX;
      }
      const { shares, rests } = this.#orders[k - 1];
      const rest = rests.get(context);
      if (Number.isNaN(rest)) break;
      const share = shares.get(context * RADIX + bytes[i] + 1);
      p = (Number.isNaN(share) ? 0 : share) + rest * p;
    }
    return p;
  }
}

export interface TrainNgramOptions {
  /** Files, folders or globs of the texts that others are to be like. */
  readonly data: readonly string[];
  readonly out: string;
  /** Longest n-gram in bytes, 1 to 6. Default 5. */
  readonly order?: number;
}

/** Counts, and writes `ngram.safetensors` into `out`. */
export async function trainNgram(host: Host, options: TrainNgramOptions): Promise<{ out: string; documents: number; bytes: number; ngrams: number }> {
  const { documents, bytes } = await readDocuments(host.files, options.data);
  const model = ByteNgram.train(
    documents.map((d) => d.text),
    options.order ?? 5,
  );
  const entries = model
    .tables()
    .flatMap(({ shares, rests }, i) => [
      tensorEntry(`keys${i + 1}`, 'F64', [shares[0].length], new Uint8Array(shares[0].buffer)),
      tensorEntry(`shares${i + 1}`, 'F32', [shares[1].length], new Uint8Array(shares[1].buffer)),
      tensorEntry(`contexts${i + 1}`, 'F64', [rests[0].length], new Uint8Array(rests[0].buffer)),
      tensorEntry(`rests${i + 1}`, 'F32', [rests[1].length], new Uint8Array(rests[1].buffer)),
    ]);
  await host.files.makeDir(options.out);
  await fillWhole(host.files, joinPath(options.out, NGRAM_TENSORS), (writer) => writeSafetensors(writer, entries));
  return { out: options.out, documents: documents.length, bytes, ngrams: model.size };
}
