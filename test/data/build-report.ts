/**
 * A report of a build that never was, with consistent numbers and made-up texts, for tests of what draws it. Numbers come from
 * a seeded generator; change one and the accounts still hold.
 */
import { Random } from '../../src/base/random.ts';
import type { BuildReport, FunnelRow } from '../../src/curate/report/types.ts';

/** Categories with documents read and mean bytes. */
const CATEGORIES: readonly (readonly [string, number, number])[] = [
  ['zh_poetry', 3697, 390],
  ['en_web', 2000, 2600],
  ['zh_encyclopedia', 848, 1550],
  ['en_stories', 932, 900],
  ['zh_law', 49, 23_000],
  ['en_textbook', 60, 14_000],
];

/** Share of the documents of a category that a reason takes, step by step. */
const RULES: readonly (readonly [step: string, reason: string, category: string, share: number])[] = [
  ['clean', 'clean.too-short', 'zh_poetry', 0.31],
  ['clean', 'clean.too-short', 'en_web', 0.05],
  ['clean', 'clean.repeated-lines', 'en_web', 0.12],
  ['clean', 'clean.symbol-ratio', 'en_textbook', 0.05],
  ['clean', 'clean.failed', 'en_web', 0.001],
  ['exact', 'exact.document', 'zh_poetry', 0.01],
  ['near', 'near.duplicate', 'zh_poetry', 0.04],
  ['near', 'near.duplicate', 'en_web', 0.08],
  ['decontaminate', 'decontaminate.overlap', 'zh_encyclopedia', 0.02],
  ['score', 'score.quality', 'en_web', 0.2],
  ['sample', 'sample.quota', 'en_stories', 0.25],
];
const STEPS = ['read', 'clean', 'exact', 'near', 'decontaminate', 'score', 'sample', 'pack'];
const BUCKETS = 10;
const T = 512;

/** The same report at every call; `change` works on it before it is given. */
export function buildReport(change: (report: Mutable<BuildReport>) => void = () => {}): BuildReport {
  const random = new Random(4);
  const funnel: FunnelRow[] = [];
  const drops: Record<string, number> = {};
  const dropsByCategory: Record<string, Record<string, number>> = {};
  const mix: Record<string, number> = {};
  const length: Record<string, number[]> = {};
  const lengthKept: Record<string, number[]> = {};
  for (const [category, read, bytes] of CATEGORIES) {
    let documents = read;
    for (const step of STEPS) {
      for (const [at, reason, from, part] of RULES) {
        if (at !== step || from !== category) continue;
        const gone = Math.round(documents * part);
        documents -= gone;
        drops[reason] = (drops[reason] ?? 0) + gone;
        dropsByCategory[category] ??= {};
        dropsByCategory[category][reason] = gone;
      }
      const tokens = step === 'sample' || step === 'pack' ? Math.round((documents * bytes) / 3.1) : null;
      funnel.push({ step, category, documents, bytes: documents * bytes, tokens });
      if (tokens !== null) mix[category] = tokens;
    }
    const middle = Math.log2(bytes / 2);
    const bell = Array.from({ length: 20 }, (_, k) => Math.exp(-((k + 0.5 - middle) ** 2) / 2));
    const all = bell.reduce((a, b) => a + b, 0);
    length[category] = bell.map((b) => Math.round((b / all) * read));
    lengthKept[category] = length[category].map((n, k) => Math.round(n * (k < middle ? 0.6 : 0.95)));
  }
  const total = Object.values(mix).reduce((a, b) => a + b, 0);
  const packs = Math.ceil(total / T / 0.996);
  const buckets = Array.from({ length: BUCKETS }, (_, bucket) => {
    const own = Object.fromEntries(Object.entries(mix).map(([category, n]) => [category, Math.round((n / BUCKETS) * (1 + 0.01 * (random.uniform() - 0.5)))]));
    return { bucket, tokens: Object.values(own).reduce((a, b) => a + b, 0), packs: Math.round(packs / BUCKETS), fill: 0.996, mix: own };
  });
  const report: Mutable<BuildReport> = {
    version: 1,
    funnel,
    drops,
    dropsByCategory,
    examples: {
      'clean.too-short': [
        { id: 'poems:17', category: 'zh_poetry', note: '12 of at least 20 characters', text: '山雨初停风又起\n一行白鸟过桥西' },
        { id: 'web:4', category: 'en_web', note: '3 of at least 50 words', text: 'Click here now' },
      ],
      'clean.repeated-lines': [
        { id: 'web:88', category: 'en_web', note: '0.62 of lines are repeated, at most 0.3', text: 'Home\nShop\nHome\nShop\nHome\nShop' },
      ],
      'clean.failed': [{ id: 'web:101', category: 'en_web', note: 'RangeError: a rule threw', text: 'A page that made a rule throw.' }],
    },
    tallies: { 'clean.masked-email': 41, 'clean.masked-phone': 7, 'clean.mojibake': 113, 'clean.unseen-characters': 958, 'score.tag-law': 61 },
    histograms: {
      length,
      lengthKept,
      scores: {
        quality: {
          edges: Array.from({ length: 21 }, (_, i) => i / 20),
          counts: Array.from({ length: 20 }, (_, i) => 40 + 30 * i + Math.round(random.uniform() * 40)),
          atLeast: 0.22,
        },
        perplexity: { edges: [0, 10, 20, 50, 100, 200, 500, 1000, 10_000], counts: [3, 90, 812, 1404, 930, 404, 118, 20] },
      },
    },
    duplicates: {
      exact: 25,
      near: 257,
      clusters: 190,
      pairsVerified: 2210,
      examples: [
        {
          a: { id: 'web:12', category: 'en_web', text: 'The old harbour was rebuilt in 1904 after a fire that lasted three days and took the eastern quay.' },
          b: {
            id: 'web:730',
            category: 'en_web',
            text: 'The harbour was rebuilt in 1905 after a fire that lasted three days and took the whole eastern quay!',
          },
          similarity: 0.861,
          reason: 'near.duplicate',
        },
        {
          a: { id: 'poems:4', category: 'zh_poetry', text: '山雨初停风又起，一行白鸟过桥西。' },
          b: { id: 'poems:911', category: 'zh_poetry', text: '山雨初停風又起，一行白鷺过桥西。' },
          similarity: 0.82,
          reason: 'near.duplicate',
        },
      ],
    },
    buckets,
    packing: {
      tokensAfterSampling: total,
      tokensPacked: total,
      packs,
      fill: total / packs / T,
      T,
      lengthHistogram: [0, 0, 3, 18, 120, 640, 1203, 1800, 2410, 60],
    },
    compression: {
      tokenizer: 'grown/tokenizer.model',
      charactersPerToken: { zh_poetry: 0.81, en_web: 4.1, zh_encyclopedia: 1.4, en_stories: 4.3, zh_law: 1.62, en_textbook: 3.6 },
    },
    seconds: { read: 3.1, clean: 41, exact: 2.2, near: 18.4, decontaminate: 6, score: 22, sample: 0.4, pack: 31 },
    peakRssBytes: 812_000_000,
    scorers: { quality: { auc: { shuffled: 0.998, repeated: 0.991, stuffed: 0.987, web: 0.842 } } },
    config: { out: 'buckets', pack: { T, buckets: BUCKETS }, clean: { ruleSet: 'web', minCharacters: 20 }, seed: 7 },
  };
  change(report);
  return report as BuildReport;
}

/** The same with everything open to change. */
export type Mutable<T> = { -readonly [K in keyof T]: Mutable<T[K]> };
