/**
 * The counts of the walk and the repetition measures against slow, direct computations with strings and maps, on texts
 * whose words are plain, and against counts by hand on texts whose words are not.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { Repetition } from './repetition.ts';
import { Scan, WordSet } from './scan.ts';

const NONE = new WordSet([]);
const scanned = (text: string, stops = NONE): Scan => {
  const scan = new Scan();
  scan.scan(text, stops);
  return scan;
};

/** The tokens as texts: the walk keeps only their lengths, in the order of all that is no space. */
function tokensOf(text: string): string[] {
  const scan = scanned(text);
  const rest = [...text.replace(/\s/gu, '')];
  return Array.from({ length: scan.kept }, (_, i) => rest.slice(scan.ends[i], scan.ends[i + 1]).join(''));
}

describe('words', () => {
  it.each([
    ["I don't know, it's Ann's.", ['I', 'do', "n't", 'know', ',', 'it', "'s", 'Ann', "'s", '.']],
    ['A well-known COVID-19 case... really?', ['A', 'well', '-', 'known', 'COVID-19', 'case', '...', 'really', '?']],
    ['Mr. Smith of the U.S. paid $1,000.50.', ['Mr.', 'Smith', 'of', 'the', 'U.S.', 'paid', '$', '1,000.50', '.']],
    ['See https://a.example/b-c?d=1, or mail x@y.example.', ['See', 'https://a.example/b-c?d=1', ',', 'or', 'mail', 'x@y.example', '.']],
    ['中文 and 英文。', ['中', '文', 'and', '英', '文', '。']],
    ['snake_case naïve cafe\u0301', ['snake_case', 'naïve', 'cafe\u0301']],
    ['\u{20000}𝒳𝒴😀!', ['\u{20000}', '𝒳𝒴', '😀', '!']],
    ['', []],
    ['\ud800\udc00\ud800 a\udfff', ['\ud800\udc00', '\ud800', 'a', '\udfff']],
    ['a\u0000b', ['a', '\u0000', 'b']],
  ])('%j', (text, words) => {
    expect(tokensOf(text)).toEqual(words);
  });

  it('counts characters as code points and by class', () => {
    const scan = scanned('Ab 1!\n中😀\u{20000}+');
    expect(scan.characters).toBe(10);
    const [space, newline, digit, punctuation, symbol, latin, han] = [1, 2, 3, 4, 5, 16, 17].map((k) => scan.classes[k]);
    expect({ space, newline, digit, punctuation, symbol, latin, han }).toEqual({ space: 1, newline: 1, digit: 1, punctuation: 1, symbol: 2, latin: 2, han: 2 });
  });
});

describe('counts by hand', () => {
  it('lines, bullets, ellipses, hash marks', () => {
    const scan = scanned('- one\n\n• two ...\n# three #4\nfour…\nfive. Six');
    expect(scan.lines.count).toBe(5);
    expect(scan.paragraphs.count).toBe(2);
    expect(scan.bulletLines).toBe(2);
    expect(scan.ellipsisLines).toBe(2);
    expect(scan.stoppedLines).toBe(2);
    expect(scan.hashes).toBe(2);
    expect(scan.ellipses).toBe(2);
  });

  it.each([
    ['One. Two! Three?', 3],
    ['Dr. No met Mr. Yes at 3.14 p.m. today. They left.', 2],
    ['He said "Stop." Then he went.', 2],
    ['No stop at all', 1],
    ['two lines\nwithout stops', 2],
    ['他来了。她走了！真的吗？', 3],
    ['Wait... what?', 1],
    ['...', 0],
    ['', 0],
  ])('sentences of %j', (text, count) => {
    expect(scanned(text).sentences).toBe(count);
  });

  it('stop words are counted once each, in the case they have', () => {
    const stops = new WordSet(['the', 'of', 'with', '的']);
    expect(scanned('The the the of', stops).stopWords).toBe(2);
    expect(scanned('我的书的', stops).stopWords).toBe(1);
    expect(scanned('nothing here', stops).stopWords).toBe(0);
  });
});

