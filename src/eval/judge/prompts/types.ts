/**
 * Fields of a set of judge prompts, and the slots that each may use.
 */

/** Slots of each prompt, written `{{slot}}`. */
export const FIELDS = {
  system: [],
  score: ['question', 'answer', 'metric', 'definition', 'steps'],
  scoreReference: ['question', 'answer', 'metric', 'definition', 'steps', 'reference'],
  battle: ['question', 'answer_a', 'answer_b'],
  battleReference: ['question', 'answer_a', 'answer_b', 'reference'],
  rating: ['question', 'answer'],
  ratingReference: ['question', 'answer', 'reference'],
  ratingSecond: ['first_question', 'first_answer', 'question', 'answer'],
  ratingSecondReference: ['first_question', 'first_answer', 'question', 'answer', 'first_reference', 'reference'],
  scoreReminder: [],
  ratingReminder: [],
  winnerReminder: [],
} as const;

/** What a metric of judging asks for, and the steps that a judge takes. */
export interface JudgeMetric {
  readonly definition: string;
  readonly steps: readonly string[];
}

export type JudgePrompts = { readonly [field in keyof typeof FIELDS]: string } & {
  readonly metrics: Readonly<Record<string, JudgeMetric>>;
  /** Metrics that answers of a category are scored by. */
  readonly categories: Readonly<Record<string, readonly string[]>>;
};
