/**
 * What page and Worker say to each other: plain data only, since it crosses a thread. Errors travel as values, because
 * what is thrown across loses its kind.
 */
import type { SampleSize } from '../../src/index.ts';

/** An error with the kind that decides what the page advises. */
export interface Failure {
  readonly kind: string;
  readonly message: string;
}

/** How a request ended. */
export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure };

/** What the Worker finds before anything is asked of it. */
export interface Outlook {
  readonly device: { readonly name: string; readonly cpu: boolean };
  /** A run of an earlier visit that can be gone on with. */
  readonly saved: { readonly size: SampleSize; readonly step: number } | null;
}

/** A point of a curve; bits per byte of text after so many steps. */
export type Point = readonly [step: number, bits: number];

/** Continuations of the prompts at one moment. */
export interface Answers {
  readonly step: number;
  readonly texts: readonly string[];
}

/** A prompt of the table. */
export interface Prompt {
  readonly lang: string;
  readonly prompt: string;
  readonly answer: string;
}

/** What is known once a run is open. */
export interface RunFacts {
  readonly device: string;
  readonly steps: number;
  readonly step: number;
  readonly ngram: number;
  readonly parameters: number;
  readonly model: string;
  readonly plannedBytes: number;
  readonly trainBytes: number;
  readonly heldBytes: number;
  readonly prompts: readonly Prompt[];
  /** Of the run so far. */
  readonly train: readonly Point[];
  readonly held: readonly Point[];
  readonly before: Answers | null;
  readonly latest: Answers | null;
  /** Why nothing is saved, where this browser has no storage. */
  readonly unsaved: string | null;
}

/** What the Worker tells while it works. */
export type Message =
  | { readonly kind: 'stage'; readonly text: string }
  | { readonly kind: 'open'; readonly facts: RunFacts }
  | {
      readonly kind: 'steps';
      readonly points: readonly Point[];
      readonly step: number;
      readonly loss: number;
      readonly tokensPerSecond: number;
      readonly secondsLeft: number;
    }
  | { readonly kind: 'held'; readonly point: Point }
  | { readonly kind: 'answers'; readonly answers: Answers }
  | { readonly kind: 'saved'; readonly step: number }
  | { readonly kind: 'note'; readonly text: string };

export type Listen = (message: Message) => void;

/** How training ended. */
export interface TrainEnd {
  readonly step: number;
  readonly finished: boolean;
}

/** The Worker's functions. */
export interface TrainWorker {
  look(): Promise<Outcome<Outlook>>;
  /** Trains a run of this size: goes on with what is open or saved, or begins. */
  train(size: SampleSize, listen: Listen): Promise<Outcome<TrainEnd>>;
  /** Closes the run and deletes what is saved of it. */
  clear(): Promise<Outcome<null>>;
  /** Asks a run under way to stop after its step, saved. */
  stop(): void;
  /** Writes on after a prompt; not while training. */
  write(prompt: string, listen: (text: string) => void): Promise<Outcome<null>>;
}
