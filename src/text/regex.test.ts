/**
 * Oniguruma patterns in JavaScript: what each construct matches, and which ones are refused.
 */

import { describe, expect, it } from 'vitest';
import { compileLiteral, compilePattern } from './regex.ts';

/** All matches of a pattern. */
const found = (pattern: string, text: string): string[] => [...text.matchAll(compilePattern(pattern))].map((match) => match[0]);

describe('translated patterns', () => {
  // Expected values from Oniguruma through the tokenizers library, or from its documentation of the syntax.
  it.each([
    [String.raw`\s+`, 'a\u0085\u2028b\ufeffc d', ['\u0085\u2028', ' ']],
    [String.raw`\S`, 'a\u0085\ufeff', ['a', '\ufeff']],
    [String.raw`[^\s\p{L}]+`, 'a1 \ufeff\u0085-', ['1', '\ufeff', '-']],
    [String.raw`\w+`, 'é\u0301x_1²-', ['é\u0301x_1']],
    [String.raw`\d`, '1٣²', ['1', '٣']],
    ["(?i:'s|'LL|'k)", "'S 'ſ 'll 'lL '\u212a 't", ["'S", "'ſ", "'ll", "'lL", "'\u212a"]],
    ['(?i)ab|c', 'aB C', ['aB', 'C']],
    ['a++b|a', 'aaab aa', ['aaab', 'a', 'a']],
    ['a?+a', 'a aa', ['aa']],
    ['(?>a+)a|b', 'aaab', ['b']],
    [String.raw`\p{Han}+`, '小船 boat', ['小船']],
    [String.raw`\p{^Han}+`, '小船 boat', [' boat']],
    [String.raw`[\p{Lu}\p{Lt}]+|\p{P}`, 'ABc.', ['AB', '.']],
    ['^a|b$', 'a\nab\nb', ['a', 'a', 'b', 'b']],
    ['.+', 'a\r\nb', ['a\r', 'b']],
    ['[a-c-]+', 'ab-d', ['ab-']],
    ['[]a]+', 'a]b', ['a]']],
    [String.raw`[\r\n/]+`, 'a\r\n/b', ['\r\n/']],
    [String.raw`\p{N}{1,3}`, '12345', ['123', '45']],
    ['x{,2}y', 'xxxy', ['xxy']],
    [String.raw`\x41\u0042\x{43}`, 'ABC', ['ABC']],
    [String.raw`\-\.\"\/\#`, '-."/#', ['-."/#']],
    [String.raw`\s+(?!\S)|\s+`, 'a   b', ['  ', ' ']],
    ['[一-龥]+', 'a小船b', ['小船']],
  ])('%s on %j', (pattern, text, wanted) => {
    expect(found(pattern, text)).toEqual(wanted);
  });

  it.each([
    ['(?R)', /the group \(\?R\)/],
    ['[a&&b]', /an intersection of classes/],
    ['[[:alpha:]]', /a class within a class/],
    [String.raw`\R`, /\\R/],
    [String.raw`\X`, /\\X/],
    [String.raw`\1`, /\\1/],
    [String.raw`\p{Nonsense}`, /the property Nonsense/],
    ['a**', /a repetition of a repetition/],
    ['a{2}+', /a \+ after a counted repetition/],
    ['*a', /a \* with nothing before it/],
    ['(a', /a \( without its \)/],
    ['a)', /an unmatched \)/],
    ['[a', /a \[ without its \]/],
    ['(?i:é)', /the letter é without regard to case/],
    ['(?i:[a-z])', /a class of letters without regard to case/],
    ['a\\', /a \\ at the end/],
    ['('.repeat(1e5), /a group within 50 others/],
  ])('%.20s is refused', (pattern, message) => {
    expect(() => compilePattern(pattern)).toThrow(message);
  });

  it('literals match themselves alone', () => {
    expect('a.b+a.b'.match(compileLiteral('a.b'))).toEqual(['a.b', 'a.b']);
    expect('axb'.match(compileLiteral('a.b'))).toBe(null);
    expect('abc'.match(compileLiteral(''))).toBe(null);
  });
});
