/**
 * Choices by likelihood: of letters, from the logits of the first answer token or from the loss of each letter, and of option texts, raw, per token, per byte or by what the prompt adds.
 * They need no parsing of prose, so nothing that a model says can fool them; whether it would ever say its choice they do not tell. Of k options that tie
 * exactly, each gets 1/k: a model that cannot tell them apart scores chance, whatever letter its ties would fall on.
 */
import type { Metric, Question, SampleOutput, Scored } from '../types.ts';

/** Places of the right options, told by letter or by the option's own text; null where none is published, or one is not among the options. */
export function rightPlaces(question: Question): number[] | null {
  if (!question.answer || question.answer.length === 0) return null;
  const places = question.answer.map((answer) => {
    const byLetter = question.letters?.indexOf(answer) ?? -1;
    return byLetter >= 0 ? byLetter : (question.options?.indexOf(answer) ?? -1);
  });
  return places.includes(-1) ? null : [...new Set(places)];
}

/** A score that cannot be given, and why. */
export const unscored = (why: string): Scored => ({ score: null, chosen: null, why });

/** The one right place, or why there is none that a choice of one option could meet. */
export function rightPlace(question: Question): number | Scored {
  if (!question.answer) return unscored('no published answer');
  const places = rightPlaces(question);
  if (!places) return unscored('the answer is not among the options');
  return places.length === 1 ? places[0] : unscored('several right answers');
}

/** How options are compared; the names are those of `src/eval/choice.ts`. */
export type OptionMeasure = 'sum' | 'token' | 'byte' | 'gain';

/** What an option costs by a measure; null where that cannot be told. */
function optionCost(option: NonNullable<SampleOutput['options']>[number], measure: OptionMeasure): number | null {
  switch (measure) {
    case 'sum':
      return option.nll;
    case 'token':
      return option.tokens > 0 ? option.nll / option.tokens : null;
    case 'byte':
      return option.bytes > 0 ? option.nll / option.bytes : null;
    case 'gain':
      return option.baselineNll === null ? null : option.nll - option.baselineNll;
  }
}

/** Logits of the question's letters in their order: as given, or minus the loss of each letter; or why there are none. */
export function letterValues(question: Question, output: SampleOutput): number[] | string {
  const letters = question.letters;
  if (!letters || letters.length === 0) return 'no options';
  if (output.letterLogits) {
    const values = letters.map((letter) => output.letterLogits?.[letter]);
    if (values.includes(undefined)) return 'a letter has no logit';
    return values as number[];
  }
  if (output.method !== 'letter-perplexity' || !output.options) return 'no letter logits';
  return output.options.length === letters.length ? output.options.map((o) => -o.nll) : `${output.options.length} losses for ${letters.length} letters`;
}

/** Minus the cost of each option, or why that cannot be told. */
export function optionValues(question: Question, output: SampleOutput, measure: OptionMeasure): number[] | string {
  if (!question.options || question.options.length === 0) return 'no options';
  if (output.options?.length !== question.options.length) return `${output.options?.length ?? 0} losses for ${question.options.length} options`;
  const costs = output.options.map((o) => optionCost(o, measure));
  if (costs.includes(null)) return measure === 'gain' ? 'no baseline' : 'an option of no length';
  return costs.map((cost) => -(cost as number));
}

/** Softmax of finite values. */
export function softmax(values: readonly number[]): number[] {
  const top = Math.max(...values);
  const parts = values.map((v) => Math.exp(v - top));
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.map((p) => p / sum);
}

/** The label of a place: its letter, else its number from 0. */
const label = (question: Question, place: number) => question.letters?.[place] ?? String(place);

/** Scores the greatest of some values; ties share. */
function scoreGreatest(question: Question, values: readonly number[] | string): Scored {
  const right = rightPlace(question);
  if (typeof right !== 'number') return right;
  if (typeof values === 'string') return unscored(values);
  // Minus infinity is a fair value (an impossible option); a NaN or plus infinity is a broken model, never a wrong answer.
  if (values.some((v) => Number.isNaN(v) || v === Infinity)) return unscored('a value is not a number');
  const top = Math.max(...values);
  const best = values.flatMap((v, i) => (v === top ? [i] : []));
  return {
    score: best.includes(right) ? 1 / best.length : 0,
    chosen: label(question, best[0]),
    ...(best.length > 1 ? { why: `${best.length} options tie` } : {}),
  };
}

/** Accuracy of the likeliest letter. */
export const firstTokenAccuracy: Metric = (question, output) => scoreGreatest(question, letterValues(question, output));

/** Probability of the right letter among the letters: exp of minus its cross-entropy. */
export const pplScoreOverChoices: Metric = (question, output) => {
  const right = rightPlace(question);
  if (typeof right !== 'number') return right;
  const values = letterValues(question, output);
  if (typeof values === 'string') return unscored(values);
  const p = softmax(values);
  if (p.some(Number.isNaN)) return unscored('a value is not a number');
  return { score: p[right], chosen: label(question, p.indexOf(Math.max(...p))) };
};

/** Accuracy of the likeliest option text by a measure (raw, per token, per byte, gain over the baseline: Brown et al. 2020, section 2.4). */
export const optionAccuracy =
  (measure: OptionMeasure): Metric =>
  (question, output) =>
    scoreGreatest(question, optionValues(question, output, measure));

/** Probabilities of a question's options: of letters, or of option texts by a measure; null where there are none. Calibration reads them. */
export function probabilities(question: Question, output: SampleOutput, measure: OptionMeasure | 'letter'): number[] | null {
  const values = measure === 'letter' ? letterValues(question, output) : optionValues(question, output, measure);
  if (typeof values === 'string') return null;
  const p = softmax(values);
  return p.some(Number.isNaN) ? null : p;
}
