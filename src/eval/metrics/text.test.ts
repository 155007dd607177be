/**
 * Text metrics against numbers that other programs gave (rouge-score 0.1.2, rapidfuzz, scikit-learn) or that were worked out by hand; Chinese by hand, since other programs cut it into words.
 */
import { describe, expect, test } from 'vitest';
import { metrics } from './index.ts';
import { finalNumber, numbersIn, readDecimal } from './numbers.ts';
import { openQuestion, output, question } from './sample.ts';
import { indelRatio } from './similar.ts';

const score = (name: string, text: string, ...right: string[]) => metrics[name](openQuestion(...right), output({ text }), 'en').score as number;

test.each([
  ['the cat sat on the mat', 'the cat was on the mat', 0.8333333333333334],
  ['A b c. D e f.', 'd e f. a b c', 0.5],
  ['one two three', 'four five six', 0],
  ['the the the the', 'the cat', 0.3333333333333333],
  ['Rivers run to the sea. The sea is never full.', 'All rivers run into the sea, yet the sea is not full.', 0.7272727272727272],
  ['a', 'a', 1],
  ['x. . y', 'x y', 1],
  ['', 'a', 0],
  [`${'word '.repeat(30)}end`, 'word end word', 0.1176470588235294],
])('ROUGE-L of %j and %j: rouge-score', (said, right, expected) => {
  expect(score('rouge_score', said, right)).toBeCloseTo(expected, 12);
});

test('letters of every script are words, where rouge-score knows ASCII only (0.4 there)', () => {
  // One of two words agrees.
  expect(score('rouge_score', 'naïve café', 'naive café')).toBe(0.5);
});

test.each([
  // 9 of 9 characters in the other order: the longest common run is 中国的首都 (5), and 是 or 北京 beside it.
  ['rouge_zh_score', '北京是中国的首都。', '中国的首都是北京', (2 * 5) / 16],
  ['f1_zh_score', '北京是中国的首都。', '中国的首都是北京', 1],
  // Latin words whole, full width made plain: 他 来 自 abc 公 司.
  ['f1_zh_score', '他来自ＡＢＣ公司', '他来自abc公司', 1],
  // 水 稻 年 两 季 of 9 and 12 tokens (水 稻 一 年 两 季 亩 产 800 公 斤 are 11).
  ['f1_zh_score', '水稻每年可以种两季', '水稻一年两季，亩产800公斤', (2 * 5) / (9 + 11)],
  ['rouge_zh_score', '水稻每年可以种两季', '水稻一年两季，亩产800公斤', (2 * 5) / (9 + 11)],
  ['f1_zh_score', '不知道', '小明', 0],
])('%s of %j and %j', (name, said, right, expected) => {
  expect(score(name, said, right)).toBeCloseTo(expected, 12);
});

test('F1 in English: SQuAD by hand, the best of several answers, and the language of the task', () => {
  // {cat, sat, on, mat} and {cat, was, on, mat}: articles go, 3 of 4 and 4.
  expect(score('f1_score', 'The cat sat on the mat!', 'a cat was on a mat')).toBeCloseTo(3 / 4, 12);
  expect(score('f1_score', 'x x y', 'x y y')).toBeCloseTo(2 / 3, 12);
  expect(score('f1_score', 'Paris', 'Rome', 'paris.')).toBe(1);
  // An answer of articles alone says nothing, and so does the reference.
  expect(score('f1_score', 'the', 'a')).toBe(1);
  expect(score('f1_score', '', 'x')).toBe(0);
  expect(metrics.f1_score(openQuestion('中国的首都是北京'), output({ text: '北京是中国的首都。' }), 'zh').score).toBe(1);
});

test('exact match: white space only; quasi exact: case, punctuation and articles too', () => {
  expect(score('exact_match', ' Paris \n', 'Paris')).toBe(1);
  expect(score('exact_match', 'paris', 'Paris')).toBe(0);
  expect(score('quasi_exact_match', 'The Paris.', 'paris')).toBe(1);
  expect(score('quasi_exact_match', 'Paris, France', 'paris')).toBe(0);
  expect(metrics.quasi_exact_match(openQuestion('北京'), output({ text: '“北 京”。' }), 'zh').score).toBe(1);
});

