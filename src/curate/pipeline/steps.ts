/**
 * The steps that look at one document at a time, made in a worker from plain configuration. A version is raised when a step
 * gives other results than before, so that a build that is gone on with does that step, and those behind it, again.
 */
import type { Doc } from '../../data/doc.ts';
import { type Drop, isDrop, type MapStep, type Tally } from '../step.ts';
import type { TaskContext } from './tasks.ts';

/** A step as it is sent to a worker. */
export type StepSpec =
  | { readonly name: 'clean'; readonly config: unknown }
  | { readonly name: 'decontaminate'; readonly config: unknown }
  | { readonly name: 'score'; readonly config: unknown }
  /** Applies what deduplication found on this very shard; the first step of its group. */
  | { readonly name: 'dedup'; readonly verdict: string };

export const STEP_VERSIONS = { read: 1, clean: 1, dedup: 1, decontaminate: 1, score: 1, validation: 1, tokenize: 2, sample: 1, pack: 1 } as const;

async function verdictStep(path: string, { host }: TaskContext): Promise<MapStep> {
  const { applyVerdict, readVerdict } = await import('../dedup/index.ts');
  const verdict = await readVerdict(host.files, path);
  let index = 0;
  return {
    name: 'dedup',
    apply(doc: Doc, tally: Tally): Doc | Drop {
      const before = doc.target.length;
      const found = applyVerdict(doc, index++, verdict);
      if (isDrop(found)) return found;
      if (found.target.length < before) {
        tally.count('dedup.cut-documents');
        tally.count('dedup.cut-characters', before - found.target.length);
      }
      return found;
    },
  };
}

/** Makers by name; a test may put another in a place. */
export const MAKERS: { [K in 'clean' | 'decontaminate' | 'score']: (config: unknown, context: TaskContext) => Promise<MapStep> } = {
  clean: async (config, { host }) => (await import('../clean/index.ts')).createCleaner(config as never, host.files),
  decontaminate: async (config, { host }) => (await import('../decontaminate/index.ts')).createDecontaminator(config, host),
  score: async (config, { host }) => (await import('../score/index.ts')).createScorer(config, host),
};

/** The steps of a group. What is costly to make is kept for the life of the worker. */
export async function makeSteps(specs: readonly StepSpec[], context: TaskContext): Promise<MapStep[]> {
  const steps: MapStep[] = [];
  for (const spec of specs) {
    if (spec.name === 'dedup') {
      steps.push(await verdictStep(spec.verdict, context));
      continue;
    }
    const key = `step ${JSON.stringify(spec)}`;
    let step = context.cache.get(key) as MapStep | undefined;
    if (step === undefined) {
      step = await MAKERS[spec.name](spec.config, context);
      context.cache.set(key, step);
    }
    steps.push(step);
  }
  return steps;
}
