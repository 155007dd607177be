/**
 * A stage's mix as the sampling of the data pipeline: weights by category, and replay as a kind with a share of its own. Which
 * categories a pattern means is asked here too, so that a recipe is refused before anything runs and not by an empty stage.
 */
import type { z } from 'zod';
import type { sampleSchema } from '../curate/sample/config.ts';
import type { RecipeStage } from './schema.ts';

type Sample = z.input<typeof sampleSchema>;

/** Whether a category is meant by a name or a pattern with `*`. */
export function matches(pattern: string, category: string): boolean {
  if (!pattern.includes('*')) return pattern === category;
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 'u').test(category);
}

/** The categories that a stage learns anew, out of those there are. */
export function mixCategories(stage: Pick<RecipeStage, 'mix'>, categories: readonly string[]): string[] {
  const { mix } = stage;
  if (mix === undefined) return [...categories];
  return categories.filter((category) => {
    const named = Object.hasOwn(mix, category) ? category : Object.keys(mix).find((pattern) => pattern.includes('*') && matches(pattern, category));
    return named !== undefined && mix[named] > 0;
  });
}

/** Tokens that a stage is to see, if it says so by tokens or steps. */
export function stageBudget(stage: RecipeStage): number | null {
  if (stage.tokens !== undefined) return stage.tokens;
  return stage.steps === undefined ? null : stage.steps * stage.batch * stage.accumulate * stage.length;
}

/**
 * What is sampled for a stage.
 * @param fresh categories of its mix. @param replayed categories that are replayed.
 */
export function sampleOf(stage: RecipeStage, fresh: readonly string[], replayed: readonly string[]): Sample {
  const weight = (category: string): number => {
    const { mix } = stage;
    if (mix === undefined) return 1;
    if (Object.hasOwn(mix, category)) return mix[category];
    return mix[Object.keys(mix).find((pattern) => pattern.includes('*') && matches(pattern, category)) ?? ''] ?? 0;
  };
  const budget = stageBudget(stage);
  const categories: NonNullable<Sample['categories']> = {};
  for (const category of fresh) {
    // Without a budget there is nothing to share out: a weight is then so many times over the data.
    const amount = budget === null ? { epochs: (stage.epochs ?? 1) * weight(category) } : { weight: weight(category) };
    categories[category] = { kind: 'new', ...amount };
  }
  for (const category of replayed) categories[category] = { kind: 'replay' };
  return {
    categories,
    others: { weight: 0, epochs: 0 },
    temperature: stage.temperature,
    maxEpochs: stage.maxEpochs,
    ...(budget === null ? {} : { budget }),
    ...(stage.replay && replayed.length > 0 ? { kinds: { new: 1 - stage.replay.share, replay: stage.replay.share } } : {}),
  };
}
