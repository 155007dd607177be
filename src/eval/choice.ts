/**
 * Questions with options, answered by likelihood: the option whose text a model finds likeliest after the prompt is its answer. All options of
 * all questions go through `scoreDocuments` together, many in a row. It tells what a model knows without its having to speak, at
 * one forward pass an option; it does not tell whether the model would ever say it.
 *
 * Prompt and option are encoded together, as they stand in text, and what is scored are the ids after the longest beginning that the prompt and
 * all its options share. A tokenizer may join the prompt's end with one option's beginning; all options are then scored from before that place, so
 * that their sums stay comparable.
 */
import { ScionError } from '../base/errors.ts';
import type { Generator } from '../infer/generator.ts';
import { scoreDocuments } from '../infer/score.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { type Interval, wilson } from './interval.ts';

/** A question and what may follow it. */
export interface ChoiceQuestion {
  readonly id: string;
  /** Groups of questions reported apart; the commonest answer is told by category. */
  readonly category: string;
  readonly prompt: string;
  /** What the prompt is replaced by to see how likely an option is anyway; by default nothing. */
  readonly cue?: string;
  /** Texts that follow the prompt, with a leading space where they have one. At least two, all different. */
  readonly options: readonly string[];
  /** Index of the right one. */
  readonly correct: number;
}

/**
 * How options of different lengths compare, all by negative log-likelihood: `sum` as it is, `token` divided by the tokens scored, `byte` divided by the option's UTF-8
 * bytes, `gain` less what the option costs after the bare cue (Brown et al. 2020, section 2.4: it asks what the prompt adds).
 */
export const CHOICE_METHODS = ['sum', 'token', 'byte', 'gain'] as const;
export type ChoiceMethod = (typeof CHOICE_METHODS)[number];

/** What options cost, in the order of the question's options. */
export interface ChoiceScores {
  /** Nats of the option's tokens after the prompt. */
  readonly nll: readonly number[];
  /** Tokens that `nll` sums. */
  readonly tokens: readonly number[];
  /** Nats after the bare cue; empty where that was not asked for. */
  readonly unconditional: readonly number[];
}

/** How a set of questions was answered. */
export interface ChoiceResult {
  readonly n: number;
  readonly correct: number;
  readonly accuracy: number;
  /** 95 % interval of the accuracy (Wilson 1927). */
  readonly interval: Interval;
}

/** All that was found about a set of questions, by the methods that were asked for. */
export interface ChoiceReport<M extends ChoiceMethod = ChoiceMethod> {
  readonly n: number;
  /** Accuracy of guessing: the mean of 1 / options. */
  readonly chance: number;
  readonly methods: Readonly<Record<M, ChoiceResult & { readonly byCategory: Readonly<Record<string, ChoiceResult>> }>>;
  readonly scores: readonly ChoiceScores[];
}

const encoder = new TextEncoder();

/** A text for the model: its ids, and how many of them are given rather than asked for. */
interface Asked {
  readonly ids: readonly number[];
  readonly given: number;
}

/** Encodes a beginning with each of its options; the shared beginning is the longest that all of these and the beginning alone have in common. */
function encodeOptions(tokenizer: Tokenizer, beginning: string, options: readonly string[]): Asked[] {
  const alone = tokenizer.encode(beginning);
  const all = options.map((option) => tokenizer.encode(beginning + option));
  let given = 0;
  while (given < alone.length && all.every((ids) => ids[given] === alone[given])) given++;
  return all.map((ids) => ({ ids, given }));
}

function checkQuestion(q: ChoiceQuestion): void {
  const bad = (what: string): never => {
    throw new ScionError('input', `question ${q.id}: ${what}`, { id: q.id });
  };
  if (q.options.length < 2) bad(`${q.options.length} options; a choice needs at least 2`);
  if (new Set(q.options).size < q.options.length) bad('two of its options are the same');
  if (q.options.includes('')) bad('an option is empty, so there is nothing to score');
  if (!Number.isInteger(q.correct) || q.correct < 0 || q.correct >= q.options.length)
    bad(`the right option is number ${q.correct} of ${q.options.length}; count from 0`);
}

/**
 * What each option of each question costs a model that was opened with `score` (rows hold many questions; the longest should fit one).
 * @throws ScionError `input` for a question without a choice, or an option that a model without a begin mark would have to start with; `usage` as `scoreDocuments`.
 */
