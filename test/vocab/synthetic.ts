/**
 * Made-up vocabularies and checkpoints for the tests of growing: a SentencePiece model in LLaMA's layout with a few hundred Chinese characters, words grown onto it, and
 * model folders of any shape in any float type, sharded as asked, from a seed. Nothing here is real, so all of it may be committed.
 */
import { Random } from '../../src/base/random.ts';
import { formatShardIndex } from '../../src/formats/hf-shards.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { MODEL, makeSentencePiece, PIECE, type SentencePiece, type SentencePieceModel, writeSentencePiece } from '../../src/formats/sentencepiece.ts';
import type { HostFiles } from '../../src/host/types.ts';
import { configToJson, type LlamaConfig } from '../../src/nn/config.ts';
import { listHfViews } from '../../src/nn/parameters.ts';

const utf8 = new TextEncoder();
const hex = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
/** The i-th of the characters that the base knows. */
const known = (i: number): string => String.fromCodePoint(0x4e00 + 7 * i);
/** Characters that it does not know and spells in bytes. */
const unknown = (i: number): string => String.fromCodePoint(0x4e01 + 7 * i);

/** A base vocabulary of at least 400 + `characters` pieces: marks, bytes, the space mark, letters, Chinese characters, and made-up words to fill it. */
export function baseModel(size: number, characters: number): SentencePieceModel {
  const pieces: SentencePiece[] = [
    { text: '<unk>', score: 0, type: PIECE.UNKNOWN },
    { text: '<s>', score: 0, type: PIECE.CONTROL },
    { text: '</s>', score: 0, type: PIECE.CONTROL },
  ];
  for (let byte = 0; byte < 256; byte++) pieces.push({ text: hex(byte), score: 0, type: PIECE.BYTE });
  const singles = ['\u2581', ...'abcdefghijklmnopqrstuvwxyz<>/_', ...Array.from({ length: characters }, (_, i) => known(i))];
  const words: string[] = [];
  for (let i = 0; words.length < size - pieces.length - singles.length; i++)
    words.push(
      `\u2581${i
        .toString(26)
        .padStart(4, '0')
        .replace(/\d/g, (d) => 'qrstuvwxyz'[Number(d)])}`,
    );
  // Merges of LLaMA rank by falling score, single characters come last.
  for (const text of [...words, ...singles]) pieces.push({ text, score: -(pieces.length - 259), type: PIECE.NORMAL });
  return makeSentencePiece(pieces, { modelType: MODEL.BPE, byteFallback: true, vocabSize: pieces.length });
}

/** The model with `count` words of two to four Chinese characters more, some of characters it does not know. */
export function grownModel(base: SentencePieceModel, count: number, characters: number, seed: number, more: readonly SentencePiece[] = []): SentencePieceModel {
  const random = new Random(seed);
  const words = new Set<string>();
  while (words.size < count - more.length) {
    const length = 2 + random.below(3);
    words.add(Array.from({ length }, () => (random.below(3) === 0 ? unknown : known)(random.below(characters))).join(''));
  }
  const lowest = Math.min(...base.pieces.map((p) => p.score));
  const fresh = [...words].map((text, i): SentencePiece => ({ text, score: lowest - 1 - i, type: PIECE.NORMAL }));
  const pieces = [...base.pieces, ...more, ...fresh];
  return makeSentencePiece(pieces, { modelType: MODEL.BPE, byteFallback: true, vocabSize: pieces.length });
}

/** Writes `tokenizer.model` into a folder. */
export async function writeTokenizer(files: HostFiles, dir: string, model: SentencePieceModel): Promise<void> {
  await files.makeDir(dir);
  await files.write(`${dir}/tokenizer.model`, writeSentencePiece(model));
}

/** Random numbers as bytes of a float type, from integers alone: about normal in exponent and sign, never infinite. */
export function* floatBytes(dtype: 'F16' | 'BF16' | 'F32', count: number, seed: number): Generator<Uint8Array<ArrayBuffer>> {
  let x = seed >>> 0;
  const next = (): number => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x;
  };
  for (let at = 0; at < count; at += 1 << 19) {
    const length = Math.min(1 << 19, count - at);
    if (dtype === 'F32') {
      const words = new Uint32Array(length);
      // Exponents -6 to 1.
      for (let i = 0; i < length; i++) words[i] = (next() & 0x807fffff) | ((121 + (next() >>> 29)) << 23);
      yield new Uint8Array(words.buffer);
    } else {
      const words = new Uint16Array(length);
      // Sign and mantissa from high bits; exponents -6 to 1.
      const [mantissa, shift, bias] = dtype === 'F16' ? [0x83ff, 10, 9] : [0x807f, 7, 121];
      for (let i = 0; i < length; i++) {
        const r = next();
        words[i] = ((r >>> 16) & mantissa) | ((bias + ((r >>> 13) & 7)) << shift);
      }
      yield new Uint8Array(words.buffer);
    }
  }
}

const SPELT = { F16: 'float16', BF16: 'bfloat16', F32: 'float32' } as const;

/** How a made-up model folder is written. */
export interface FolderOptions {
  readonly dtype: 'F16' | 'BF16' | 'F32';
  readonly seed: number;
  /** Which shard a tensor goes to, from 0; all to one `model.safetensors` without it. */
  readonly shardOf?: (tensor: string) => number;
  /** Other type for the head. */
  readonly headDtype?: 'F16' | 'BF16' | 'F32';
  /** Adds to config.json. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Writes a model folder of a config with random weights, streamed. */
export async function writeModelFolder(files: HostFiles, dir: string, config: LlamaConfig, options: FolderOptions): Promise<void> {
  await files.makeDir(dir);
  const views = listHfViews(config);
  const shardOf = options.shardOf ?? (() => 0);
  const shards = Math.max(...views.map((v) => shardOf(v.hf))) + 1;
  const number = (n: number): string => String(n).padStart(5, '0');
  const nameOf = (shard: number): string => (options.shardOf ? `model-${number(shard + 1)}-of-${number(shards)}.safetensors` : 'model.safetensors');
  const map = new Map<string, string>();
  let total = 0;
  for (let shard = 0; shard < shards; shard++) {
    const entries = views.flatMap((view, i) => {
      if (shardOf(view.hf) !== shard) return [];
      const dtype = view.hf === 'lm_head.weight' ? (options.headDtype ?? options.dtype) : options.dtype;
      const count = view.shape.reduce((a, b) => a * b, 1);
      map.set(view.hf, nameOf(shard));
      total += count * (dtype === 'F32' ? 4 : 2);
      return [{ name: view.hf, dtype, shape: view.shape, chunks: () => floatBytes(dtype, count, options.seed + i) }];
    });
    const writer = await files.create(`${dir}/${nameOf(shard)}`);
    await writeSafetensors(writer, entries, { format: 'pt' });
    await writer.close();
  }
  if (options.shardOf) await files.write(`${dir}/model.safetensors.index.json`, utf8.encode(formatShardIndex(map, total)));
  await files.write(`${dir}/config.json`, utf8.encode(JSON.stringify({ ...configToJson(config, SPELT[options.dtype]), ...options.config })));
}
