/**
 * The twins against ColossalEval's definitions: figures that its own packages gave (rouge 1.0.1, fuzzywuzzy 0.18, difflib, jieba 0.42) or that follow from originals.md 7.5 by hand; and each quirk of 12.2 that a metric
 * has, beside what the default makes of it.
 */
import { describe, expect, test } from 'vitest';
import type { Question, SampleOutput } from '../../types.ts';
import { aggregate, metrics, type ScoredSample } from '../index.ts';
import { evalNumber, splitWords } from '../python.ts';
import { openQuestion, output, question } from '../sample.ts';
import { sequenceMatcherRatio } from '../similar.ts';
import { parseAnswer, stripAnswer } from './math.ts';
import { chineseTwins, rougeOfPackage } from './text.ts';

/** Scores of the default and of the twin. */
function both(name: string, q: Question, o: Partial<SampleOutput>): [number | null, number | null] {
  return [metrics[name](q, output(o), 'en').score, metrics[`${name}@colossaleval`](q, output(o), 'en').score];
}

describe('quirks, default beside twin', () => {
  test('8: absolute matching takes the article for an answer', () => {
    const q = question({ answer: ['A'] });
    expect(both('single_choice_accuracy', q, { text: 'A good question! It is C.' })).toEqual([0, 1]);
    expect(both('single_choice_accuracy', question({ answer: ['C'] }), { text: 'A good question! It is C.' })).toEqual([1, 0]);
    // "Vitamin C" is no answer, but the first capital without small neighbours.
    expect(both('single_choice_accuracy', question({ answer: ['C'] }), { text: 'Vitamin C helps' })).toEqual([0, 1]);
    expect(both('multi_choice_accuracy', question({ answer: ['B', 'C'] }), { text: 'A good answer is B and C' })).toEqual([1, 0]);
    // Plain answers are the same to both.
    for (const text of ['B', '(B)', 'The answer is B.', '答案：B']) expect(both('single_choice_accuracy', question(), { text })).toEqual([1, 1]);
  });

  test("8: the range of letters is the options'; A to F without options", () => {
    const q = question({ letters: ['A', 'B'], options: ['x', 'y'] });
    expect(metrics['single_choice_accuracy@colossaleval'](q, output({ text: 'E, so B' }), 'en').score).toBe(1);
    expect(metrics['single_choice_accuracy@colossaleval'](question({ letters: null, options: null }), output({ text: 'E, so B' }), 'en').chosen).toBe('E');
  });

  test('8: numbers with leading zeros fail', () => {
    const q = openQuestion('six times seven #### 42');
    expect(both('gsm_accuracy', q, { text: 'The answer is 042.' })).toEqual([1, 0]);
    expect(both('gsm_accuracy', q, { text: 'The answer is 42.' })).toEqual([1, 1]);
  });

  test('8: classification never reads a misspelling', () => {
    const q = question({ options: ['Description', 'Person'], letters: null, answer: ['Description'] });
    expect(both('classification_score', q, { text: 'Desciption' })).toEqual([1, 0]);
    // Names within names count; case counts; and the name after a removed one is never looked at: A and B both stand in "A B C", only A is removed.
    const nested = (options: string[], answer: string) => question({ options, letters: null, answer: [answer] });
    expect(both('classification_score', nested(['Sport', 'Sport science'], 'Sport'), { text: 'Sport science' })).toEqual([0, 0.5]);
    expect(both('classification_score', nested(['Art'], 'Art'), { text: 'art' })).toEqual([1, 0]);
    expect(metrics['classification_score@colossaleval'](nested(['A', 'B', 'A B C'], 'A B C'), output({ text: 'A B C' }), 'en').score).toBe(1 / 2);
  });

  test('7: the probability of the right letter is divided by questions without options, too', () => {
    const samples = (name: string): ScoredSample[] =>
      [question({ id: '1' }), question({ id: '2', subject: 'cloze', options: null, letters: null, answer: ['7'] }), question({ id: '3' })].map((q) => {
        const o = output({ letterLogits: { A: 0, B: 0, C: 0, D: 0 } });
        return { question: q, output: o, scored: metrics[name](q, o, 'en') };
      });
    const value = (name: string) => aggregate({ name: 't', metric: name }, samples(name));
    expect(value('ppl_score_over_choices').micro?.value).toBe(0.25);
    expect(value('ppl_score_over_choices').unscored.n).toBe(1);
    expect(value('ppl_score_over_choices@colossaleval').micro?.value).toBeCloseTo(0.25 * (2 / 3), 12);
  });

  test('6: per-byte metrics exist for every task, and losses join otherwise', () => {
    const losses = [
      ['a', 6, 2, 8],
      ['a', 10, 10, 30],
      ['b', 4, 4, 10],
    ] as const;
    const value = (name: string) => {
      const samples = losses.map(([subject, nll, tokens, bytes], i) => {
        const q = question({ id: String(i), subject, answer: null });
        const o = output({ loss: { nll, tokens, bytes } });
        return { question: q, output: o, scored: metrics[name](q, o, 'en') };
      });
      return aggregate({ name: 't', metric: name }, samples).micro?.value;
    };
    const { exp } = Math;
    for (const [name, right, original] of [
      ['perplexity', exp(20 / 16), (exp(3) + exp(1) + exp(1)) / 3],
      ['ppl_score', exp(-20 / 16), (exp(-3) + exp(-1) + exp(-1)) / 3],
      ['per_byte_perplexity', exp(20 / 48), (exp(6 / 8) + exp(10 / 30) + exp(4 / 10)) / 3],
      ['per_byte_ppl_score', exp(-20 / 48), (exp(-6 / 8) + exp(-10 / 30) + exp(-4 / 10)) / 3],
      // Subject a: 16/12 with weight 2/3; subject b: 4/4.
      ['loss_over_all_tokens', 20 / 16, (16 / 12) * (2 / 3) + 1 / 3],
    ] as const) {
      expect(value(name), name).toBeCloseTo(right, 12);
      expect(value(`${name}@colossaleval`), name).toBeCloseTo(original, 12);
    }
  });

  test('7.5: a NaN logit falls back to the text; the default does not score it', () => {
    const letterLogits = { A: Number.NaN, B: 1, C: 0, D: 0 };
    expect(both('first_token_accuracy', question(), { letterLogits, text: 'B' })).toEqual([null, 1]);
    expect(both('first_token_accuracy', question(), { letterLogits, text: 'Paris\n\nand so on' })).toEqual([null, 1]);
    expect(both('first_token_accuracy', question(), { letterLogits, text: 'London' })).toEqual([null, 0]);
  });

  test('7.5: ties go to the first letter; combined gives two tries', () => {
    const flat = { A: 1, B: 1, C: 1, D: 1 };
    expect(both('first_token_accuracy', question({ answer: ['A'] }), { letterLogits: flat })).toEqual([0.25, 1]);
    expect(both('first_token_accuracy', question({ answer: ['B'] }), { letterLogits: flat })).toEqual([0.25, 0]);
    const letterLogits = { A: 0, B: 2, C: 0, D: 0 };
    expect(both('combined_single_choice_accuracy', question(), { letterLogits, text: 'C' })).toEqual([0, 1]);
    expect(both('combined_single_choice_accuracy', question({ answer: ['C'] }), { letterLogits, text: 'C' })).toEqual([1, 1]);
  });

  test('7.5: all numbers share, where the default reads the cued or last one', () => {
    expect(both('retrieval_score', openQuestion('Paragraph 12'), { text: 'Of 30 texts, Paragraph 12' })).toEqual([1, 0.5]);
    expect(both('retrieval_score', openQuestion('Paragraph 12'), { text: 'Paragraph 012' })).toEqual([1, 0]);
    expect(both('count_score', openQuestion('7'), { text: 'Of 30 texts, 7' })).toEqual([1, 0.5]);
    expect(both('count_score', openQuestion('7'), { text: 'none' })).toEqual([0, 0]);
  });

  test('7.5: a line of code with # or // anywhere is passed over', () => {
    // Three letters of 3 and 16 agree: 6/19.
    expect(both('code_sim_score', openQuestion('url = "http://a"'), { text: 'url = "http://a"\nurl' })).toEqual([1, 0.32]);
  });

  test('7.5: two empty answers', () => {
    expect(both('f1_score', openQuestion('the'), { text: 'a' })).toEqual([1, 0]);
  });

  test('7.5: mathematics as text', () => {
    expect(both('math_equivalence', openQuestion('0.25'), { text: '$\\frac{1}{4}$' })).toEqual([1, 0]);
    expect(both('math_equivalence', openQuestion('0.5'), { text: '$\\frac{1}{2}$' })).toEqual([1, 1]);
    // From the first dollar of a line to its last.
    expect(both('math_equivalence', openQuestion('2'), { text: '$1$ and $2$' })).toEqual([1, 0]);
    // The reference keeps its dollars, so the true answer of a gaokao cloze is wrong.
    expect(both('math_equivalence', openQuestion('$2$'), { text: '$2$' })).toEqual([1, 0]);
    expect(both('math_equivalence', openQuestion('(3,4]'), { text: '(3,4]' })).toEqual([1, 0]);
  });
});

