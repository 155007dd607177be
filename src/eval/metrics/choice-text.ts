/**
 * Choices read from generated text ("absolute matching"), alone or together with the letters' logits, and questions with several right options. An answer in which no single option can be
 * told is wrong, not unscored: the model was asked and did not say.
 */
import type { Metric, Question, Scored } from '../types.ts';
import { extractChoice, extractChoices } from './extract.ts';
import { firstTokenAccuracy, rightPlace, unscored } from './letters.ts';

/** Capitals that a question without options of its own may answer with. */
const ANY_LETTER = ['A', 'B', 'C', 'D', 'E', 'F', 'G'];

const lettersOf = (question: Question) => question.letters ?? ANY_LETTER;

/** Accuracy of the option that the text names (`extractChoice`). */
export const singleChoiceAccuracy: Metric = (question, output) => {
  const right = rightPlace(question);
  if (question.letters && typeof right !== 'number') return right;
  if (!question.answer) return unscored('no published answer');
  if (output.text === undefined) return unscored('no text');
  const { letter, why } = extractChoice(output.text, lettersOf(question), question.options);
  const expected = typeof right === 'number' ? question.letters?.[right] : question.answer[0];
  return { score: letter !== null && letter === expected ? 1 : 0, chosen: letter, ...(why ? { why } : {}) };
};

/**
 * What the text names, and where it names no option, the likeliest letter. One answer a question: taking either of the two where right, as the original does, would give a model that guesses
 * two tries.
 */
export const combinedAccuracy: Metric = (question, output, language) => {
  const said = singleChoiceAccuracy(question, output, language);
  return said.chosen === null ? firstTokenAccuracy(question, output, language) : said;
};

/** Letters said and letters right, or why the question cannot be scored. */
function choicesOf(question: Question, text: string | undefined): { said: string[]; right: string[] } | Scored {
  if (!question.answer || question.answer.length === 0) return unscored('no published answer');
  if (text === undefined) return unscored('no text');
  // Publishers write several letters as a list or as one word.
  const right = question.answer.flatMap((a) => (/^[A-Z]+$/.test(a) ? [...a] : [a]));
  return { said: extractChoices(text, lettersOf(question)), right };
}

const chosen = (said: readonly string[]) => (said.length > 0 ? said.join('') : null);

/** The share of the right letters that were named; 0 if any other was (the gaokao's rule for multiple answers). */
export const multiChoiceAccuracy: Metric = (question, output) => {
  const found = choicesOf(question, output.text);
  if (!('said' in found)) return found;
  const said = new Set(found.said);
  const right = new Set(found.right);
  const wrong = [...said].some((letter) => !right.has(letter));
  return { score: wrong ? 0 : said.size / right.size, chosen: chosen([...said].sort()) };
};

/** 1 if exactly the right letters were named (AGIEval's rule). */
export const multiChoiceExact: Metric = (question, output, language) => {
  const partial = multiChoiceAccuracy(question, output, language);
  return { ...partial, score: partial.score === null ? null : partial.score === 1 ? 1 : 0 };
};

/** Several questions on one text, answered by a letter each, in order: the share of places that are right. */
export const orderedChoiceAccuracy: Metric = (question, output) => {
  const found = choicesOf(question, output.text);
  if (!('said' in found)) return found;
  return { score: found.right.filter((letter, i) => found.said[i] === letter).length / found.right.length, chosen: chosen(found.said) };
};
