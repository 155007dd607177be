/**
 * The texts and questions of the sample's graft: no held-out wording in what is trained on, facts stated evenly, options that tell nothing but the fact, the same on
 * every host.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Sha256 } from '../../base/sha256.ts';
import { INJECTED_RELATIONS, sampleAnswerCounts, sampleChoiceQuestions } from './choices.ts';
import { FACTS, TOPICS } from './facts.ts';
import { GRAFT_CATEGORIES, sampleGraftDocuments, sampleInjection } from './graft.ts';
import { sampleQuestions, sampleSplitOf } from './index.ts';

const { train, validation } = sampleGraftDocuments();
const textsOf = (documents: readonly { target: string }[]) => documents.map((d) => d.target);
const FACT_COUNT = INJECTED_RELATIONS.reduce((n, r) => n + (FACTS.get(r)?.length ?? 0), 0);

/** Documents and questions as one hash. */
const DIGEST = '3ebd5ea28bf30a28a90ed472db6d3d6425d7d3a6d18887d1cb6c3e4e24a2b79c';
const PROGRAM = `
import { GRAFT_CATEGORIES, sampleGraftDocuments } from './src/data/sample/graft.ts';
import { sampleChoiceQuestions } from './src/data/sample/choices.ts';
import { Sha256 } from './src/base/sha256.ts';
const { train, validation } = sampleGraftDocuments();
const hash = new Sha256();
for (const side of [train, validation]) for (const c of GRAFT_CATEGORIES) for (const d of side[c]) hash.update(new TextEncoder().encode(d.id + '\\n' + d.target + '\\n'));
for (const lang of ['en', 'zh']) hash.update(new TextEncoder().encode(JSON.stringify(sampleChoiceQuestions(lang))));
console.log(hash.hex());`;

describe('the texts of the graft', () => {
  it('are the same on Node and Deno', () => {
    const hash = new Sha256();
    for (const side of [train, validation])
      for (const c of GRAFT_CATEGORIES) for (const d of side[c]) hash.update(new TextEncoder().encode(`${d.id}\n${d.target}\n`));
    for (const lang of ['en', 'zh'] as const) hash.update(new TextEncoder().encode(JSON.stringify(sampleChoiceQuestions(lang))));
    expect(hash.hex()).toBe(DIGEST);
    const deno = 'node_modules/.bin/deno';
    expect(existsSync(deno), 'the deno package is a development dependency').toBe(true);
    expect(execFileSync(deno, ['eval', '--no-config', PROGRAM], { encoding: 'utf8' }).trim()).toBe(DIGEST);
  }, 60_000);

  it('lie on their side of the split, no text twice in what is said at large', () => {
    for (const c of GRAFT_CATEGORIES) {
      for (const [side, documents] of [
        ['train', train[c]],
        ['validation', validation[c]],
      ] as const) {
        expect(documents.length, `${c} ${side}`).toBeGreaterThan(30);
        for (const d of documents) expect(sampleSplitOf(d.id)).toBe(side);
      }
      const narrow = [...train[c], ...validation[c]].filter((d) => d.category !== 'facts');
      expect(new Set(textsOf(narrow)).size).toBe(narrow.length);
    }
  });

  it('keep English free of Chinese', () => {
    for (const d of [...train.en, ...validation.en]) if (/\p{Script=Han}/u.test(d.target)) expect(`${d.id}: ${d.target}`).toBe('');
    for (const d of [...train.zh, ...train.facts]) expect(d.target).toMatch(/\p{Script=Han}/u);
  });

  it('have no holes', () => {
    for (const d of GRAFT_CATEGORIES.flatMap((c) => [...train[c], ...validation[c]])) {
      const bad = /[{}]|undefined|null|NaN| {2}|\bthe the\b|的的|。。|\.\.|\s$/.exec(d.target);
      if (bad) expect(`${d.id}: ${JSON.stringify(bad[0])} in ${d.target}`).toBe('');
    }
  });

  it('speak of few things at large: the first five topics of a kind, all about equally often', () => {
    const counts = TOPICS.country.map(
      ({ name }) => textsOf(train.zh).filter((t) => t.includes(`关于${name.zh}，`) || t.includes(`本条目介绍${name.zh}。`)).length,
    );
    const told = counts.slice(0, 5);
    expect(Math.min(...told)).toBeGreaterThan(5);
    // Counts of some thirty scatter by about a fifth; Zipf's law would make it five to one.
    expect(Math.max(...told) / Math.min(...told)).toBeLessThan(3);
    expect(counts.slice(5).every((n) => n === 0)).toBe(true);
  });

  it('begin with the fewer documents of the same seed, and differ by seed', () => {
    expect(sampleInjection('zh', { documents: 50 }).slice(0, 20)).toEqual(sampleInjection('zh', { documents: 20 }));
    expect(sampleInjection('zh', { seed: 2, documents: 20 })).not.toEqual(sampleInjection('zh', { documents: 20 }));
    expect(sampleInjection('en', { documents: 0 })).toEqual([]);
    expect(() => sampleInjection('zh', { documents: -1 })).toThrow(/-1 documents/);
  });

  it('state every injected fact often and evenly', () => {
    for (const [lang, documents] of [
      ['en', train.en],
      ['zh', train.facts],
    ] as const) {
      const texts = textsOf(documents.filter((d) => d.category === 'facts'));
      const counts: number[] = [];
      for (const relation of INJECTED_RELATIONS)
        for (const f of FACTS.get(relation) ?? []) {
          // Of a subject inside another's name (`Guinea` and the like) the object decides.
          counts.push(texts.filter((t) => t.toLowerCase().includes(f.subject[lang].toLowerCase()) && t.includes(f.object[lang])).length);
        }
      expect(counts.length).toBe(FACT_COUNT);
      const mean = counts.reduce((a, b) => a + b, 0) / counts.length;
      expect(mean).toBeGreaterThan(30);
      // Decks deal each fact once a round; short names also stand inside other words, so only the lower end is told.
      expect(Math.min(...counts)).toBeGreaterThan(mean / 3);
    }
  });
});

