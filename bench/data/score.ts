/**
 * Classifier beside scikit-learn's: positives are the encyclopedias and textbooks of `SCION_DATA/corpora`, negatives
 * its web pages and three kinds of bad pages made from them (words shuffled, one passage repeated, stuffed with keywords),
 * seeded. Pages are passages of about 2,000 characters; documents are split, and a bad page stays on the side of the document it
 * was made from. Fits on the device, writes the same features for `score-peer.py`, prints AUC by kind as JSON.
 *
 * `node bench/data/score.ts [--out FOLDER] [--peer PYTHON] [--C N] [--features JSON] [--features-only] [--json FILE]`
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cpuUsage } from 'node:process';
import { Random } from '../../src/base/random.ts';
import { type FeatureConfig, featureSchema } from '../../src/curate/score/features.ts';
import { fitLinear } from '../../src/curate/score/fit.ts';
import { auc } from '../../src/curate/score/metrics.ts';
import { RowBuilder } from '../../src/curate/score/rows.ts';
import { documentProbabilities } from '../../src/curate/score/train-scorer.ts';
import { hash32 } from '../../src/data/hash.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { writeResults } from '../lib/result-file.ts';

const flag = (name: string): string | undefined => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
};
const data = process.env.SCION_DATA;
if (!data) {
  console.error('skipped: no SCION_DATA');
  process.exit(0);
}
const out = flag('out') ?? join(tmpdir(), 'scion-score');
const seed = 7;
const PAGE = 2000;
const TEST_SHARE = 0.3;
const C = Number(flag('C') ?? 10);

interface Page {
  readonly id: string;
  readonly kind: string;
  readonly test: boolean;
  readonly text: string;
}

/** Pages of at most about `PAGE` characters, cut where lines end. */
function pagesOf(text: string): string[] {
  const pages: string[] = [];
  let page = '';
  for (const line of text.split('\n')) {
    if (page !== '' && page.length + line.length > PAGE) {
      pages.push(page);
      page = '';
    }
    page += `${line}\n`;
    while (page.length > 2 * PAGE) {
      pages.push(page.slice(0, PAGE));
      page = page.slice(PAGE);
    }
  }
  if (page.trim() !== '' && (pages.length === 0 || page.length > PAGE / 4)) pages.push(page);
  return pages;
}

const segmenter = new Intl.Segmenter('zh', { granularity: 'word' });
const wordsOf = (text: string, zh: boolean): string[] => (zh ? [...segmenter.segment(text)].map((s) => s.segment) : text.split(/(?<=\s)/));

/** All words of a page in another order. Chinese by whole words, which is harder to tell than by characters. */
function shuffled(text: string, zh: boolean, random: Random): string {
  return random.shuffle(wordsOf(text, zh)).join('');
}

/** A run of the page's sentences said again and again up to the page's length, with a little text of its own around it. */
function repeated(text: string, random: Random): string {
  const sentences = text.match(/[^。！？.!?\n]+[。！？.!?\n]*/g) ?? [text];
  const first = random.below(sentences.length);
  const many = 1 + random.below(3);
  const part = sentences.slice(first, first + many).join('');
  const times = 4 + random.below(12);
  const head = sentences.slice(0, random.below(4)).join('');
  return head + (part.length === 0 ? text : part).repeat(Math.min(times, Math.ceil((2 * PAGE) / Math.max(1, part.length))));
}

/** The page with five of its own longer words thrown in again and again, and a list of them at the end. */
function stuffed(text: string, zh: boolean, random: Random): string {
  const words = wordsOf(text, zh);
  const candidates = [...new Set(words.map((w) => w.trim()).filter((w) => (zh ? /^\p{Script=Han}{2,}$/u.test(w) : /^\p{L}{5,}$/u.test(w))))];
  if (candidates.length === 0) return text.repeat(3);
  const keywords = random.shuffle(candidates).slice(0, 5);
  const pick = (): string => keywords[random.below(keywords.length)];
  const gap = 5 + random.below(10);
  let stuffedText = '';
  words.forEach((word, i) => {
    stuffedText += word;
    if (i % gap === gap - 1) stuffedText += zh ? `${pick()}${pick()}` : `${pick()} ${pick()} `;
  });
  const list = Array.from({ length: 10 + random.below(30) }, pick);
  return `${stuffedText}\n${list.join(zh ? '，' : ', ')}`;
}

function readCorpus(name: string): { id: string; text: string }[] {
  return readFileSync(join(data as string, 'corpora', `${name}.jsonl`), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { id, target } = JSON.parse(line) as { id: string; target: string };
      return { id: `${name}#${id}`, text: target };
    });
}