test.each([
  ['the cat sat on the mat', 'the cat was on the mat', 0.7999999950000002],
  ['A b c. D e f.', 'd e f. a b c', 0.6666666616666668],
  ['one two three', 'four five six', 0],
  ['the the the the', 'the cat', 0.6666666622222223],
  ['Rivers run to the sea. The sea is never full.', 'All rivers run into the sea, yet the sea is not full.', 0.4999999950500001],
  ['a', 'a', 0.999999995],
  ['naïve café', 'naive café', 0.4999999950000001],
  ['x. . y', 'x y', 0.7999999952000001],
  ['', 'a', 0],
  ['. .', 'a b', 0],
  [`${'word '.repeat(30)}end`, 'word end word', 0.4999999950000001],
])('ROUGE-L of %j and %j: the package rouge', (said, right, expected) => {
  expect(rougeOfPackage(said, right)).toBeCloseTo(expected, 14);
});

test.each([
  ['return x+1', 'return x + 1', 0.9090909090909091, 0.91],
  ['for i in range(10):', 'for j in range(n):', 0.8648648648648649, 0.86],
  ['abcd', 'bcde', 0.75, 0.75],
  ['qabxcd', 'abycdf', 0.6666666666666666, 0.67],
  ['private Thread currentThread;', 'private volatile Thread currentThread;', 0.8656716417910447, 0.87],
  [`${'ab'.repeat(120)}xyz`, `xyz${'ab'.repeat(120)}`, 0.012345679012345678, 0.01],
  [
    Array.from({ length: 230 }, (_, i) => String.fromCharCode(97 + ((i * 7) % 26))).join(''),
    Array.from({ length: 260 }, (_, i) => String.fromCharCode(97 + ((i * 11) % 26))).join(''),
    0.004081632653061225,
    0,
  ],
  ['', 'a', 0, 0],
  ['tide', 'diet', 0.25, 0.25],
  ['水稻', '稻水', 0.5, 0.5],
  ['ababababab', 'babababa', 0.8888888888888888, 0.89],
])('likeness of %j and %j: difflib and fuzzywuzzy', (a, b, ratio, percent) => {
  expect(sequenceMatcherRatio(a, b)).toBeCloseTo(ratio, 14);
  expect(metrics['code_sim_score@colossaleval'](openQuestion(b), output({ text: a }), 'en').score).toBe(percent);
});

