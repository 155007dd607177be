/**
 * What a step of the data pipeline is: it takes a document and gives it back, or says why it goes. Steps that must see
 * all documents (deduplication, sampling, packing) are not of this kind; they work on folders of shards.
 */
import type { Doc } from '../data/doc.ts';

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
