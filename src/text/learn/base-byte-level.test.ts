/**
 * Learning on a byte-level base against recounting everything with the encoder itself: at each step all words are encoded
 * with the merges so far (the encoder is held to `tokenizers` elsewhere), all pairs counted, the best taken.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonTokenizer } from '../bpe-json.ts';
import { BpeModel } from '../bpe-model.ts';
import { expandByteLevel, type NewMerge } from '../expand/byte-level.ts';
import { asObject, type JsonObject } from '../json-read.ts';
import { ByteLevelBase } from './base-byte-level.ts';
import { BaseWords } from './base-words.ts';
import { WEIGHT_UNIT, WordCounts } from './counts.ts';
import { learnOnBase } from './extend.ts';
import { ScriptFilter } from './scripts.ts';

const load = (name: string): JsonObject =>
  asObject(JSON.parse(readFileSync(join(import.meta.dirname, `../../../test/golden/text/hf-${name}.tokenizer.json`), 'utf8')), name);

/** Learns by encoding and counting all words at every step. */
function reference(json: JsonObject, base: ByteLevelBase, words: ReadonlyMap<string, number>, count: number, targets: ScriptFilter): string[] {
  const spec = asObject(json.model, 'model');
  const vocab = { ...asObject(spec.vocab, 'vocab') } as Record<string, number>;
  const merges = [...(spec.merges as unknown[])];
  const joined = typeof merges[0] === 'string';
  const learnt: string[] = [];
  while (learnt.length < count) {
    const model = new BpeModel({ ...spec, ignore_merges: false, vocab, merges });
    const names = new Map([...model.vocab].map(([text, id]) => [id, text]));
    const pairs = new Map<string, { left: string; right: string; count: number }>();
    for (const [counted, times] of words) {
      for (const word of base.words(counted)) {
        const ids: number[] = [];
        model.encode(word, ids);
        for (let i = 0; i + 1 < ids.length; i++) {
          const [left, right] = [names.get(ids[i]) ?? '', names.get(ids[i + 1]) ?? ''];
          // The file's added tokens hold 小船: what they mean is not learnt again.
          if (
            Object.hasOwn(vocab, left + right) ||
            base.reserved.has(left + right) ||
            !base.accepts(left + right, targets) ||
            base.characters(left + right) > 4
          )
            continue;
          const pair = pairs.get(`${left} ${right}`) ?? { left, right, count: 0 };
          pair.count += times;
          pairs.set(`${left} ${right}`, pair);
        }
      }
    }
    const [best] = [...pairs.values()].sort(
      (a, b) => b.count - a.count || (a.left + a.right < b.left + b.right ? -1 : a.left + a.right > b.left + b.right ? 1 : a.left.length - b.left.length),
    );
    if (best === undefined || best.count < 2) break;
    vocab[best.left + best.right] = 100_000 + learnt.length;
    merges.push(joined ? `${best.left} ${best.right}` : [best.left, best.right]);
    learnt.push(`${best.left} ${best.right}`);
  }
  return learnt;
}

const text = fc
  .array(fc.constantFrom('好吃', '吃', '吃吃', '小船', '𠮷野', '中文', ' ', 'a', 'the', '，', '一二三', '\n', '한국', '1', '\ud800', '\u0000', 'e\u0301'), {
    maxLength: 20,
  })
  .map((parts) => parts.join(''));

describe.each(['llama3', 'qwen2', 'gpt2'])('%s', (name) => {
  const json = load(name);
  const base = new ByteLevelBase(json);
  const before = new JsonTokenizer(json, { source: { name: 'tokenizer.json', bytes: new Uint8Array() } });

  it('chooses what recounting chooses; all of it is reached, old text keeps its ids', () => {
    const targets = new ScriptFilter(['Han']);
    fc.assert(
      fc.property(fc.array(text, { maxLength: 8 }), (texts) => {
        const counts = new WordCounts(base.cutter);
        for (const one of texts) counts.add(one, '');
        const words = counts.categories.get('')?.words ?? new Map<string, number>();
        const weighed = new Map([...words].map(([word, times]) => [word, times * WEIGHT_UNIT]));
        const { pieces } = learnOnBase(new BaseWords(base, weighed), { count: 12, targets, maxPieceLength: 4 });
        expect(pieces.map(({ parts }) => parts?.join(' '))).toEqual(reference(json, base, words, 12, targets));

        const merges = pieces.flatMap(({ parts }): NewMerge[] => (parts === undefined ? [] : [parts]));
        const { json: grown, report } = expandByteLevel(json, merges);
        expect(report.added).toBe(pieces.length);
        const after = new JsonTokenizer(grown, { source: { name: 'tokenizer.json', bytes: new Uint8Array() } });
        for (const one of texts) {
          const ids = after.encode(one);
          expect(after.decode(ids)).toBe(before.decode(before.encode(one)));
          expect(ids.length).toBeLessThanOrEqual(before.encode(one).length);
          if (!targets.hasAny(one)) expect(ids).toEqual(before.encode(one));
        }
      }),
      { numRuns: 60 },
    );
  });
});
