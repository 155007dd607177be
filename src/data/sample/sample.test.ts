/**
 * The sample corpus: the same bytes on Node and Deno, no leak of held-out wordings into training, every
 * question answerable from training text, and facts checked by rules that do not come from the tables.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COUNTRIES } from './countries.ts';
import { chineseNumber, daysInMonth, englishNumber, weekdayOf, withCommas } from './everyday.ts';
import { FACTS, TOPICS } from './facts.ts';
import { SAMPLE_SHA256, sampleCorpus, sampleDigest, sampleQuestions, sampleSplitOf, sampleSplits } from './index.ts';
import { COUNTRY_NAMES, CURRENCY_NAMES, MONTH_NAMES, WEEKDAY_NAMES } from './intl-names.ts';
import { PHRASINGS } from './phrasings.ts';
import { BOOKS, ELEMENTS } from './world.ts';

const { train, validation } = sampleSplits();
/** True if `wording` occurs with no letter or digit right before it. */
function startsSomewhere(text: string, wording: string): boolean {
  for (let at = text.indexOf(wording); at >= 0; at = text.indexOf(wording, at + 1)) {
    if (at === 0 || !/[\p{L}\p{N}]/u.test(text[at - 1])) return true;
  }
  return false;
}
const bytesOf = (documents: readonly { target: string }[]) => documents.reduce((n, d) => n + Buffer.byteLength(d.target), 0);

describe('the sample corpus', () => {
  it('has the recorded bytes on Node', () => {
    expect(sampleDigest(sampleCorpus())).toBe(SAMPLE_SHA256);
  });

  it('has the recorded bytes on Deno', () => {
    const deno = 'node_modules/.bin/deno';
    expect(existsSync(deno), 'the deno package is a development dependency').toBe(true);
    const program = `import { sampleCorpus, sampleDigest } from './src/data/sample/index.ts'; console.log(sampleDigest(sampleCorpus()));`;
    expect(execFileSync(deno, ['eval', '--no-config', program], { encoding: 'utf8' }).trim()).toBe(SAMPLE_SHA256);
  }, 60_000);

  it('is about two megabytes in ten categories of both languages, without a text twice', () => {
    expect(bytesOf(train) + bytesOf(validation)).toBeGreaterThan(2_000_000);
    expect(bytesOf(train) + bytesOf(validation)).toBeLessThan(2_002_000);
    const all = [...train, ...validation];
    expect(new Set(all.map((d) => d.target)).size).toBe(all.length);
    expect(new Set(all.map((d) => d.id)).size).toBe(all.length);
    const kinds = new Set(all.map((d) => `${d.lang} ${d.category}`));
    expect(kinds.size).toBe(20);
    for (const lang of ['en', 'zh']) {
      const share = bytesOf(all.filter((d) => d.lang === lang)) / bytesOf(all);
      expect(share).toBeGreaterThan(0.45);
    }
    expect(validation.length / all.length).toBeGreaterThan(0.04);
    expect(validation.length / all.length).toBeLessThan(0.06);
    for (const d of validation) expect(sampleSplitOf(d.id)).toBe('validation');
  });

  it('has no holes in its text', () => {
    for (const d of [...train, ...validation]) {
      const bad = /[{}]|undefined|null|NaN| {2}|\bthe the\b|\ba [aeiou]|的的|。。|\.\.|[“"]["”]|\s$/.exec(d.target);
      if (bad) expect(`${d.id}: ${JSON.stringify(bad[0])} in ${d.target}`).toBe('');
    }
  });

  it('begins a longer corpus with the shorter one, and differs by seed', () => {
    const short = sampleCorpus({ seed: 3, documents: 40 });
    expect(short.length).toBe(40);
    expect(sampleCorpus({ seed: 3, bytes: 60_000 }).slice(0, 40)).toEqual(short);
    expect(sampleCorpus({ seed: 4, documents: 40 })).not.toEqual(short);
  });

  it('refuses counts it cannot serve', () => {
    expect(() => sampleCorpus({ documents: 0 })).toThrow(/from 1 to 20000, got 0/);
    expect(() => sampleCorpus({ bytes: 1e9 })).toThrow(/got 1000000000/);
  });
});

