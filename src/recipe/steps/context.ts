/** What every step of a run works with, and the results that later steps take from earlier ones. */
import type { DeviceOptions } from '../../gpu/device.ts';
import type { Host } from '../../host/types.ts';
import type { LlamaConfig } from '../../nn/config.ts';
import type { LoraSpec } from '../../nn/lora.ts';
import type { TrainHooks } from '../../train/trainer.ts';
import type { Recipe } from '../schema.ts';

/** One run of a recipe. */
export interface RunContext {
  readonly host: Host;
  readonly recipe: Recipe;
  /** The run folder. */
  readonly dir: string;
  /** The arm that runs, a variation of the recipe on the same base and documents; null for the run itself. */
  readonly arm: string | null;
  readonly version: string;
  readonly device: DeviceOptions;
  readonly workers?: number;
  readonly stop: { requested: boolean };
  /** Watches a stage; its figures are known when it is open. */
  stageHooks?(stage: string, facts: { readonly steps: number; readonly plannedBytes: number }): TrainHooks;
}

/** A step's id, told apart by arm. */
export const armId = ({ arm }: Pick<RunContext, 'arm'>, id: string): string => (arm === null ? id : `${arm}.${id}`);
/** A place below the run folder, told apart by arm. */
export const armPath = ({ arm }: Pick<RunContext, 'arm'>, path: string): string => (arm === null ? path : `arms/${arm}/${path}`);

/** Documents that passed the data pipeline. Paths are below the run folder. */
export interface DocumentsResult {
  /** Globs of document records, one record a line. */
  readonly shards: string;
  /** Held-out documents by category: JSON Lines of records. */
  readonly validation: readonly { readonly category: string; readonly path: string; readonly documents: number; readonly bytes: number }[];
  /** Documents and bytes of text by category, held-out ones not among them. */
  readonly categories: Readonly<Record<string, { readonly documents: number; readonly bytes: number }>>;
  readonly documentsIn: number;
  readonly documentsOut: number;
  readonly drops: Readonly<Record<string, number>>;
  readonly report: string;
  /** Changes with the documents: the key of the build that made them, by the content of every file. */
  readonly fingerprint: string;
}

/** A tokenizer in a folder or file. */
export interface TokenizerResult {
  readonly path: string;
  readonly size: number;
  /** Where its new pieces begin; null if none are new. */
  readonly firstNew: number | null;
}

/** Packs of one stage. */
export interface PacksResult {
  readonly folder: string;
  readonly packs: number;
  readonly trainable: number;
  readonly tokens: number;
  readonly fill: number;
  readonly categories: readonly { readonly category: string; readonly documents: number; readonly tokens: number }[];
  /** SHA-256 over the packed data's own hashes. */
  readonly fingerprint: string;
}

/** Where a model's weights are. */
export interface ModelAt {
  readonly config: LlamaConfig;
  /** A Hugging Face folder, or a checkpoint folder of a stage. */
  readonly kind: 'folder' | 'checkpoint';
  readonly path: string;
  /** A checkpoint's adapters; what it is read as has them added in. */
  readonly lora?: LoraSpec;
  /** Of a checkpoint: the moving average of its weights is what it is read as. */
  readonly average?: true;
  /** Changes when the weights do. */
  readonly key: string;
}
