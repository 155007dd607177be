/**
 * What page and Worker say to each other: plain data only, since it crosses a thread. Errors travel as values, because
 * what is thrown across loses its kind.
 */

import type { DeviceSpeed, Diagnostic, Phase, Setting, TrialReport } from '../../src/index.ts';

/** An error with the kind that decides what the page advises. */
export interface Failure {
  readonly kind: string;
  readonly message: string;
}

/** How a request ended. */
export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure };

/** What WebGPU gives this page. */
export interface DeviceView {
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** Runs on the CPU. */
  readonly cpu: boolean;
  readonly profile: string;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly subgroups: string | null;
}

/** What the browser lets this page keep, in bytes; null where it gives it no files at all. */
export interface StorageView {
  readonly used: number;
  readonly quota: number;
  /** The browser does not clear it by itself. */
  readonly persisted: boolean;
}

export type RunState = 'new' | 'stopped' | 'running' | 'finished';

/** One run of the list. */
export interface RunEntry {
  readonly name: string;
  /** As the recipe is called. */
  readonly title: string;
  readonly state: RunState;
  /** Of all stages; `steps` 0 where not known yet. */
  readonly done: number;
  readonly steps: number;
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly modified: number;
}

/** A step of training: bits and figures as logged. */
export interface StepPoint {
  readonly step: number;
  /** Nats a label. */
  readonly loss: number;
  readonly rate: number;
  readonly norm: number;
  readonly tokensPerSecond: number;
}

/** A look at held-out text. */
export interface ValidationPoint {
  readonly step: number;
  readonly bits: number;
  /** Bits per byte by category. */
  readonly byCategory: Readonly<Record<string, number>>;
  readonly samples: readonly { readonly prompt: string; readonly text: string }[];
}

/** A stage of a run, as far as it went. */
export interface StageView {
  readonly name: string;
  /** Steps planned; 0 where not known yet. */
  readonly steps: number;
  readonly points: readonly StepPoint[];
  readonly validations: readonly ValidationPoint[];
}