/** Gopher's definitions with strings and maps. */
const direct = {
  top(words: readonly string[], n: number, gap: string, characters: number): number {
    const counts = new Map<string, number>();
    for (let i = 0; i + n <= words.length; i++) {
      const gram = words.slice(i, i + n).join(gap);
      counts.set(gram, (counts.get(gram) ?? 0) + 1);
    }
    let best = '';
    for (const [gram, count] of counts) if (count > (counts.get(best) ?? 1)) best = gram;
    return ([...best].length * (counts.get(best) ?? 0)) / characters;
  },
  duplicates(words: readonly string[], n: number, characters: number): number {
    const seen = new Set<string>();
    let repeated = 0;
    for (let i = 0; i + n <= words.length; ) {
      const gram = words.slice(i, i + n).join('\u0001');
      if (seen.has(gram)) {
        repeated += words.slice(i, i + n).join('').length;
        i += n;
      } else {
        seen.add(gram);
        i++;
      }
    }
    return repeated / characters;
  },
  again(parts: readonly string[]): { count: number; characters: number } {
    const seen = new Set<string>();
    const found = { count: 0, characters: 0 };
    for (const part of parts) {
      if (seen.has(part)) {
        found.count++;
        found.characters += part.length;
      }
      seen.add(part);
    }
    return found;
  },
};

describe('repetition', () => {
  const random = new Random(4);
  const scan = new Scan();
  const repetition = new Repetition();
  const LATIN = ['a', 'bb', 'ccc', 'dddd', 'be', 'to', 'of', 'other', 'words', 'more'];
  const HAN = [...'天地玄黄宇宙洪荒日月'];
  const texts = Array.from({ length: 120 }, (_, i) => {
    const pool = i % 2 === 0 ? LATIN : HAN;
    const kinds = 1 + random.below(pool.length);
    const length = random.below(i % 10 === 0 ? 2000 : 80);
    const words = Array.from({ length }, () => pool[random.below(kinds)]);
    // Some are a phrase again and again.
    return { gap: i % 2 === 0 ? ' ' : '', words: i % 7 === 3 && length > 0 ? Array.from({ length: 5 }, () => words).flat() : words };
  });

  it('n-grams, on texts of few words, with the same tables for all', () => {
    for (const { words, gap } of texts) {
      const text = words.join(gap);
      scan.scan(text, NONE);
      expect(scan.kept).toBe(words.length);
      repetition.begin(scan);
      const characters = Math.max(1, text.length);
      for (const n of [2, 3, 4]) expect(repetition.topShare(n)).toBeCloseTo(direct.top(words, n, gap, characters), 12);
      for (const n of [5, 6, 7, 8, 9, 10]) expect(repetition.duplicateShare(n)).toBeCloseTo(direct.duplicates(words, n, characters), 12);
      // Out of order too.
      expect(repetition.topShare(2)).toBeCloseTo(direct.top(words, 2, gap, characters), 12);
    }
  });

  it('lines and paragraphs', () => {
    const pool = ['one', 'two two', 'two  two', ' two two', 'three', '一二三', '…'];
    for (let i = 0; i < 200; i++) {
      const paragraphs = Array.from({ length: 1 + random.below(8) }, () => Array.from({ length: 1 + random.below(3) }, () => pool[random.below(pool.length)]));
      const text = paragraphs.map((lines) => lines.join('\n')).join('\n\n');
      scan.scan(text, NONE);
      expect(repetition.duplicates(text, scan.lines)).toEqual(direct.again(paragraphs.flat()));
      expect(repetition.duplicates(text, scan.paragraphs)).toEqual(direct.again(paragraphs.map((lines) => lines.join('\n'))));
    }
  });
});
