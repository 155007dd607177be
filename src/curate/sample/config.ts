/**
 * Sampling as data: which categories, how much of each, how often. All amounts are in one unit (tokens, characters or
 * documents). A stage is one mix with one budget; what a stage does not say, it takes from the top.
 */
import { z } from 'zod';

const soft = z
  .strictObject({
    score: z.string().min(1).describe('name of the score'),
    middle: z.number().optional().describe('logistic: the score that is kept half of the time'),
    width: z.number().gt(0).optional().describe('logistic: kept with probability 1 / (1 + exp((middle - score) / width))'),
    pareto: z.number().gt(0).optional().describe('kept with probability (2 - score)^-pareto, for scores from 0 to 1 (Brown et al. 2020, appendix A: 9)'),
  })
  .refine((s) => (s.pareto === undefined) !== (s.middle === undefined), 'give middle (and width), or pareto')
  .refine((s) => (s.middle === undefined) === (s.width === undefined), 'middle and width belong together');
export type Soft = z.output<typeof soft>;

const rule = z.strictObject({
  kind: z.string().min(1).optional().describe('a name for a group of categories with a share of its own: informative, functional, replay …'),
  weight: z.number().min(0).default(1).describe('of its share of a budget; 0: none of it'),
  epochs: z.number().min(0).max(1000).optional().describe('how often it is used, whatever the budget; 1.5: all once, a seeded half of it twice'),
  quota: z.number().min(0).optional().describe('at most so much, in the unit'),
  documents: z.int().min(0).optional().describe('at most so many documents, copies counted'),
  atLeast: z.record(z.string(), z.number()).default({}).describe('by score: documents below go; one without the score stays'),
  atMost: z.record(z.string(), z.number()).default({}).describe('by score: documents above go'),
  soft: soft.optional().describe('keep with a probability that rises with a score'),
});
export type SampleRule = z.output<typeof rule>;

const mix = {
  unit: z.enum(['tokens', 'characters', 'documents']).optional().describe('of budget and quotas; tokens where there is a tokenizer, else characters'),
  budget: z.number().gt(0).optional().describe('in all; without one every category is used once'),
  temperature: z.number().min(0).max(1).optional().describe('share of a category = weight x size^temperature: 1 as the data are (the default), 0 all alike'),
  maxEpochs: z.number().gt(0).max(1000).optional().describe('a budget repeats a category at most so often; default 4'),
  kinds: z.record(z.string(), z.number().min(0)).optional().describe('shares of the budget by kind; they are put in proportion'),
  categories: z.record(z.string(), rule).optional().describe('by name, or by pattern with *; a name goes before a pattern, the first pattern counts'),
  others: rule.optional().describe('for categories that are not named'),
  fresh: z.boolean().optional().describe('only documents that no earlier stage used'),
};

const stage = z.strictObject({ name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,39}$/, 'a short name of a-z, 0-9, - and _'), ...mix });

export const sampleSchema = z
  .strictObject({ ...mix, stages: z.array(stage).min(1).max(100).optional().describe('one after the other, each with packs of its own') })
  .refine(({ stages = [] }) => new Set(stages.map(({ name }) => name)).size === stages.length, 'two stages have the same name');
export type SampleConfig = z.output<typeof sampleSchema>;

/** One mix with everything filled in. */
export interface SampleStage {
  readonly name: string;
  readonly unit: 'tokens' | 'characters' | 'documents';
  readonly budget: number | null;
  readonly temperature: number;
  readonly maxEpochs: number;
  readonly kinds: Readonly<Record<string, number>> | null;
  readonly categories: Readonly<Record<string, SampleRule>>;
  readonly others: SampleRule;
  readonly fresh: boolean;
}

/** The stages of a configuration; one called `main` where none are named. */
export function stagesOf(config: SampleConfig, hasTokens: boolean): SampleStage[] {
  const { stages, ...top } = config;
  return (stages ?? [{ name: 'main' }]).map((own) => {
    const all = { ...top, ...own };
    return {
      name: own.name,
      unit: all.unit ?? (hasTokens ? 'tokens' : 'characters'),
      budget: all.budget ?? null,
      temperature: all.temperature ?? 1,
      maxEpochs: all.maxEpochs ?? 4,
      kinds: all.kinds ?? null,
      categories: all.categories ?? {},
      others: all.others ?? rule.parse({}),
      fresh: all.fresh ?? false,
    };
  });
}

/** Whether a pattern with `*` means a category. */
export function matchesPattern(pattern: string, category: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(category);
}

/** What a table says of a category: a name goes before a pattern, the first pattern counts; undefined where it says nothing. */
export function entryOf<T>(table: Readonly<Record<string, T>>, category: string): T | undefined {
  if (Object.hasOwn(table, category)) return table[category];
  return Object.entries(table).find(([pattern]) => pattern.includes('*') && matchesPattern(pattern, category))?.[1];
}

/** The rule of a category. */
export const ruleOf = (stage: SampleStage, category: string): SampleRule => entryOf(stage.categories, category) ?? stage.others;