describe('the sample questions', () => {
  const questions = sampleQuestions();

  it('are not worded so in any training document, of this seed or another', () => {
    const texts = (lang: string) =>
      [...train, ...sampleSplits({ seed: 99, bytes: 1_000_000 }).train].filter((d) => d.lang === lang || d.category === 'translation').map((d) => d.target);
    for (const lang of ['en', 'zh'] as const) {
      const text = texts(lang).join('\u0000');
      for (const q of questions.filter((x) => x.lang === lang)) {
        // A question form is held out by its question, however the lines around it are labelled.
        const wording = q.form === 'sentence' ? q.prompt + q.answer : q.prompt.replace(/^(Question: |问：)/, '').replace(/\n.*$/s, '');
        // A wording inside another subject's ("鹿有几条腿" in "长颈鹿有几条腿") is not this one.
        if (startsSomewhere(text, wording)) expect(`${q.id}: "${wording}" is in training text`).toBe('');
      }
    }
  });

  it('ask for facts that training text of the language states', () => {
    // The lists go through all facts three times; one of the three may lie in validation.
    const counts: number[] = [];
    for (const lang of ['en', 'zh'] as const) {
      const texts = train.filter((d) => d.lang === lang || d.category === 'translation').map((d) => d.target.toLowerCase());
      for (const [relation, facts] of FACTS) {
        for (const fact of facts) {
          const [s, o] = [fact.subject[lang].toLowerCase(), fact.object[lang].toLowerCase()];
          const n = texts.filter((t) => t.includes(s) && t.includes(o)).length;
          if (n < 2) expect(`${lang} ${relation} ${s} ${o}: in ${n} documents`).toBe('');
          counts.push(n);
        }
      }
    }
    expect(counts.sort((a, b) => a - b)[counts.length >> 1]).toBeGreaterThanOrEqual(8);
  }, 60_000);

  it('cover every fact in both languages, frequent facts first, each with one answer', () => {
    const factCount = [...FACTS.values()].reduce((n, list) => n + list.length, 0);
    const asked = new Set(questions.map((q) => q.id.replace(/\/(sentence|question)$/, '')));
    expect(asked.size).toBe(2 * factCount);
    expect(new Set(questions.map((q) => q.id)).size).toBe(questions.length);
    expect(questions.findIndex((q) => !q.core)).toBe(questions.filter((q) => q.core).length);
    const answers = new Map<string, string>();
    for (const q of questions) {
      expect(answers.get(q.prompt) ?? q.answer).toBe(q.answer);
      answers.set(q.prompt, q.answer);
      expect(q.prompt).toBe(q.prompt.trim());
      expect(q.answer.startsWith(' ')).toBe(q.lang === 'en');
    }
  });
});

describe('the facts', () => {
  it('name neighbours both ways and every code once', () => {
    const byCode = new Map(COUNTRIES.map((c) => [c.code, c]));
    expect(byCode.size).toBe(COUNTRIES.length);
    for (const c of COUNTRIES) for (const n of c.neighbours) expect(byCode.get(n)?.neighbours, `${c.code}-${n}`).toContain(c.code);
    const capitals = COUNTRIES.flatMap((c) => (c.capital ? [c.capital[0]] : []));
    expect(new Set(capitals).size).toBe(capitals.length);
    for (const c of COUNTRIES) expect([COUNTRY_NAMES[c.code]?.length, c.currency ? CURRENCY_NAMES[c.currency]?.length : 2]).toEqual([2, 2]);
  });

  it('keep ids unique, subjects unique in a relation, and words for every relation', () => {
    const ids = [...FACTS.values()].flatMap((list) => list.map((f) => f.id));
    expect(new Set(ids).size).toBe(ids.length);
    for (const [relation, list] of FACTS) {
      for (const lang of ['en', 'zh'] as const) {
        expect(new Set(list.map((f) => f.subject[lang])).size, `${relation} ${lang}`).toBe(list.length);
        const words = PHRASINGS[relation][lang];
        expect(words.last.length).toBeGreaterThanOrEqual(3);
        expect(words.ask.length).toBeGreaterThanOrEqual(2);
        expect(words.brief.length).toBeGreaterThanOrEqual(1);
        for (const t of words.last) expect(t).toMatch(/\{o\}[.。]$/);
        for (const t of [...words.last, ...words.free]) expect(t).toMatch(/\{s\}/);
        for (const t of words.ask) expect(t).toMatch(/^[^{]*.*\{s\}.*[?？]$/);
      }
    }
    expect(TOPICS.planet.length).toBe(8);
    expect(BOOKS.length).toBe(new Set(BOOKS.map((b) => b[0])).size);
  });

  it('order the elements by their number', () => {
    const numbers = ELEMENTS.map((e) => Number(e[0]));
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(new Set(ELEMENTS.map((e) => e[1])).size).toBe(ELEMENTS.length);
    // The metals and gases of the Chinese table carry the radical of their state; mercury and bromine the water one.
    for (const [, symbol, , zh, state] of ELEMENTS) {
      if (state === 'gas') expect('氢氦氮氧氟氖氯氩', symbol).toContain(zh);
      if (state === 'liquid') expect('溴汞', symbol).toContain(zh);
    }
  });

  it('reckon weekdays, month lengths and numbers as the platform does', () => {
    for (let i = 0; i < 2000; i++) {
      const date = new Date(Date.UTC(1800, 0, 1 + i * 53));
      const [y, m, d] = [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()];
      expect(weekdayOf(y, m, d)).toBe((date.getUTCDay() + 6) % 7);
      expect(daysInMonth(y, m)).toBe(new Date(Date.UTC(y, m, 0)).getUTCDate());
    }
    for (const n of [7, 999, 1000, 86_400, 1_234_567]) expect(withCommas(n)).toBe(new Intl.NumberFormat('en').format(n));
    expect([0, 10, 11, 20, 27, 99, 100].map(englishNumber)).toEqual(['zero', 'ten', 'eleven', 'twenty', 'twenty-seven', 'ninety-nine', 'one hundred']);
    expect([0, 10, 11, 20, 27, 99, 100].map(chineseNumber)).toEqual(['零', '十', '十一', '二十', '二十七', '九十九', '一百']);
  });

  it('froze names that this engine still mostly knows', () => {
    // Engines differ in a few names between versions; a table that slipped by a row would differ in nearly all.
    const same = Object.entries(COUNTRY_NAMES).filter(([code, [, zh]]) => new Intl.DisplayNames(['zh-Hans'], { type: 'region' }).of(code) === zh).length;
    expect(same / COUNTRIES.length).toBeGreaterThan(0.95);
    expect(MONTH_NAMES[0]).toEqual(['January', '一月']);
    expect(WEEKDAY_NAMES[6]).toEqual(['Sunday', '星期日']);
  });
});
