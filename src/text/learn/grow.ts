/**
 * A tokenizer on disk as a base to learn on, and the files of the tokenizer it grows into. Hides which of the two forms
 * (SentencePiece, byte-level `tokenizer.json`) it has.
 */

import { ScionError } from '../../base/errors.ts';
import type { HostFiles } from '../../host/types.ts';
import { JsonTokenizer } from '../bpe-json.ts';
import { BpeModel } from '../bpe-model.ts';
import { expandByteLevel, isByteLevel, type NewMerge } from '../expand/byte-level.ts';
import { checkWhole, loadBase } from '../expand/expand-folder.ts';
import { byteLevelFolder, tokenizerFolder, tokenizerJsonBytes, withAddedTokens } from '../expand/files.ts';
import { bareTokenizer, findUnreachable } from '../expand/reachable.ts';
import { expandSentencePiece } from '../expand/sentencepiece.ts';
import type { ExpandReport } from '../expand/types.ts';
import { asObject, type JsonObject } from '../json-read.ts';
import { SentencePieceTokenizer } from '../sentencepiece.ts';
import type { Tokenizer } from '../types.ts';
import { type LearnBase, SentencePieceBase } from './base.ts';
import { ByteLevelBase } from './base-byte-level.ts';
import type { LearntPiece } from './extend.ts';

/** A piece that was added. `piece` is null for a part of a character, which has no text. */
export interface GrownPiece {
  readonly piece: string | null;
  readonly id: number;
  readonly count: number;
}

/** A tokenizer with learnt pieces. */
export interface Grown {
  /** Made when asked for: large models take a quarter of a second. */
  tokenizer(): Tokenizer;
  readonly report: ExpandReport;
  readonly pieces: readonly GrownPiece[];
  /** How many of the new pieces their own text becomes. */
  readonly reachable: number;
  /** All files by name, with more for `report.json` and further files; `notes` says what does not carry over. */
  files(facts: JsonObject, extra: ReadonlyMap<string, Uint8Array>): { readonly files: ReadonlyMap<string, Uint8Array>; readonly notes: readonly string[] };
}

/** A base that can grow. */
export interface GrowBase {
  readonly learn: LearnBase;
  /** Rows, added tokens included; new ids start here. */
  readonly size: number;
  tokenizer(): Tokenizer;
  /** Adds the first of the learnt pieces that fill `size` rows and are all reached. Throws `input` if they do not suffice. */
  grow(learnt: readonly LearntPiece[], size: number, anyScript: boolean): Grown;
}

const strict = new TextDecoder('utf-8', { fatal: true });

/** Opens the tokenizer at `path`. Throws `input` for kinds that cannot be learnt on, `format` for damaged files. */
export async function openGrowBase(files: HostFiles, path: string): Promise<GrowBase> {
  const tokenizer = await loadBase(files, path);
  if (tokenizer instanceof SentencePieceTokenizer) {
    checkWhole(tokenizer.source.bytes, path);
    return sentencePieceBase(tokenizer);
  }
  const json = asObject(JSON.parse(strict.decode(tokenizer.source.bytes)), 'tokenizer.json');
  if (isByteLevel(json)) return byteLevelBase(tokenizer, json);
  throw new ScionError('input', `${path} holds a tokenizer.json that is not byte-level BPE, and no tokenizer.model; learning needs one of the two`, { path });
}

function sentencePieceBase(tokenizer: SentencePieceTokenizer): GrowBase {
  const base = withAddedTokens(tokenizer.model, tokenizer);
  const from = base.pieces.length;
  return {
    learn: new SentencePieceBase(base, base === tokenizer.model ? tokenizer : undefined),
    size: from,
    tokenizer: () => bareTokenizer(base),
    grow(learnt, size, anyScript) {
      const { model, report } = expandSentencePiece(base, learnt, { size, intermediates: 'drop', anyScript });
      const counts = new Map(learnt.map(({ text, count }) => [text, count]));
      return {
        tokenizer: () => bareTokenizer(model),
        report,
        pieces: model.pieces.slice(from).map(({ text }, i) => ({ piece: text, id: from + i, count: counts.get(text) ?? 0 })),
        reachable: report.added - findUnreachable(model, from).size,
        files: (facts, extra) => tokenizerFolder({ base: tokenizer, model, specials: [], report: { ...facts, ...report }, extra }),
      };
    },
  };
}

function byteLevelBase(tokenizer: Tokenizer, json: JsonObject): GrowBase {
  const learn = new ByteLevelBase(json);
  return {
    learn,
    size: tokenizer.vocabSize,
    tokenizer: () => tokenizer,
    grow(learnt, size, anyScript) {
      const merges = learnt.flatMap(({ parts }): NewMerge[] => (parts === undefined ? [] : [parts]));
      const grown = expandByteLevel(json, merges, { size, anyScript });
      const spec = asObject(grown.json.model, 'model');
      const model = new BpeModel({ ...spec, ignore_merges: false });
      let reachable = 0;
      const pieces: GrownPiece[] = [];
      for (const { text, count } of learnt) {
        const id = model.vocab.get(text);
        if (id === undefined || id < tokenizer.vocabSize) continue;
        const ids: number[] = [];
        model.encode(text, ids);
        if (ids.length === 1 && ids[0] === id) reachable++;
        const plain = learn.plain(text);
        pieces.push({ piece: plain.includes('\ufffd') ? null : plain, id, count });
      }
      const bytes = tokenizerJsonBytes(grown.json);
      return {
        tokenizer: () => new JsonTokenizer(grown.json, { source: { name: 'tokenizer.json', bytes } }),
        report: grown.report,
        pieces,
        reachable,
        files: (facts, extra) => ({
          files: byteLevelFolder({ base: tokenizer, json: grown.json, bytes, specials: [], report: { ...facts, ...grown.report }, extra }),
          notes: grown.report.notes,
        }),
      };
    },
  };
}
