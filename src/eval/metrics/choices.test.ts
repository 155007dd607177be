/**
 * Choices by letters, losses and text: values by hand, prose that must not fool the matching, and what no metric may do whatever the data: a model told the answers scores
 * 1, one that guesses and one scored against shuffled labels stay within the interval of chance, one that cannot tell options apart scores chance exactly.
 */
import { describe, expect, test } from 'vitest';
import { Random } from '../../base/random.ts';
import { wilson } from '../interval.ts';
import type { Question, SampleOutput } from '../types.ts';
import { extractChoice } from './extract.ts';
import { metrics } from './index.ts';
import { output, question } from './sample.ts';

const score = (name: string, q: Question, o: Partial<SampleOutput>) => metrics[name](q, output(o), 'en');
const logits = (A: number, B: number, C: number, D: number) => ({ letterLogits: { A, B, C, D } });

describe('letters', () => {
  test('the greatest logit answers, in whatever order the letters stand', () => {
    expect(score('first_token_accuracy', question(), logits(1, 3, 2, 0))).toEqual({ score: 1, chosen: 'B' });
    expect(score('first_token_accuracy', question(), logits(4, 3, 2, 0))).toEqual({ score: 0, chosen: 'A' });
    expect(score('first_token_accuracy', question({ letters: ['D', 'B'], options: ['x', 'y'] }), logits(9, 1, 9, 2)).chosen).toBe('D');
    // A letter of no probability at all is a fair answer, not a fault.
    expect(score('first_token_accuracy', question(), logits(-Infinity, 0, -1, -2)).score).toBe(1);
  });

  test('losses of letters serve as well', () => {
    const options = [3, 1, 2, 4].map((nll) => ({ nll, tokens: 1, bytes: 1, baselineNll: null }));
    expect(score('first_token_accuracy', question(), { method: 'letter-perplexity', options })).toEqual({ score: 1, chosen: 'B' });
    expect(score('first_token_accuracy', question(), { method: 'option-likelihood', options }).why).toBe('no letter logits');
  });

  test('options that tie share the answer', () => {
    expect(score('first_token_accuracy', question(), logits(2, 2, 0, 0)).score).toBe(0.5);
    expect(score('first_token_accuracy', question(), logits(0, 0, 0, 0)).score).toBe(0.25);
    expect(score('first_token_accuracy', question(), logits(2, 0, 2, 0)).score).toBe(0);
  });

  test('probability of the right letter: e^1 of 1 + e + e^2 + e^3', () => {
    const found = score('ppl_score_over_choices', question(), logits(0, 1, 2, 3)).score as number;
    expect(found).toBeCloseTo(Math.E / (1 + Math.E + Math.E ** 2 + Math.E ** 3), 12);
    // Large logits must not overflow: 1000 apart is certain.
    expect(score('ppl_score_over_choices', question(), logits(0, 1000, -1000, 3)).score).toBe(1);
  });

  test.each([
    ['no answer', question({ answer: null }), 'no published answer'],
    ['an answer that is no option', question({ answer: ['E'] }), 'the answer is not among the options'],
    ['several answers', question({ answer: ['A', 'C'] }), 'several right answers'],
    ['no options', question({ letters: null, options: null, answer: ['B'] }), 'the answer is not among the options'],
  ])('%s: not scored, and said why', (_, q, why) => {
    expect(score('first_token_accuracy', q, logits(1, 2, 3, 4))).toEqual({ score: null, chosen: null, why });
  });

  test('a broken model is not scored', () => {
    for (const bad of [Number.NaN, Infinity]) expect(score('first_token_accuracy', question(), logits(1, bad, 0, 0)).score).toBeNull();
    expect(score('ppl_score_over_choices', question(), logits(1, Number.NaN, 0, 0)).score).toBeNull();
    expect(score('first_token_accuracy', question(), { letterLogits: { A: 1, B: 2, C: 3 } }).why).toBe('a letter has no logit');
    expect(score('first_token_accuracy', question(), {}).why).toBe('no letter logits');
  });
});

