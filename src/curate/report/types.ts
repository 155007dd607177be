/**
 * What a build of data says about itself: `report.json` of its output folder. The runner gathers it, `renderReport`
 * draws it. Plain data and small: counts, histograms and a few examples, never a list as long as the input.
 */

/** What was left of a category behind a step. The first step of the list (`read`) says what came in. */
export interface FunnelRow {
  readonly step: string;
  readonly category: string;
  readonly documents: number;
  /** UTF-8 bytes of the text. */
  readonly bytes: number;
  /** Null where no tokenizer counted at this step. */
  readonly tokens: number | null;
}

/** A document shown as an example. */
export interface ReportExample {
  readonly id: string;
  readonly category: string;
  /** What the rule found. */
  readonly note?: string;
  /** The start of the text; a few hundred characters. */
  readonly text: string;
}

/** A dropped document beside the one that was kept for it. */
export interface DuplicateExample {
  /** The one that was kept. */
  readonly a: ReportExample;
  /** The one that went. */
  readonly b: ReportExample;
  /** Jaccard similarity of their shingles; null where it was not measured. */
  readonly similarity: number | null;
  readonly reason: string;
}

export interface BucketRow {
  readonly bucket: number;
  readonly tokens: number;
  readonly packs: number;
  /** Share of the places of its packs that hold a token, 0 to 1. */
  readonly fill: number;
  /** Tokens by category. */
  readonly mix: Readonly<Record<string, number>>;
}

/** How a scorer did on held-out documents, so that its thresholds can be believed. */
export interface ScorerFacts {
  /** Area under the ROC curve by kind of bad page. */
  readonly auc: Readonly<Record<string, number>>;
}

export interface ScoreHistogram {
  readonly edges: readonly number[];
  readonly counts: readonly number[];
  /** The score below which (`atLeast`) or above which (`atMost`) documents went, if one was asked for. */
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Counts by power of two: `[k]` counts what has from 2^k to 2^(k+1) - 1; `[0]` also counts what is empty. */
export type PowerHistogram = readonly number[];

export interface BuildReport {
  readonly version: 1;
  /** In the order of the steps; one row a step and category, none for sums. */
  readonly funnel: readonly FunnelRow[];
  /** Documents dropped, by reason (`step.rule`). */
  readonly drops: Readonly<Record<string, number>>;
  /** The same by category: `[category][reason]`. */
  readonly dropsByCategory: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Set aside for validation, by category; absent where the build holds nothing out. */
  readonly heldOut?: Readonly<Record<string, { readonly documents: number; readonly bytes: number }>>;
  /** A few dropped documents a reason. */
  readonly examples: Readonly<Record<string, readonly ReportExample[]>>;
  /** What steps did besides dropping: edits, flags. */
  readonly tallies: Readonly<Record<string, number>>;
  readonly histograms: {
    /** Documents as they were read, by characters, by category. */
    readonly length: Readonly<Record<string, PowerHistogram>>;
    /** Those that were kept up to packing. */
    readonly lengthKept?: Readonly<Record<string, PowerHistogram>>;
    /** By name of the score. `counts[i]` lies between `edges[i]` and `edges[i + 1]`: one edge more than counts. */
    readonly scores: Readonly<Record<string, ScoreHistogram>>;
  };
  readonly duplicates: {
    /** Documents that went because another is equal. */
    readonly exact: number;
    /** Documents that went because another is near. */
    readonly near: number;
    readonly clusters: number;
    /** Candidate pairs whose similarity was computed. */
    readonly pairsVerified: number;
    readonly examples: readonly DuplicateExample[];
  };
  readonly buckets: readonly BucketRow[];
  readonly packing: {
    readonly tokensAfterSampling: number;
    readonly tokensPacked: number;
    readonly packs: number;
    /** Share of places that hold a token, 0 to 1. */
    readonly fill: number;
    /** Places of a pack. */
    readonly T: number;
    /** Pieces of documents in the packs, by tokens. */
    readonly lengthHistogram: PowerHistogram;
  };
  readonly compression: {
    readonly tokenizer: string;
    readonly charactersPerToken: Readonly<Record<string, number>>;
  };
  /** Wall seconds by step, under the names of the funnel where it has them. */
  readonly seconds: Readonly<Record<string, number>>;
  /** Null where the host cannot tell. */
  readonly peakRssBytes: number | null;
  readonly scorers?: Readonly<Record<string, ScorerFacts>>;
  /** The recipe as it was run, defaults filled in. */
  readonly config: unknown;
}