const pages: Page[] = [];
const random = new Random(seed);
for (const name of ['zh_encyclopedia', 'zh_textbook', 'en_encyclopedia', 'en_textbook']) {
  const zh = name.startsWith('zh');
  for (const { id, text } of readCorpus(name)) {
    // Translations share an id behind the name: both lie on one side.
    const test = hash32(id.slice(id.indexOf('#')), seed) / 2 ** 32 < TEST_SHARE;
    pagesOf(text).forEach((page, i) => {
      pages.push({ id: `${id}/${i}`, kind: `good ${name}`, test, text: page });
      const kind = (i + hash32(id, seed + 1)) % 3;
      const bad = kind === 0 ? shuffled(page, zh, random) : kind === 1 ? repeated(page, random) : stuffed(page, zh, random);
      pages.push({ id: `${id}/${i}/bad`, kind: ['shuffled', 'repeated', 'stuffed'][kind], test, text: bad });
    });
  }
}
for (const { id, text } of readCorpus('en_web')) {
  const test = hash32(id, seed) / 2 ** 32 < TEST_SHARE;
  pagesOf(text).forEach((page, i) => {
    pages.push({ id: `${id}/${i}`, kind: 'web', test, text: page });
  });
}

const features: FeatureConfig = featureSchema.parse(JSON.parse(flag('features') ?? '{}'));
const began = performance.now();
const sides = [false, true].map((test) => {
  const side = pages.filter((p) => p.test === test);
  const builder = new RowBuilder(features);
  for (const page of side) builder.add(page.text, page.kind.startsWith('good') ? 1 : 0);
  return { pages: side, rows: builder.rows(2) };
});
const extractSeconds = (performance.now() - began) / 1000;
const [training, held] = sides;
console.error(
  `${training.pages.length} pages, ${training.rows.labels.length} rows to train on, ${held.pages.length} pages held out; features ${extractSeconds.toFixed(1)} s`,
);

mkdirSync(out, { recursive: true });
const kinds = ['shuffled', 'repeated', 'stuffed', 'web'];
for (const [name, { rows, pages: side }] of Object.entries({ train: training, test: held })) {
  writeFileSync(join(out, `${name}.indptr.u32`), rows.starts);
  writeFileSync(join(out, `${name}.indices.u32`), rows.ids);
  writeFileSync(join(out, `${name}.values.f32`), rows.values);
  writeFileSync(join(out, `${name}.labels.i32`), rows.labels);
  writeFileSync(join(out, `${name}.documents.u32`), rows.documents);
  writeFileSync(join(out, `${name}.kinds.json`), JSON.stringify(side.map((p) => p.kind)));
}
writeFileSync(join(out, 'setup.json'), JSON.stringify({ width: training.rows.width, C, kinds }));

if (process.argv.includes('--features-only')) process.exit(0);
const device = await GpuDevice.open();
const fitBegan = performance.now();
const cpuBegan = cpuUsage();
const fit = await fitLinear(device, training.rows, {
  C,
  // Ten times closer than by default, so that what differs from the peer is not where either stopped.
  tolerance: 1e-5,
  onProgress: (step, objective, gradient) => console.error(`step ${step}: objective ${objective.toFixed(6)}, gradient ${gradient.toExponential(1)}`),
});
const fitSeconds = (performance.now() - fitBegan) / 1000;
// Of all threads, the driver's too: it hardly notices what else runs.
const used = cpuUsage(cpuBegan);
const fitCpuSeconds = (used.user + used.system) / 1e6;
const probabilities = documentProbabilities(held.rows, fit).map((p) => p[0]);
writeFileSync(join(out, 'test.scores.f64'), Float64Array.from(probabilities));
const table: Record<string, number> = {};
for (const kind of [...kinds, 'all']) {
  const chosen = held.pages.map((_, i) => i).filter((i) => kind === 'all' || held.pages[i].kind === kind || held.pages[i].kind.startsWith('good'));
  table[kind] = auc(
    chosen.map((i) => probabilities[i]),
    chosen.map((i) => held.pages[i].kind.startsWith('good')),
  );
}
const count = (side: readonly Page[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { kind } of side) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
};
const python = flag('peer');
const peer = python
  ? (JSON.parse(execFileSync(python, [new URL('score-peer.py', import.meta.url).pathname, out], { encoding: 'utf8', maxBuffer: 2 ** 26 })) as unknown)
  : null;
const figures = {
  features,
  C,
  train: count(training.pages),
  test: count(held.pages),
  rows: training.rows.labels.length,
  numbers: training.rows.ids.length,
  extractSeconds,
  fitSeconds,
  fitCpuSeconds,
  steps: fit.steps,
  objective: fit.objective,
  gradient: fit.gradient,
  converged: fit.converged,
  auc: table,
  peer,
};
console.log(JSON.stringify({ device: device.facts.name, ...figures }));
const json = flag('json');
if (json) writeResults(json, 'bench/data/score.ts', figures, { device: device.facts.name });
device.destroy();
