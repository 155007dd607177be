/**
 * What passes between the parts of an evaluation: tasks make prompts of questions, the engine gives what a model did with each, metrics score
 * that. Plain data throughout, so that a sample can be written to a file, read back after a kill, and scored again under another
 * metric without a model.
 */

/** The language a metric reads text in. */
export type Language = 'en' | 'zh';

/** One question as its publisher gives it. */
export interface Question {
  /** Unique in its task and stable: subject/split/row. */
  readonly id: string;
  readonly subject: string;
  readonly group: string | null;
  readonly file: string;
  readonly line: number;
  /** Named fields that a prompt may use: question, passage, context, … */
  readonly fields: Readonly<Record<string, string>>;
  /** Texts of the options. */
  readonly options: readonly string[] | null;
  /** Their letters, 'A' and on. */
  readonly letters: readonly string[] | null;
  /** Letters for choice questions (several for multi-answer), reference texts otherwise; null where unpublished. */
  readonly answer: readonly string[] | null;
  /** Multi-turn questions: the user's turns. */
  readonly turns: readonly string[] | null;
}

/** A question made ready for a model. */
export interface Prompted {
  readonly question: Question;
  /** Few-shot text that questions of one subject share ('' at zero shot), and the question's own text: the prompt is prefix + body. */
  readonly prefix: string;
  readonly body: string;
  /** Continuations whose likelihood is compared, in the order of `question.options`; null for generation. */
  readonly continuations: readonly string[] | null;
  /** Unconditional prompt for the baseline of option likelihood ('' or the answer cue). */
  readonly baseline: string;
  readonly stop: readonly string[];
  readonly maxNewTokens: number;
}

/** What is asked of a model. */
export type Method = 'letters' | 'letter-perplexity' | 'option-likelihood' | 'generate' | 'target-loss' | 'text-loss';

/** What a model gave on one question; a line of samples.jsonl. Losses in nats. */
export interface SampleOutput {
  readonly id: string;
  readonly task: string;
  readonly subject: string;
  readonly promptSha256: string;
  readonly method: Method;
  /** Greatest logit of the ids that each letter can take. */
  readonly letterLogits?: Readonly<Record<string, number>>;
  readonly options?: readonly { readonly nll: number; readonly tokens: number; readonly bytes: number; readonly baselineNll: number | null }[];
  readonly text?: string;
  readonly loss?: { readonly nll: number; readonly tokens: number; readonly bytes: number };
  readonly finish?: 'stop' | 'length' | 'eos';
}

/** A score in [0, 1] (null: cannot be scored, counted apart) and the choice that was seen. */
export interface Scored {
  readonly score: number | null;
  readonly chosen: string | null;
  readonly why?: string;
}

/** Turns a question and what a model gave into a score. */
export type Metric = (question: Question, output: SampleOutput, language: Language) => Scored;
