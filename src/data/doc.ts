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

/** All text of a document that a rule or a shingle should see: source and target, or the turns of a chat, one under the other. */
export function docText(doc: Doc): string {
  if (doc.messages) return doc.messages.map(({ content }) => content).join('\n');
  return doc.source ? `${doc.source}\n${doc.target}` : doc.target;
}
