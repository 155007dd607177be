/**
 * The words of this folder: what is added to a vocabulary, under which rules, and what became of each entry. Types
 * only, so that the parts share them without a cycle.
 */

/** A piece to add, in the form of the vocabulary (`▁` for a space in SentencePiece). In a list, earlier means merged earlier. */
export interface NewPiece {
  readonly text: string;
}

/** The rules of an expansion. */
export interface ExpandOptions {
  /** Rows of the whole vocabulary before padding: base, new pieces and special tokens. Default: whatever the list gives. */
  readonly size?: number;
  /**
   * A piece that merging would not reach. `add` (default): the missing steps between are added below all pieces of the
   * list. `drop`: the piece is left out.
   */
  readonly intermediates?: 'add' | 'drop';
  /** A piece that the base or the list has already. Default `skip`: counted, not added. */
  readonly duplicates?: 'skip' | 'error';
  /** Let in pieces without a character of a new script (`ing`, `2024`, `。` is let in anyway). Old text may then change. */
  readonly anyScript?: boolean;
  /** Tokens that text never becomes (`<|im_start|>`): control pieces, and special tokens of `tokenizer.json`. */
  readonly specials?: readonly string[];
  /** Tokens that are cut out of any text that holds them, old text too: user-defined pieces. */
  readonly userDefined?: readonly string[];
  /** Rows in all become a multiple of this, by rows that no text becomes. */
  readonly padTo?: number;
  /** Texts whose ids must stay as they are: pieces that change them are left out. */
  readonly protect?: readonly string[];
}

/** Why an entry of the list was not added. */
export type DropReason = 'inBase' | 'repeated' | 'oldScript' | 'malformed' | 'unreachable' | 'protected' | 'cut';

/** What became of a list. */
export interface ExpandReport {
  readonly baseSize: number;
  /** Rows in all, padding included. */
  readonly size: number;
  /** Entries of the list. */
  readonly listed: number;
  /** New pieces that text can become: those of the list and the steps between. */
  readonly added: number;
  /** Of `added`: pieces of no list, added so that others are reached. */
  readonly intermediates: number;
  /** Special tokens with their ids. */
  readonly specials: readonly { readonly id: number; readonly text: string; readonly userDefined: boolean }[];
  readonly padding: number;
  /** Entries left out, by reason. */
  readonly dropped: Readonly<Record<DropReason, number>>;
  /** Some of them, at most 20 of each reason. */
  readonly examples: Readonly<Partial<Record<DropReason, readonly string[]>>>;
  /** Scores of the first and the last new piece and the step between (SentencePiece only). */
  readonly scores: { readonly first: number; readonly last: number; readonly step: number } | null;
  /** New pieces by the first script that is new. */
  readonly scripts: Readonly<Record<string, number>>;
  /** What a reader should know, in words. */
  readonly notes: readonly string[];
}

/** Notes what was left out and why. */
export class DropLog {
  readonly counts: Record<DropReason, number> = { inBase: 0, repeated: 0, oldScript: 0, malformed: 0, unreachable: 0, protected: 0, cut: 0 };
  readonly examples: Partial<Record<DropReason, string[]>> = {};

  drop(reason: DropReason, text: string): void {
    this.counts[reason]++;
    this.examples[reason] ??= [];
    const some = this.examples[reason];
    if (some.length < 20) some.push(text.length > 80 ? `${text.slice(0, 80)}…` : text);
  }
}