test('option texts: each measure chooses by its own', () => {
  const q = question({ options: ['aaaaaaaaaa', 'bb', '国国', 'd'] });
  const nll = [6, 3, 5, 4];
  const options = nll.map((n, i) => ({ nll: n, tokens: [4, 1, 5, 2][i], bytes: [10, 2, 6, 1][i], baselineNll: [1, 1, 2, 5][i] }));
  const chosen = (name: string) => score(name, q, { method: 'option-likelihood', options }).chosen;
  expect(chosen('option_accuracy')).toBe('B');
  // 1.5, 3, 1, 2.
  expect(chosen('option_accuracy_per_token')).toBe('C');
  // 0.6, 1.5, 5/6, 4.
  expect(chosen('option_accuracy_per_byte')).toBe('A');
  // 5, 2, 3, -1.
  expect(chosen('option_accuracy_gain')).toBe('D');
  const bare = options.map((o) => ({ ...o, baselineNll: null }));
  expect(score('option_accuracy_gain', q, { options: bare }).why).toBe('no baseline');
  expect(score('option_accuracy', q, { options: options.slice(1) }).why).toBe('3 losses for 4 options');
});

/** What is said, and the letter that it names (null: none, or no single one). Options: Rome, Paris, London, Oslo. */
const SAID: readonly (readonly [text: string, letter: string | null])[] = [
  ['A', 'A'],
  ['A.', 'A'],
  ['(B)', 'B'],
  ['B) because of the river', 'B'],
  ['b', 'B'],
  ['Ｃ', 'C'],
  ['**C**', 'C'],
  ['$\\boxed{B}$', 'B'],
  ['D. Oslo', 'D'],
  ['A: yes', 'A'],
  ['A because it is old', 'A'],
  ['Answer:\nA', 'A'],
  ['The answer is A.', 'A'],
  ['The answer is B, a good choice', 'B'],
  ['Therefore, the answer is (A) Rome.', 'A'],
  ['the correct answer is: (D)', 'D'],
  ['Answer: D. A is wrong.', 'D'],
  ['The answer is not A, it is C', 'C'],
  ['Option A is wrong. Option B is right', 'B'],
  ['A is the answer', 'A'],
  ['I think B', 'B'],
  ['Paris', 'B'],
  ['paris.', 'B'],
  ['A\n\nQuestion: What next?\nAnswer: B', 'A'],
  ['答案：C', 'C'],
  ['正确答案为（C）', 'C'],
  ['选D', 'D'],
  ['不选A，选C', 'C'],
  ['答案是B，因为选项A错误', 'B'],
  ['A选项正确', 'A'],
  // Prose, from here on: no letter is named.
  ['A good answer takes time', null],
  ['A Tale of Two Cities', null],
  ['The answer is a good one', null],
  ['A or B', null],
  ['The answer is A or B', null],
  ['The options are A, B, C and D.', null],
  ['Vitamin C helps', null],
  ['C++ is a language', null],
  ['A-level work', null],
  ["D'Artagnan", null],
  ['B.C. 300', null],
  ['B不正确', null],
  ['ABCD', null],
  ['', null],
];

test.each(SAID)('%j names %s', (text, letter) => {
  expect(extractChoice(text, ['A', 'B', 'C', 'D'], ['Rome', 'Paris', 'London', 'Oslo']).letter).toBe(letter);
});

test('text: a letter, or wrong; the two together answer once', () => {
  expect(score('single_choice_accuracy', question(), { text: 'The answer is B' })).toEqual({ score: 1, chosen: 'B' });
  expect(score('single_choice_accuracy', question(), { text: 'who knows' })).toEqual({ score: 0, chosen: null, why: 'no letter named' });
  expect(score('single_choice_accuracy', question(), {}).score).toBeNull();
  const combined = (text: string, best: 'A' | 'B') =>
    score('combined_single_choice_accuracy', question(), { text, ...(best === 'A' ? logits(2, 1, 0, 0) : logits(1, 2, 0, 0)) });
  expect(combined('who knows', 'B')).toEqual({ score: 1, chosen: 'B' });
  // What is said stands, also where the logits knew better.
  expect(combined('C', 'B')).toEqual({ score: 0, chosen: 'C' });
});