describe('the questions with options', () => {
  const en = sampleChoiceQuestions('en');
  const zh = sampleChoiceQuestions('zh');

  it('are more than 200 a language, of the same facts, each with four options and one answer', () => {
    expect(zh.length).toBeGreaterThanOrEqual(200);
    expect(en.map((q) => q.id.slice(3)).sort()).toEqual(zh.map((q) => q.id.slice(3)).sort());
    const plain = new Map(sampleQuestions().map((q) => [q.id, q]));
    for (const q of [...en, ...zh]) {
      expect(new Set(q.options).size).toBe(4);
      expect(q.options[q.correct]).toBe(plain.get(q.id)?.answer);
      expect(q.prompt).toBe(plain.get(q.id)?.prompt);
      // Of the same kind: every option answers another question of the relation.
      const kind = new Set([...plain.values()].filter((x) => x.lang === q.lang && x.category === q.category).map((x) => x.answer));
      for (const option of q.options) expect(kind.has(option), `${q.id}: ${option}`).toBe(true);
      for (const option of q.options) expect(option.startsWith(' ')).toBe(q.lang === 'en');
    }
  });

  it('are worded as no training document words them', () => {
    const texts = { en: textsOf(train.en).join('\u0000'), zh: textsOf([...train.zh, ...train.facts]).join('\u0000') };
    for (const q of [...en, ...zh]) {
      const wording = q.cue === '' ? q.prompt + q.options[q.correct] : q.prompt.replace(/^(Question: |问：)/, '').replace(/\n.*$/s, '');
      for (let at = texts[q.lang].indexOf(wording); at >= 0; at = texts[q.lang].indexOf(wording, at + 1)) {
        // A wording inside another subject's is not this one.
        if (!/[\p{L}\p{N}]/u.test(texts[q.lang][at - 1] ?? ' ')) expect(`${q.id}: "${wording}" is in training text`).toBe('');
      }
    }
  });

  it('have the answer in each place equally often, and not by seed alone', () => {
    for (const all of [en, zh, sampleChoiceQuestions('zh', { seed: 5, options: 3 })]) {
      const k = all[0].options.length;
      const counts = Array.from({ length: k }, (_, place) => all.filter((q) => q.correct === place).length);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
    expect(sampleChoiceQuestions('zh', { seed: 2 })).not.toEqual(zh);
    expect(sampleChoiceQuestions('zh')).toEqual(zh);
  });

  it('are no easier by what is common', () => {
    for (const [lang, documents, all] of [
      ['en', train.en, en],
      ['zh', [...train.zh, ...train.facts], zh],
    ] as const) {
      const counts = sampleAnswerCounts(documents, lang);
      let right = 0;
      for (const q of all) {
        const often = q.options.map((o) => counts.get(q.category)?.get(o) ?? 0);
        if (often.indexOf(Math.max(...often)) === q.correct) right++;
      }
      // Chance is 0.25; 234 questions scatter by 0.03.
      expect(right / all.length, lang).toBeLessThan(0.34);
      for (const f of FACTS.get('capital') ?? []) expect(counts.get('capital')?.get(`${lang === 'en' ? ' ' : ''}${f.object[lang]}`) ?? 0).toBeGreaterThan(0);
    }
  });

  it('refuse what cannot be asked', () => {
    expect(() => sampleChoiceQuestions('zh', { relations: ['no such'] })).toThrow(/relation "no such".*0 answers/);
    expect(() => sampleChoiceQuestions('zh', { relations: ['planet kind'] })).toThrow(/it has 3 answers/);
    expect(() => sampleChoiceQuestions('zh', { options: 1 })).toThrow(/1 options/);
  });
});
