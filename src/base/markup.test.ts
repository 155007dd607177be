/** Text of strangers on a screen: what is written out, what stays, what HTML may see of it. */
import { describe, expect, it } from 'vitest';
import { clipped, quoted, visible, visibleHtml } from './markup.ts';

describe('visible', () => {
  it.each([
    ['\x1b[31mred\x1b[0m', '‹U+001B›[31mred‹U+001B›[0m'],
    ['\x9b31m', '‹U+009B›31m'],
    ['a\0b\r\n\tc', 'a‹U+0000›b‹U+000D›\n\tc'],
    ['a\u202egnp.exe\u202c', 'a‹U+202E›gnp.exe‹U+202C›'],
    ['\u2066x\u2069\u061c', '‹U+2066›x‹U+2069›‹U+061C›'],
    ['zero\u200bwidth\ufeff\u2060', 'zero‹U+200B›width‹U+FEFF›‹U+2060›'],
    ['tag\u{e0041}\u{e0101}', 'tag‹U+E0041›‹U+E0101›'],
    ['lone \ud83d! \udc00', 'lone ‹U+D83D›! ‹U+DC00›'],
    ['line\u2028sep\u00ad', 'line‹U+2028›sep‹U+00AD›'],
    ['\u3164\uffff\ufdd0', '‹U+3164›‹U+FFFF›‹U+FDD0›'],
  ])('writes out %j', (text, shown) => {
    expect(visible(text)).toBe(shown);
  });

  it('leaves letters, marks, emoji and private use alone', () => {
    const text = 'naïve é 汉字 𠀀 ไทย עברית العربية 👍🏽 \u{e000} ﷽ \n\t ‹U+202E›';
    expect(visible(text)).toBe(text);
  });

  it('marks in HTML what it wrote out, so that text cannot feign it', () => {
    expect(visibleHtml('‹U+202E›\u202e')).toBe('‹U+202E›<span class="unseen">‹U+202E›</span>');
  });

  it('lets no tag, entity or attribute through', () => {
    expect(visibleHtml('<script>alert("1")</script>&lt;\0<')).toBe(
      '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;lt;<span class="unseen">‹U+0000›</span>&lt;',
    );
    expect(quoted('" onload="x')).toBe('&quot; onload=&quot;x');
  });
});

describe('clipped', () => {
  it('does not cut a pair in half', () => {
    expect(clipped('ab👍c', 3)).toBe('ab … (3 more)');
    expect(clipped('ab👍c', 4)).toBe('ab👍 … (1 more)');
    expect(clipped('ab', 2)).toBe('ab');
    expect(clipped('', 0)).toBe('');
  });
});
