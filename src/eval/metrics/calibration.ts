/**
 * Whether a model's probabilities mean what they say, and what scores are worth that no model is needed for. Expected calibration error (Naeini et al. 2015) over equal bins of confidence,
 * Brier's score; accuracy of guessing and of always giving the commonest letter.
 */
import { ScionError } from '../../base/errors.ts';
import type { Question, SampleOutput } from '../types.ts';
import { type OptionMeasure, probabilities, rightPlace } from './letters.ts';

/** One answer: how probable the choice was, and whether it was right; the probabilities of all options for Brier's score. */
export interface Confidence {
  readonly probabilities: readonly number[];
  readonly right: number;
}

/** Answers of like confidence. */
export interface CalibrationBin {
  /** Confidences in (low, high]. */
  readonly low: number;
  readonly high: number;
  readonly n: number;
  readonly confidence: number;
  readonly accuracy: number;
}

export interface Calibration {
  readonly n: number;
  /** Mean over answers of |confidence - accuracy| of their bin. */
  readonly ece: number;
  /** Mean squared distance of the probabilities from the truth, summed over options: 0 to 2. */
  readonly brier: number;
  readonly bins: readonly CalibrationBin[];
}

/** Calibration of some answers. @throws ScionError `input` without answers, or where `bins` is no count. */
export function calibration(answers: readonly Confidence[], bins = 10): Calibration {
  if (answers.length === 0 || !Number.isInteger(bins) || bins < 1)
    throw new ScionError('input', `calibration of ${answers.length} answers in ${bins} bins; both must be at least 1`, { answers: answers.length, bins });
  const filled = Array.from({ length: bins }, () => ({ n: 0, confidence: 0, right: 0 }));
  let brier = 0;
  for (const { probabilities: p, right } of answers) {
    const top = Math.max(...p);
    const bin = filled[Math.min(bins - 1, Math.max(0, Math.ceil(top * bins) - 1))];
    // Options that tie for the top share the answer, as in the accuracy.
    const ties = p.filter((x) => x === top).length;
    bin.n++;
    bin.confidence += top;
    bin.right += p[right] === top ? 1 / ties : 0;
    brier += p.reduce((sum, x, i) => sum + (x - (i === right ? 1 : 0)) ** 2, 0);
  }
  const n = answers.length;
  return {
    n,
    ece: filled.reduce((sum, b) => sum + Math.abs(b.confidence - b.right), 0) / n,
    brier: brier / n,
    bins: filled.map((b, i) => ({ low: i / bins, high: (i + 1) / bins, n: b.n, confidence: b.n ? b.confidence / b.n : 0, accuracy: b.n ? b.right / b.n : 0 })),
  };
}

/** Confidences of the samples that have one right option and probabilities; the others are left out. */
export function confidences(
  samples: readonly { readonly question: Question; readonly output: SampleOutput }[],
  measure: OptionMeasure | 'letter',
): Confidence[] {
  return samples.flatMap(({ question, output }) => {
    const right = rightPlace(question);
    const p = probabilities(question, output, measure);
    return typeof right === 'number' && p ? [{ probabilities: p, right }] : [];
  });
}

/** What needs no model. */
export interface Baselines {
  /** Mean of 1 / options. */
  readonly random: number;
  /** Accuracy of always giving the letter that is right most often in these very questions: it has seen the answers, so it is the most that a constant answer could get. */
  readonly majority: number;
  readonly letter: string;
  readonly n: number;
}

/** Baselines of the questions that have one right option of several; null where there are none. */
export function baselines(questions: readonly Question[]): Baselines | null {
  const counts = new Map<string, number>();
  let random = 0;
  let n = 0;
  for (const question of questions) {
    const right = rightPlace(question);
    const options = question.options?.length ?? question.letters?.length ?? 0;
    if (typeof right !== 'number' || options < 2) continue;
    n++;
    random += 1 / options;
    const letter = question.letters?.[right] ?? String(right);
    counts.set(letter, (counts.get(letter) ?? 0) + 1);
  }
  if (n === 0) return null;
  const [letter, most] = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0];
  return { random: random / n, majority: most / n, letter, n };
}
