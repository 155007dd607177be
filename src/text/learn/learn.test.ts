/**
 * The parts around the engine: words, scripts, weights, coverage, limits, protection.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SPACE_MARK } from '../normalizer.ts';
import { SentencePieceBase } from './base.ts';
import { BaseWords } from './base-words.ts';
import { categoryWeights, WEIGHT_UNIT, WordCounts, weighWords } from './counts.ts';
import { PLAIN_CUTTER } from './cutter.ts';
import { type ExtendOptions, learnOnBase } from './extend.ts';
import { Protection } from './protect.ts';
import { learnBpe } from './scratch.ts';
import { chooseTargets, ScriptFilter, scriptOf } from './scripts.ts';
import { cutWords } from './words.ts';

const words = (text: string): string[] => {
  const out: string[] = [];
  cutWords(text, (start, end) => out.push(text.slice(start, end)));
  return out;
};

describe('cutWords', () => {
  it.each([
    ['▁Hello▁world', ['▁Hello', '▁world']],
    ['▁我们的README文件', ['▁', '我们的', 'README', '文件']],
    ['▁12▁3.5', ['▁', '1', '2', '▁', '3', '.', '5']],
    ['ПриветworldΩ', ['Привет', 'world', 'Ω']],
    ['e\u0301te\u0301', ['e\u0301te\u0301']],
    ['\u0301a\u0301я', ['\u0301a\u0301', 'я']],
    ['ひらがなカタカナ漢字', ['ひらがな', 'カタカナ', '漢字']],
    ['カーテン', ['カーテン']],
    ['好。”——，a', ['好', '。”——，', 'a']],
    ['▁\n▁▁a', ['▁', '\n', '▁', '▁a']],
    ['𠮷野家😀😀', ['𠮷野家', '😀😀']],
    ['a\ud800b\u0000c', ['a', '\ud800', 'b', '\u0000', 'c']],
  ])('%j', (text, wanted) => {
    expect(words(text)).toEqual(wanted);
  });

  it('loses nothing, and no word crosses white space, a digit or a script', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (raw) => {
        const text = raw.replaceAll(' ', SPACE_MARK);
        expect(words(text).join('')).toBe(text);
        for (const word of words(text)) {
          if ([...word].length > 1) expect(word.slice(1)).not.toMatch(/[\s\p{N}▁]/u);
          const scripts = new Set([...word].map((char) => scriptOf(char.codePointAt(0) as number)).filter((script) => script !== null));
          expect(scripts.size).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('scripts', () => {
  it('takes what is frequent and badly served, never Latin', () => {
    const use = (characters: number, perCharacter: number) => ({ characters, tokens: characters * perCharacter });
    const found = chooseTargets(
      new Map([
        ['Han', use(500, 1.6)],
        ['Latin', use(490, 2)],
        ['Cyrillic', use(100, 0.5)],
        ['Greek', use(3, 1)],
      ]),
    );
    expect(found).toEqual(['Han']);
    expect(() => new ScriptFilter(['Hann'])).toThrow(/"Hann" is no script/);
  });

  it('counts East Asian signs to East Asian scripts, and nothing that all texts use', () => {
    const han = new ScriptFilter(['Han']);
    expect(['。', '，', '「', '々', '〇', '𠮷'].map((text) => han.hasAny(text))).toEqual(Array.from({ length: 6 }, () => true));
    expect(['a', '1', '.', '—', '”', '…', 'é', '😀', '▁', '\u0301', '한'].map((text) => han.hasAny(text))).toEqual(Array.from({ length: 11 }, () => false));
    expect(new ScriptFilter(['Thai']).hasAny('。')).toBe(false);
  });
});

describe('weights', () => {
  const counts = (): WordCounts => {
    const all = new WordCounts(PLAIN_CUTTER);
    all.add('好'.repeat(900), 'large');
    all.add('吃'.repeat(100), 'small');
    return all;
  };

  it('leave counts as they are at 1, and make categories alike at 0', () => {
    expect([...categoryWeights(counts(), { temperature: 1 }).values()]).toEqual([WEIGHT_UNIT, WEIGHT_UNIT]);
    // Half of 1,000 each: 500/900 and 500/100.
    expect([...categoryWeights(counts(), { temperature: 0 }).values()]).toEqual([Math.round((WEIGHT_UNIT * 5) / 9), WEIGHT_UNIT * 5]);
    expect([...categoryWeights(counts(), { temperature: 0, factors: new Map([['small', 4]]) }).values()]).toEqual([
      Math.round((WEIGHT_UNIT * 200) / 900),
      WEIGHT_UNIT * 8,
    ]);
    expect(() => categoryWeights(counts(), { factors: new Map([['none', 2]]) })).toThrow(/no category "none"; they have large, small/);
  });

  it('decide what is learnt first', () => {
    const base = new SentencePieceBase(learnBpe(['好 吃 船 小'], { size: 264 }));
    const learn = (temperature: number): string | undefined => {
      const all = new WordCounts(base.cutter);
      for (let i = 0; i < 90; i++) all.add('好吃', 'large');
      for (let i = 0; i < 20; i++) all.add('小船', 'small');
      const weighed = weighWords(all, categoryWeights(all, { temperature, factors: new Map([['small', 1.5]]) }));
      return learnOnBase(new BaseWords(base, weighed), { count: 1, targets: new ScriptFilter(['Han']) }).pieces[0]?.text;
    };
    expect(learn(1)).toBe('好吃');
    expect(learn(0)).toBe('小船');
  });
});

describe('limits', () => {
  const base = new SentencePieceBase(learnBpe(['好 吃 船'], { size: 263 }));
  const learn = (counts: Readonly<Record<string, number>>, options: Partial<ExtendOptions>): string[] => {
    const weighed = new Map(Object.entries(counts).map(([word, count]) => [word, count * WEIGHT_UNIT]));
    return learnOnBase(new BaseWords(base, weighed), { count: 100, targets: new ScriptFilter(['Han']), ...options }).pieces.map(({ text }) => text);
  };

  it('least count, greatest length, coverage, bans', () => {
    const corpus = { 好吃船: 10, 好吃: 5, 罕: 1, 少: 3, '▁the': 50 };
    expect(learn(corpus, {})).toEqual(['好吃', '好吃船', '少']);
    expect(learn(corpus, { minCount: 1 })).toEqual(['好吃', '好吃船', '少', '罕']);
    expect(learn(corpus, { minCount: 11 })).toEqual(['好吃']);
    expect(learn(corpus, { maxPieceLength: 2 })).toEqual(['好吃', '少']);
    expect(learn(corpus, { count: 1 })).toEqual(['好吃']);
    // 44 characters in words of Han; 40 are known, 43 with 少.
    expect(learn(corpus, { minCount: 1, coverage: 43 / 44 })).toEqual(['好吃', '好吃船', '少']);
    expect(learn(corpus, { minCount: 1, coverage: 40 / 44 })).toEqual(['好吃', '好吃船']);
    expect(learn(corpus, { banned: new Set(['好吃', '少']) })).toEqual(['吃船', '好吃船']);
    expect(() => learn(corpus, { minCount: 0 })).toThrow(/must occur 0 times/);
  });

  it('protected text bans the pairs and the missing characters in it, and nothing else', () => {
    const protection = new Protection(base, new ScriptFilter(['Han']));
    protection.add('好吃');
    protection.add('少');
    protection.add('the boat');
    expect([...protection.banned].sort()).toEqual(['▁好', '好吃', '少'].sort());
    expect(protection.texts).toBe(3);
  });
});
