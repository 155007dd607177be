/**
 * ColossalEval's choice metrics as they are, quirks included (originals.md 7.5 and 12.2): the first capital without small neighbours is the answer, so the article "A" is one; ties go to the first letter;
 * a NaN logit falls back to the text; the combined metric gives two tries.
 */
import type { Metric, Question, SampleOutput } from '../../types.ts';
import { letterValues, rightPlace, rightPlaces, softmax, unscored } from '../letters.ts';

/** Capitals of the option range (A to F without options) with no small letter beside them. */
function capitals(text: string, letters: readonly string[] | null): string[] {
  const range = letters && letters.length > 0 ? `${letters[0]}-${letters[letters.length - 1]}` : 'A-F';
  return text.match(new RegExp(`(?<![a-z])[${range}](?![a-z])`, 'g')) ?? [];
}

/** 1 if the first such capital of the text is the letter of the reference. */
function firstCapital(text: string, reference: string, letters: readonly string[] | null): 0 | 1 {
  const right = new Set(capitals(reference, letters));
  const said = capitals(text, letters)[0];
  return said !== undefined && right.size === 1 && right.has(said) ? 1 : 0;
}

const noAnswer = (question: Question, output: SampleOutput) =>
  !question.answer || question.answer.length === 0 ? unscored('no published answer') : output.text === undefined ? unscored('no text') : null;

export const singleChoiceAccuracy: Metric = (question, output) => {
  const none = noAnswer(question, output);
  if (none) return none;
  const text = output.text as string;
  const score = Math.max(...(question.answer as string[]).map((answer) => firstCapital(text, answer, question.letters)));
  return { score, chosen: capitals(text, question.letters)[0] ?? null };
};

/** 1 if the text up to its first blank line is, letter for letter, the text of the reference's option. */
function optionText(question: Question, text: string, reference: string): 0 | 1 {
  const place = question.letters?.indexOf(reference) ?? -1;
  return place >= 0 && question.options?.[place] === text.split('\n\n')[0] ? 1 : 0;
}

/** Place of the greatest value, the first of equals (numpy's argmax). */
const argmax = (values: readonly number[]) => values.indexOf(Math.max(...values));

export const firstTokenAccuracy: Metric = (question, output) => {
  const right = rightPlace(question);
  if (typeof right !== 'number') return right;
  const values = letterValues(question, output);
  if (typeof values === 'string') return unscored(values);
  const letters = question.letters as string[];
  if (!values.some(Number.isNaN)) {
    const place = argmax(values);
    return { score: place === right ? 1 : 0, chosen: letters[place] };
  }
  const text = output.text ?? '';
  const score = Math.max(firstCapital(text, letters[right], letters), optionText(question, text, letters[right]));
  return { score, chosen: score === 1 ? letters[right] : null, why: 'NaN logits: read from the text' };
};

export const combinedAccuracy: Metric = (question, output, language) => {
  const said = singleChoiceAccuracy(question, output, language);
  if (said.score === null) return said;
  const values = letterValues(question, output);
  if (typeof values === 'string') return unscored(values);
  const places = rightPlaces(question);
  const place = values.some(Number.isNaN) ? -1 : argmax(values);
  const byLogit = places !== null && place === places[0];
  return byLogit ? { score: 1, chosen: question.letters?.[place] ?? null } : said;
};

export const multiChoiceAccuracy: Metric = (question, output) => {
  const none = noAnswer(question, output);
  if (none) return none;
  const said = new Set(capitals(output.text as string, question.letters));
  // Several letters stand in one reference, written together.
  const right = new Set(capitals((question.answer as string[]).join(''), question.letters));
  const wrong = [...said].some((letter) => !right.has(letter));
  return { score: wrong || said.size === 0 ? 0 : said.size / right.size, chosen: said.size > 0 ? [...said].sort().join('') : null };
};

export const pplScoreOverChoices: Metric = (question, output) => {
  const right = rightPlace(question);
  if (typeof right !== 'number') return right;
  const values = letterValues(question, output);
  if (typeof values === 'string') return unscored(values);
  const p = softmax(values);
  return { score: p[right], chosen: question.letters?.[argmax(values)] ?? null };
};