test.each([
  ['return x+1', 'return x + 1', 0.9090909090909091],
  ['for i in range(10):', 'for j in range(n):', 0.8648648648648649],
  ['abxcd', 'abcd', 0.8888888888888888],
  ['private Thread currentThread;', 'private volatile Thread currentThread;', 0.8656716417910448],
  [`${'ab'.repeat(120)}xyz`, `xyz${'ab'.repeat(120)}`, 0.9876543209876543],
  ['', 'a', 0],
  ['tide', 'diet', 0.5],
  ['水稻', '稻水', 0.5],
])('likeness of %j and %j: rapidfuzz', (a, b, expected) => {
  expect(indelRatio(a, b)).toBeCloseTo(expected, 12);
  expect(indelRatio(b, a)).toBeCloseTo(expected, 12);
});

test('code: the first line of it', () => {
  expect(score('code_sim_score', '```python\n# comment\n\nreturn x\nmore', 'return x')).toBe(1);
  expect(score('code_sim_score', '#include <a>', '#include <a>')).toBe(1);
  expect(score('code_sim_score', '// only\n// comments', 'x')).toBe(0);
  expect(score('code_sim_score', '', '')).toBe(1);
});

describe('classes', () => {
  const q = question({ options: ['Sport', 'Sport science', 'Art', 'Description'], letters: null, answer: ['Sport'] });
  const of = (text: string) => metrics.classification_score(q, output({ text }), 'en');
  test('one name, or a share of several', () => {
    expect(of('Sport').score).toBe(1);
    expect(of('it is sport').score).toBe(1);
    expect(of('sport or art').score).toBe(0.5);
    expect(of('Art').score).toBe(0);
  });
  test('a name within another one found is none of its own', () => {
    expect(of('Sport science').score).toBe(0);
    expect(of('sport science, not sport').score).toBe(0.5);
  });
  test('a misspelling is read, a guess is not', () => {
    expect(of('Spport')).toEqual({ score: 1, chosen: 'Sport', why: 'read as a misspelling' });
    expect(metrics.classification_score({ ...q, answer: ['Description'] }, output({ text: 'Desciption' }), 'en').score).toBe(1);
    expect(of('no idea at all').why).toBe('no class named');
    expect(of('').score).toBe(0);
  });
});

test('retrieval and count', () => {
  expect(score('retrieval_score', 'Paragraph 12', 'Paragraph 12')).toBe(1);
  expect(score('retrieval_score', 'Of 30 texts it is paragraph 12.', 'Paragraph 12')).toBe(1);
  expect(score('retrieval_score', 'Paragraph 12 or Paragraph 3', 'Paragraph 12')).toBe(0.5);
  expect(score('retrieval_score', '12', 'Paragraph 12')).toBe(1);
  expect(score('retrieval_score', '012', 'Paragraph 12')).toBe(1);
  expect(score('retrieval_zh_score', '段落１２', '段落12')).toBe(1);
  expect(score('retrieval_score', 'none', 'Paragraph 12')).toBe(0);
  expect(metrics.retrieval_score(openQuestion('twelve'), output({ text: '12' }), 'en').score).toBeNull();
  expect(score('count_score', 'There are 5 unique texts', '5')).toBe(1);
  expect(score('count_score', 'Of 30 texts 7 differ. The answer is 7', '7')).toBe(1);
  expect(score('count_score', 'Of 30 texts 7 differ, 8 do not', '7')).toBe(0);
});

test.each([
  ['The answer is 18 dollars for 3 days.', '18'],
  ['The answer is 3 + 4 = 7.', '7'],
  ['He has 3 + 4 = 7 apples', '7'],
  ['#### 1,234', '1,234'],
  ['The answer is $1,234.50.', '1,234.50'],
  ['it is -5', '-5'],
  ['about −7 degrees', '-7'],
  ['7-4', '4'],
  ['5 - 3', '3'],
  ['x\nQuestion: and 4?', null],
  ['Total: 12.', '12'],
  ['costs $ 5', '5'],
  ['the answer is (-3)', '-3'],
  ['1,2,3', '3'],
  ['答案是42个', '42'],
  ['no number', null],
])('the number that %j ends in is %s', (text, number) => {
  expect(finalNumber(text)).toBe(number);
});

