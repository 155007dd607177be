/**
 * The work that may be sent to a worker of the data pipeline, by name. A task takes plain data and gives plain data;
 * it reads and writes files itself, so that no text travels between threads. Modules are loaded when first asked
 * for: a worker that only hashes does not load the rules.
 */
import type { Host } from '../../host/types.ts';

/** What a task may use beside its input. */
export interface TaskContext {
  readonly host: Host;
  /** Kept for the life of the worker: models, rule sets, indexes, by a key of the caller's making. */
  readonly cache: Map<string, unknown>;
}

export type Task<I = unknown, O = unknown> = (input: I, context: TaskContext) => Promise<O>;

/** Loads tasks by name. Add a line here for a new kind of work. */
export const TASKS: Readonly<Record<string, () => Promise<Task<never>>>> = {
  echo: async () => async (input: unknown) => input,
  'read.survey': async () => (await import('../read/units.ts')).surveyTask,
  'read.unit': async () => (await import('./read-task.ts')).readUnitTask,
  'map.shard': async () => (await import('./map-task.ts')).mapShardTask,
  'validation.rank': async () => (await import('./holdout.ts')).rankTask,
  'validation.split': async () => (await import('./holdout.ts')).splitTask,
  'pack.tokenize': async () => (await import('./pack-tasks.ts')).tokenizeTask,
  'pack.bucket': async () => (await import('./pack-tasks.ts')).bucketTask,
  'sample.shard': async () => (await import('./pack-tasks.ts')).sampleTask,
  'dedup.sketch': async () => (await import('../dedup/sketch.ts')).sketchTask,
  'dedup.verify': async () => (await import('../dedup/verify.ts')).verifyTask,
  'dedup.verdict': async () => (await import('../dedup/verdict.ts')).verdictTask,
};
