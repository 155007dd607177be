/**
 * Texts that a broken or hostile model might give, long and made to trap patterns that try every way of dividing them: every text metric must answer in time that grows with the text, and with a score.
 */
import { expect, test } from 'vitest';
import { metricFacts } from './index.ts';
import { openQuestion, output, question } from './sample.ts';

const LENGTH = process.env.SCION_TIER === 'full' ? 1_000_000 : 50_000;
const long = (unit: string) => unit.repeat(Math.ceil(LENGTH / unit.length));

const TEXTS: readonly (readonly [name: string, text: string])[] = [
  ['spaces', `answer is${long(' ')}?`],
  ['lines', `The answer${long('\n')}?`],
  ['brackets', long('(')],
  ['quotes', `答案是${long('“')}`],
  ['open formulas', long('\\[')],
  ['dollars', long('$ ')],
  ['braces', `\\boxed${long('{')}`],
  ['fractions', long('\\frac{')],
  ['digits', long('9')],
  ['thousands', long('1,111')],
  ['signs', long('-')],
  ['letters', long('A ')],
  ['cues', long('answer is ')],
  ['equals', long('= ')],
  ['spaced units', long('x \\text ')],
  ['one line', long('x')],
];

/** The Chinese twins walk by the host's own segmenter, and ROUGE's by a table: they are as slow as what they repeat. */
const names = Object.keys(metricFacts).filter((name) => metricFacts[name].reads.some((set) => set.includes('text')) && !/^rouge.*@|_zh_score@/.test(name));

test.each(TEXTS)(
  '%s',
  (name, text) => {
    for (const metric of names) {
      const asked = /choice/.test(metric)
        ? question()
        : /classification/.test(metric)
          ? question({ letters: null, answer: ['Paris'] })
          : openQuestion(/gsm/.test(metric) ? '#### 7' : 'Paragraph 7');
      const begin = performance.now();
      const { score } = metricFacts[metric].metric(asked, output({ text, letterLogits: { A: 0, B: 0, C: 0, D: 0 } }), 'en');
      // Quadratic work on a text of this length would take minutes; a busy machine takes a second or two for what is linear.
      expect(performance.now() - begin, `${metric} on ${name}`).toBeLessThan(10_000);
      if (score !== null) expect(score >= 0 && score <= 1, `${metric}: ${score}`).toBe(true);
    }
  },
  120_000,
);