/** A table of results. */
export interface TableView {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Everything of a run that the page shows, read from its folder. */
export interface RunView extends RunEntry {
  readonly recipe: string;
  readonly stages: readonly StageView[];
  /** Once it has finished: before and after. */
  readonly tables: readonly TableView[];
}

/** A stage as planned. */
export interface PlanStage {
  readonly name: string;
  readonly tokens: number;
  readonly steps: number;
  readonly bytes: number | null;
  readonly seconds: number | null;
  readonly problem: string | null;
  readonly remedy: string | null;
}

/** What a recipe would take on this device. */
export interface PlanView {
  readonly device: string;
  readonly parameters: number;
  readonly vocabulary: number;
  readonly stages: readonly PlanStage[];
  /** At the measured peak of this device: a lower bound. */
  readonly seconds: number | null;
  /** Bytes in files, roughly: checkpoints and model folders. */
  readonly storage: number;
  readonly free: number | null;
}

/** What the Worker tells while a run goes. */
export type Message =
  | { readonly kind: 'work'; readonly title: string; readonly detail: string }
  | { readonly kind: 'stage'; readonly stage: string; readonly steps: number; readonly plannedBytes: number }
  | { readonly kind: 'steps'; readonly stage: string; readonly points: readonly StepPoint[]; readonly secondsLeft: number; readonly deviceBytes: number }
  | { readonly kind: 'validation'; readonly stage: string; readonly point: ValidationPoint }
  | { readonly kind: 'saved'; readonly stage: string; readonly step: number }
  | { readonly kind: 'note'; readonly text: string };

export type Listen = (message: Message) => void;

/** How a request to run ended. */
export interface RunEnd {
  readonly finished: boolean;
  /** The step it stands at and where, if it was stopped. */
  readonly stopped: string | null;
}

/** What a visitor chooses of the sample's recipe. */
export interface RecipeChoice {
  readonly steps?: number;
  readonly quick: boolean;
  readonly compare: boolean;
  /** Files of the visitor's own, by path in the page's storage. */
  readonly data: readonly string[];
}

/** A model or a tokenizer that is in the page's storage. */
export interface Place {
  readonly path: string;
  readonly label: string;
}

/** A piece of text as a tokenizer cut it. */
export interface PieceView {
  readonly id: number;
  /** As the vocabulary writes it. */
  readonly piece: string;
  /** What it looks like in the text; empty for a byte of a character that others complete. */
  readonly text: string;
  readonly bytes: boolean;
}

/** A text under one tokenizer. */
export interface Tokenised {
  readonly pieces: readonly PieceView[];
  readonly tokens: number;
  readonly characters: number;
  readonly textBytes: number;
  readonly byteTokens: number;
  readonly vocabulary: number;
}

/** A token that was chosen, and what else it might have been. */
export interface ChosenToken {
  readonly id: number;
  /** Text that became certain with it. */
  readonly text: string;
  readonly piece: string;
  /** The likeliest, before temperature and cuts. */
  readonly top: readonly { readonly piece: string; readonly probability: number }[];
  /** Of the one chosen. */
  readonly probability: number;
}

export interface WriteOptions {
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly repetitionPenalty: number;
  readonly seed: number;
}

/** What is known of a model that is open. */
export interface ModelView {
  readonly path: string;
  readonly parameters: number;
  readonly capacity: number;
  readonly bytes: number;
}

/** The Worker's functions. The page has two of them: one trains, one does everything else meanwhile. */
export interface ScionWorker {
  device(): Promise<Outcome<DeviceView>>;
  /** FLOP/s of a matrix product on this device, measured once; null where it could not be. */
  peak(): Promise<Outcome<number | null>>;
  storage(): Promise<Outcome<StorageView | null>>;
  runs(): Promise<Outcome<readonly RunEntry[]>>;
  view(name: string): Promise<Outcome<RunView>>;
  remove(name: string): Promise<Outcome<null>>;
  /** The YAML of a choice. */
  recipe(choice: RecipeChoice): Promise<Outcome<string>>;
  /** `measured`: with the time it takes, which needs the device's speed. */
  plan(recipe: string, measured: boolean): Promise<Outcome<PlanView>>;
  /** Keeps a visitor's file; gives its path. */
  addFile(name: string, content: Blob): Promise<Outcome<string>>;
  /** Runs a recipe in the folder of that name, or goes on with it. */
  run(name: string, recipe: string | null, listen: Listen): Promise<Outcome<RunEnd>>;
  /** Lets the step under way end and waits, everything kept as it is. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Asks a run under way to stop after its step, saved. */
  stop(): Promise<void>;
  /** Packs the exported model of a run, or the whole run; gives the path of the zip. */
  exportZip(name: string, what: 'model' | 'run'): Promise<Outcome<string>>;
  models(): Promise<Outcome<readonly Place[]>>;
  tokenizers(): Promise<Outcome<readonly Place[]>>;
  tokenise(path: string, text: string): Promise<Outcome<Tokenised>>;
  openModel(path: string): Promise<Outcome<ModelView>>;
  /** Writes on; stops early with `stopWriting`. */
  write(prompt: string, options: WriteOptions, listen: (token: ChosenToken) => void): Promise<Outcome<null>>;
  stopWriting(): Promise<void>;
  closeModel(): Promise<Outcome<null>>;
  kernels(): Promise<Outcome<readonly KernelView[]>>;
  /** What the compiler says of a text; empty if nothing. */
  compileKernel(draft: KernelDraft): Promise<Outcome<readonly Diagnostic[]>>;
  /** Checks a text, and times it if it is right. */
  runKernel(draft: KernelDraft, listen: (phase: Phase) => void): Promise<Outcome<TrialReport>>;
  /** The most this device does, measured. */
  roofs(): Promise<Outcome<RoofView>>;
  /** From now on this Worker trains with the text, once it has been found right; null for the shipped kernels. */
  trainWith(draft: KernelDraft | null): Promise<Outcome<TrialReport | null>>;
}

/** A kernel's text with the setting it is tried at. */
export interface KernelDraft extends Setting {
  readonly kernel: string;
  readonly text: string;
}

/** Operations and bytes a second, and what they were measured on. */
export interface RoofView extends DeviceSpeed {
  readonly device: string;
}

/** A kernel as it is shipped. */
export interface KernelView {
  readonly name: string;
  readonly family: string;
  /** Its opening lines, by name: Purpose, Formula, … */
  readonly header: readonly (readonly [string, string])[];
  readonly text: string;
  /** Others that do the same, the naive one first, this one among them; empty for none. */
  readonly ladder: readonly string[];
  /** By letter: the usual size, and the ugly one that is always checked too. */
  readonly sizes: Readonly<Record<string, readonly [number, number]>>;
  readonly options: Readonly<Record<string, readonly string[]>>;
  readonly dtypes: readonly ('f32' | 'f16')[];
}
