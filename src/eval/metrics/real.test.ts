/**
 * Metrics on real worked answers: of GSM8K's own solutions and AGIEval's of MATH, how many are read right; said to the wrong question they must score nearly nothing. The twins' counts stand beside, as the price of the original's rules. Needs SCION_DATA.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { metrics } from './index.ts';
import { openQuestion, output } from './sample.ts';

const data = process.env.SCION_DATA;
const folder = `${data}/eval`;

interface Row {
  readonly answer: string;
  readonly other?: { readonly solution?: string };
}

const rows = (file: string): Row[] =>
  readFileSync(`${folder}/${file}`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/** How many of some texts a metric and its twin find right; `shift` gives each text the answer of another question. */
function right(name: string, all: readonly Row[], text: (row: Row) => string, shift = 0): [number, number] {
  const count = (metric: string) =>
    all.reduce(
      (sum, row, i) => sum + (metrics[metric](openQuestion(all[(i + shift) % all.length].answer), output({ text: text(row) }), 'en').score as number),
      0,
    );
  return [count(name), count(`${name}@colossaleval`)];
}

test.skipIf(!data)('GSM8K: 1,000 worked answers', () => {
  const all = rows('gsm8k/train.jsonl');
  const worked = (row: Row, end: string) => row.answer.replace(/<<[^>]*>>/g, '').replace(/\n#### (.*)/, end);
  expect(right('gsm_accuracy', all, (r) => worked(r, '\nThe answer is $1.'))).toEqual([1000, 999]);
  // Without a cue eight answers end in another number.
  expect(right('gsm_accuracy', all, (r) => worked(r, ''))).toEqual([992, 985]);
  // A number of something else behind the answer: the last number is not the answer.
  expect(right('gsm_accuracy', all, (r) => worked(r, '\nThe answer is $$$1.00 for all 3 of them.'))).toEqual([1000, 23]);
  // Neighbours with the same answer, by chance.
  expect(right('gsm_accuracy', all, (r) => worked(r, '\nThe answer is $1.'), 1)[0]).toBeLessThan(15);
});

test.skipIf(!data)('mathematics: solutions of MATH, and references of AGIEval said back', () => {
  const math = rows('agieval/math.jsonl').filter((r) => r.other?.solution);
  const solution = (r: Row) => r.other?.solution as string;
  expect(math).toHaveLength(60);
  expect(right('math_equivalence', math, solution)).toEqual([60, 58]);
  expect(right('math_equivalence', math, solution, 1)[0]).toBeLessThan(3);
  const cloze = [...rows('agieval/math.jsonl'), ...rows('agieval/gaokao-mathcloze.jsonl')];
  expect(right('math_equivalence', cloze, (r) => r.answer)).toEqual([120, 47]);
});