export async function scoreChoices(
  model: Generator,
  tokenizer: Tokenizer,
  questions: readonly ChoiceQuestion[],
  unconditional = true,
): Promise<ChoiceScores[]> {
  for (const q of questions) checkQuestion(q);
  const { bosId } = model.config;
  // The same bare option stands in many questions; each text is scored once.
  const documents: (readonly number[])[] = [];
  const numbers = new Map<string, number>();
  const place = (asked: Asked, q: ChoiceQuestion): { document: number; given: number } => {
    if (bosId === null && asked.given === 0)
      throw new ScionError('input', `question ${q.id}: nothing stands before its options, and this model has no begin mark; give a prompt and a cue`, {
        id: q.id,
      });
    const key = asked.ids.join(' ');
    let document = numbers.get(key);
    if (document === undefined) {
      document = documents.push(asked.ids) - 1;
      numbers.set(key, document);
    }
    return { document, given: asked.given };
  };
  const plans = questions.map((q) => ({
    after: encodeOptions(tokenizer, q.prompt, q.options).map((asked) => place(asked, q)),
    bare: unconditional ? encodeOptions(tokenizer, q.cue ?? '', q.options).map((asked) => place(asked, q)) : [],
  }));
  const scores = await scoreDocuments(model, documents, { perToken: true });
  // With a begin mark every id has a value; without one the first has none.
  const skipped = bosId === null ? 1 : 0;
  const sum = ({ document, given }: { document: number; given: number }): number =>
    (scores[document].tokenNll as Float32Array).subarray(given - skipped).reduce((a, b) => a + b, 0);
  return plans.map(({ after, bare }) => ({
    nll: after.map(sum),
    tokens: after.map(({ document, given }) => documents[document].length - given),
    unconditional: bare.map(sum),
  }));
}

/** What a method minimises, for each option. */
export function choiceCosts(q: ChoiceQuestion, scores: ChoiceScores, method: ChoiceMethod): number[] {
  const { nll, tokens, unconditional } = scores;
  switch (method) {
    case 'sum':
      return [...nll];
    case 'token':
      return nll.map((x, i) => x / tokens[i]);
    case 'byte':
      return nll.map((x, i) => x / encoder.encode(q.options[i]).length);
    case 'gain':
      return nll.map((x, i) => x - unconditional[i]);
  }
}

/** Index of the option chosen: of least cost, the first of equals. */
export function chooseOption(q: ChoiceQuestion, scores: ChoiceScores, method: ChoiceMethod): number {
  const costs = choiceCosts(q, scores, method);
  return costs.indexOf(Math.min(...costs));
}

/** Asks a model all questions; every method at once, since they share the scores: `gain` alone costs more, a pass over the bare options. Throws as `scoreChoices`. */
export async function askChoices<M extends ChoiceMethod = ChoiceMethod>(
  model: Generator,
  tokenizer: Tokenizer,
  questions: readonly ChoiceQuestion[],
  methods: readonly M[] = CHOICE_METHODS as readonly ChoiceMethod[] as readonly M[],
): Promise<ChoiceReport<M>> {
  if (questions.length === 0) throw new ScionError('input', 'there are no questions to ask');
  const scores = await scoreChoices(
    model,
    tokenizer,
    questions,
    methods.some((method) => method === 'gain'),
  );
  const result = (right: readonly boolean[]): ChoiceResult => {
    const correct = right.filter(Boolean).length;
    return { n: right.length, correct, accuracy: correct / right.length, interval: wilson(correct, right.length) };
  };
  const of = (method: M): ChoiceReport['methods'][ChoiceMethod] => {
    const right = questions.map((q, i) => chooseOption(q, scores[i], method) === q.correct);
    const categories = [...new Set(questions.map((q) => q.category))];
    return { ...result(right), byCategory: Object.fromEntries(categories.map((c) => [c, result(right.filter((_, i) => questions[i].category === c))])) };
  };
  const chance = questions.reduce((total, q) => total + 1 / q.options.length, 0) / questions.length;
  const found = Object.fromEntries(methods.map((method) => [method, of(method)])) as ChoiceReport<M>['methods'];
  return { n: questions.length, chance, methods: found, scores };
}

/**
 * Accuracy of a model that knows no question, only how often each option is an answer of the category: it takes the commonest. Equal ones share,
 * so the value needs no dice. `counts`: by category, by option text; what is missing counts 0.
 */
export function commonestAnswer(questions: readonly ChoiceQuestion[], counts: ReadonlyMap<string, ReadonlyMap<string, number>>): number {
  let right = 0;
  for (const q of questions) {
    const often = q.options.map((option) => counts.get(q.category)?.get(option) ?? 0);
    const most = Math.max(...often);
    if (often[q.correct] === most) right += 1 / often.filter((n) => n === most).length;
  }
  return right / questions.length;
}