/** Texts, and the words that jieba 0.42.1 cuts them into; F1 and ROUGE-L of the original's code over these words. */
test.each([
  ['北京|是|中国|的|首都|。', '中国|的|首都|是|北京', 1, 0.5454545404958678],
  ['水稻|每年|可以|种|两季', '水稻|一年|两季|，|亩产|800|公斤', 0.3636363636363636, 0.33333332847222225],
  ['他|来自|Ａ|Ｂ|Ｃ|公司', '他|来自|ABC|公司', 0.6, 0.5999999952],
  ['不|知道', '小明|和小红', 0, 0],
])('Chinese over the words of jieba: %j and %j', (a, b, f1, rouge) => {
  const words = new Map([a, b].map((cut) => [cut.replaceAll('|', ''), cut.split('|')]));
  const twins = chineseTwins((text) => words.get(text) ?? []);
  const [said, right] = [...words.keys()];
  expect(twins.f1_zh_score(openQuestion(right), output({ text: said }), 'zh').score).toBeCloseTo(f1, 14);
  expect(twins.rouge_zh_score(openQuestion(right), output({ text: said }), 'zh').score).toBeCloseTo(rouge, 14);
  // Without jieba the host cuts: another number, but one of the same kind.
  const host = metrics['f1_zh_score@colossaleval'](openQuestion(right), output({ text: said }), 'zh').score as number;
  expect(Math.abs(host - f1)).toBeLessThan(0.5);
});