test.each([
  ['ABD', 1, 1, 'ABD'],
  ['A, B and D', 1, 1, 'ABD'],
  ['答案：A、D', 2 / 3, 0, 'AD'],
  ['The answers are A and B.', 2 / 3, 0, 'AB'],
  ['选项A和选项B正确', 2 / 3, 0, 'AB'],
  ['ABCD', 0, 0, 'ABCD'],
  ['A good answer is C', 0, 0, 'C'],
  ['none', 0, 0, null],
])('several right, ABD: %j scores %d, exactly %d', (text, partial, exact, chosen) => {
  for (const answer of [['A', 'B', 'D'], ['ABD']]) {
    const q = question({ answer });
    const found = score('multi_choice_accuracy', q, { text });
    expect(found.score).toBeCloseTo(partial, 12);
    expect(found.chosen).toBe(chosen);
    expect(score('multi_choice_exact', q, { text }).score).toBe(exact);
  }
});

test('answers in order: each place by itself', () => {
  const q = question({ answer: ['B', 'D', 'B'] });
  expect(score('ordered_choice_accuracy', q, { text: 'BDB' }).score).toBe(1);
  expect(score('ordered_choice_accuracy', q, { text: 'B, B, D' }).score).toBeCloseTo(1 / 3, 12);
  expect(score('ordered_choice_accuracy', q, { text: 'B' }).score).toBeCloseTo(1 / 3, 12);
});

/** 2,000 four-choice questions; right answers as uneven as publishers leave them. */
const random = new Random(11);
const many = Array.from({ length: 2000 }, (_, i) => question({ id: `q${i}`, answer: [['A', 'B', 'C', 'D', 'B', 'C'][random.below(6)]] }));

/** What a model that prefers `letter` gives, in every form a metric reads. */
function preferring(letter: string): SampleOutput {
  const value = (l: string) => (l === letter ? 3 : 0) + random.normal() * 0.3;
  const letters = ['A', 'B', 'C', 'D'];
  return output({
    text: ['%', 'The answer is %.', '(%)', '答案：%'][random.below(4)].replace('%', letter),
    letterLogits: Object.fromEntries(letters.map((l) => [l, value(l)])),
    options: letters.map((l) => ({ nll: l === letter ? 1 : 3, tokens: 1, bytes: 1, baselineNll: 1 })),
  });
}

describe.each(
  [
    'first_token_accuracy',
    'single_choice_accuracy',
    'combined_single_choice_accuracy',
    'option_accuracy',
    'option_accuracy_per_token',
    'option_accuracy_per_byte',
    'option_accuracy_gain',
  ].flatMap((name) => (name.startsWith('option') ? [name] : [name, `${name}@colossaleval`])),
)('%s cannot lie', (name) => {
  const total = (pick: (q: Question, i: number) => string, labels = many) =>
    labels.reduce((sum, q, i) => sum + (metrics[name](q, preferring(pick(q, i)), 'en').score as number), 0);

  test('told the answers: all right', () => {
    expect(total((q) => (q.answer as string[])[0])).toBe(many.length);
  });

  test('guessing, and shuffled labels: chance', () => {
    // Of 18 such tests one in twenty would leave a 95 % interval by chance; 4 sigma leaves none, and the seed is fixed.
    const within = (right: number, chance: number) => {
      const [low, high] = wilson(right, many.length, 4);
      expect(chance).toBeGreaterThanOrEqual(low);
      expect(chance).toBeLessThanOrEqual(high);
    };
    within(
      total(() => 'ABCD'[random.below(4)]),
      1 / 4,
    );
    const shuffled = random.shuffle(many.map((q) => q.answer));
    const labels = many.map((q, i) => ({ ...q, answer: shuffled[i] }));
    // Labels 1, 2, 2, 1 of 6: a model that follows the old ones meets the new ones with probability 10/36.
    within(
      total((_, i) => (many[i].answer as string[])[0], labels),
      10 / 36,
    );
  });
});

test('a model that cannot tell options apart scores chance, not the share of its favourite letter', () => {
  const flat = output({ letterLogits: { A: 1, B: 1, C: 1, D: 1 }, options: ['A', 'B', 'C', 'D'].map(() => ({ nll: 2, tokens: 1, bytes: 1, baselineNll: 2 })) });
  for (const name of ['first_token_accuracy', 'option_accuracy', 'option_accuracy_gain'])
    expect(many.reduce((sum, q) => sum + (metrics[name](q, flat, 'en').score as number), 0)).toBe(500);
  const favourite = many.filter((q) => q.answer?.[0] === 'A').length;
  expect(many.reduce((sum, q) => sum + (metrics['first_token_accuracy@colossaleval'](q, flat, 'en').score as number), 0)).toBe(favourite);
});
