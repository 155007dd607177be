/**
 * The document record that every step of the data pipeline reads and writes: one JSON object a line. A record
 * either has `source` and `target`, or `messages`; scores and tags gather as it goes. Text lives in the record and
 * not beside it, so that any step can run alone on a folder of JSON Lines.
 */

/** One turn of a chat. */
export interface Message {
  readonly role: string;
  content: string;
}

/** A document on its way. Steps may change it in place. */
export interface Doc {
  /** The record's own id, else `path:line`. Not necessarily unique. */
  readonly id: string;
  /** The type of data it belongs to; quotas, bins and the report go by it. */
  category: string;
  lang?: string;
  title?: string;
  /** Read but never learnt (no loss); absent where empty. */
  source?: string;
  /** The text that is learnt. Empty for chats. */
  target: string;
  messages?: Message[];
  /** By name, for example `quality`, `perplexity`. */
  scores?: Record<string, number>;
  tags?: string[];
}

/** Why a document goes. */
export interface Drop {
  /** `step.rule`, for example `clean.too-short`. A closed set a step, since the report counts by it. */
  readonly reason: string;
  /** What was found, for a human: `12 of at least 50 words`. */
  readonly note?: string;
}

/** Counts of what a step did besides dropping: edits, flags. Names are `step.what`. */
export interface Tally {
  count(name: string, by?: number): void;
}

/** A step that looks at one document at a time. Made in every worker from plain configuration; keeps no state between documents. */
export interface MapStep {
  readonly name: string;
  /** The document, perhaps changed in place, or why it goes. May throw: the runner counts `step.failed` and goes on. */
  apply(doc: Doc, tally: Tally): Doc | Drop;
}

/** Tells the two results of `MapStep.apply` apart. */
export function isDrop(result: Doc | Drop): result is Drop {
  return 'reason' in result;
}

/** All text of a document that a rule or a shingle should see: source and target, or the turns of a chat, one under the other. */
export function docText(doc: Doc): string {
  if (doc.messages) return doc.messages.map(({ content }) => content).join('\n');
  return doc.source ? `${doc.source}\n${doc.target}` : doc.target;
}