test('numbers: written otherwise, the same; gibberish of digits costs nothing', () => {
  for (const [a, b] of [
    ['007', '7'],
    ['7.00', '7'],
    ['1,234', '1234'],
    ['.5', '0.50'],
    ['-0', '0'],
    ['+3', '3'],
    ['5.', '5'],
  ])
    expect(readDecimal(a)).toEqual(readDecimal(b));
  for (const none of ['', '.', '1.2.3', '1,23', 'x', '--1', '1e5', '9'.repeat(5000)]) expect(readDecimal(none), none).toBeNull();
  expect(numbersIn('a-1, b(-2) 3.5.')).toEqual(['1', '-2', '3.5']);
});

test.each([
  ['3 + 4 = 7\nThe answer is 7', '… #### 7', 1],
  ['The answer is 007.', '#### 7', 1],
  ['The answer is $1,250.00.', '#### 1250', 1],
  ['The answer is 1250.5', '#### 1250', 0],
  ['The answer is 7.\n\nQuestion: more?\nThe answer is 8.', '#### 7', 1],
  ['I do not know', '#### 7', 0],
  ['#### -7', '#### -7', 1],
])('GSM8K: %j against %j scores %d', (text, right, expected) => {
  expect(score('gsm_accuracy', text, right)).toBe(expected);
});

test('a reference without a number is not scored', () => {
  expect(metrics.gsm_accuracy(openQuestion('none'), output({ text: '7' }), 'en')).toEqual({ score: null, chosen: null, why: 'the reference holds no number' });
});

test.each([
  ['The answer is $\\boxed{\\frac12}$.', '0.5', 1],
  ['$\\frac{1}{2}$', '\\frac12', 1],
  ['so x = 3', '3', 1],
  ['(3,4]', '(3,4]', 1],
  ['the interval is $(3, 4]$', '(3,4]', 1],
  ['$1$ and $2$', '2', 1],
  ['It is 1,000 dollars', '1000', 1],
  ['x=\\sqrt3', '\\sqrt{3}', 1],
  ['\\dfrac{\\sqrt 2}{2}', '\\frac{\\sqrt{2}}{2}', 1],
  ['5\\text{ cm}', '5', 1],
  ['50\\%', '50', 1],
  ['90^\\circ', '90', 1],
  ['x^{2}', 'x^2', 1],
  ['-\\frac{1}{4}', '-0.25', 1],
  ['\\boxed{\\frac{1}{3}}', '0.33', 0],
  ['\\boxed 5', '5', 1],
  ['\\boxed{x = \\frac{3}{4}}', '\\frac34', 1],
  ['\\boxed{1} no, \\boxed{2}', '2', 1],
  ['Answer: 12\n\nProblem: what\nAnswer: 13', '12', 1],
  ['答案是5;10', '$5$;$10$', 1],
  ['5；10', '$5$;$10$', 1],
  ['10;5', '$5$;$10$', 0],
  ['(1, 2)', '(1,2)', 1],
  ['(2, 1)', '(1,2)', 0],
  ['12', '(1,2)', 0],
  ['2', '3', 0],
  ['The answer is even.', '\\text{even}', 1],
  ['\\text{odd}', '\\text{even}', 0],
  ['x - 3z = 0', 'x - 3z = 0', 1],
  ['0', 'x - 3z = 0', 0],
  ['$x^2+y^2=2$', '$x^{2}+y^{2}=2$', 1],
  ['2', '$x^{2}+y^{2}=2$', 0],
  ['分层抽样', '分层抽样.', 1],
  ['', '3', 0],
  ['\\boxed{', '3', 0],
  ['\\frac', '3', 0],
])('mathematics: %j against %j scores %d', (said, right, expected) => {
  expect(score('math_equivalence', said, right)).toBe(expected);
});

test('an unpublished answer is not scored, an empty text is wrong', () => {
  for (const name of ['exact_match', 'f1_score', 'rouge_score', 'math_equivalence', 'gsm_accuracy', 'count_score', 'code_sim_score']) {
    expect(metrics[name](openQuestion(), output({ text: 'x' }), 'en').score, name).toBeNull();
    expect(metrics[name]({ ...openQuestion('7'), answer: null }, output({ text: 'x' }), 'en').score, name).toBeNull();
    expect(metrics[name](openQuestion('7'), output({}), 'en').score, name).toBeNull();
    expect(metrics[name](openQuestion('7'), output({ text: '' }), 'en').score, name).toBe(0);
  }
});