test('SQuAD F1 by hand', () => {
  const f1 = (said: string, right: string) => metrics['f1_score@colossaleval'](openQuestion(right), output({ text: said }), 'en').score;
  expect(f1('The cat sat on the mat!', 'a cat was on a mat')).toBeCloseTo(3 / 4, 12);
  expect(f1('x x y', 'x y y')).toBeCloseTo(2 / 3, 12);
  // Only ASCII punctuation goes: “x” keeps its quotes.
  expect(f1('“x”', 'x')).toBe(0);
});

test('answers of mathematics, step by step', () => {
  for (const [text, answer] of [
    ['so \\boxed{x = \\frac12}', '\\frac12'],
    ['\\boxed{', null],
    ['\\boxed 5', null],
    ['$a$ then $b = 3$', '3'],
    ['x = 5.', '5'],
    ['x =', ''],
    ['take 3 or 4.5 apples', '4.5'],
    ['3rd of 10', '10'],
    ['none', null],
  ] as const)
    expect(parseAnswer(text), text).toBe(answer);
  for (const [text, form] of [
    ['\\dfrac 12', '\\frac{1}{2}'],
    ['\\frac1{72}', '\\frac{1}{72}'],
    ['\\sqrt3', '\\sqrt{3}'],
    ['\\frac', null],
    ['\\sqrt', null],
    ['x=.5', '.5'],
    ['.5', '\\frac{1}{2}'],
    ['12/7', '\\frac{12}{7}'],
    ['012/7', '012/7'],
    ['5 \\text{ cm}', '5'],
    ['5^\\circ', '5'],
    ['50\\%', '50'],
    ['\\left( 3 \\right]', '(3]'],
    ['\\text{ a }\\text{ b }', null],
    ['', ''],
  ] as const)
    expect(stripAnswer(text), text).toBe(form);
});

test.each([
  ['#### 18', 'She earns 9 * 2 = $18. The answer is 18.', 1],
  ['#### 18', 'The answer is 18.00', 1],
  ['#### 18', '18\n\nQuestion: 19', 1],
  ['#### 18', '18\nQuestion: 19', 1],
  // After an equals sign wins over what comes last.
  ['#### 18', 'The answer is 9*2 = 18 for 3 days', 1],
  ['#### 3', 'The answer is 9*2 = 18 for 3 days', 0],
  ['#### 1,234', '1234', 1],
  ['#### 2.5', '2.50', 1],
  // One ending is taken off, and Python reads 18.0; 18.0.1 it cannot.
  ['#### 18', '18.0.0', 1],
  ['#### 18', '18.0.1', 0],
  ['#### 18', 'none', 0],
  ['#### 9007199254740993', '9007199254740992', 0],
])('GSM8K %j: %j scores %d', (right, text, expected) => {
  expect(metrics['gsm_accuracy@colossaleval'](openQuestion(right), output({ text }), 'en').score).toBe(expected);
});

test('Python: literals and words', () => {
  expect(['5', '00', '-7', '05.5', '5.'].map(evalNumber)).toEqual([5n, 0n, -7n, 5.5, 5]);
  for (const bad of ['05', '', '1.2.3', '-', '.']) expect(evalNumber(bad), bad).toBeNull();
  expect(splitWords('\u001cx\u0085y\u3000z\ufeff ')).toEqual(['x', 'y', 'z\ufeff']);
});
