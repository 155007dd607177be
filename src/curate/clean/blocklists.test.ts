/** Word lists against a search word by word; hosts against cases written out. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { HostList, hostOf, WordFinder } from './blocklists.ts';

describe('WordFinder', () => {
  it('finds all that a search word by word finds', () => {
    const random = new Random(11);
    const make = (letters: string, length: number): string => Array.from({ length }, () => letters[random.below(letters.length)]).join('');
    for (let round = 0; round < 150; round++) {
      const han = round % 2 === 1;
      const words = Array.from({ length: 12 }, () => make(han ? '天地人' : 'ab ', 1 + random.below(4)).trim()).filter((word) => word !== '');
      const text = make(han ? '天地人和' : 'abc  ', 300);
      let expected = 0;
      for (const word of new Set(words)) {
        for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
          const edge = (i: number): boolean => i < 0 || i >= text.length || text[i] === ' ';
          if (han || (edge(at - 1) && edge(at + word.length))) expected++;
        }
      }
      expect(new WordFinder(words).count(text)).toBe(expected);
    }
  });

  it('whole words in any case where there are spaces, anywhere in Chinese', () => {
    const finder = new WordFinder(['Casino', '博彩', 'free money', '']);
    expect(finder.size).toBe(3);
    expect(finder.count('CASINO! casinos, free  money, FREE MONEY; 网上博彩站')).toBe(3);
    expect(finder.count('')).toBe(0);
    expect(new WordFinder([]).count('anything')).toBe(0);
  });
});

describe('HostList', () => {
  const list = new HostList(['Bad.example', '*.worse.example', '# a note', 'https://third.example/path', '']);

  it.each([
    ['bad.example', true],
    ['www.bad.example', true],
    ['notbad.example', false],
    ['bad.example.org', false],
    ['a.b.worse.example', true],
    ['third.example', true],
    ['example', false],
    ['', false],
  ])('%s: %s', (host, wanted) => {
    expect(list.has(host)).toBe(wanted);
  });

  it('reads hosts of addresses and counts links', () => {
    expect(hostOf('https://User:pw@WWW.Bad.example:8080/a?b')).toBe('www.bad.example');
    expect(hostOf('no address')).toBeNull();
    expect(list.count('see http://bad.example, (https://x.bad.example/y) and 见https://bad.example。http://good.example')).toBe(3);
  });
});
