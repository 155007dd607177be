/**
 * A stage's mix as the sampling of the data pipeline: weights by category, and replay as a kind with a share of its own. Which
 * categories a pattern means is asked here too, so that a recipe is refused before anything runs and not by an empty stage.
 */
import type { z } from 'zod';
import { entryOf, type sampleSchema } from '../curate/sample/config.ts';
import type { RecipeStage } from './schema.ts';

type Sample = z.input<typeof sampleSchema>;

/** How much a stage wants of a category; 0 where its mix does not name it. */
const weightOf = ({ mix }: Pick<RecipeStage, 'mix'>, category: string): number => (mix === undefined ? 1 : (entryOf(mix, category) ?? 0));

/** The categories that a stage learns anew, out of those there are. */
export const mixCategories = (stage: Pick<RecipeStage, 'mix'>, categories: readonly string[]): string[] =>
  categories.filter((category) => weightOf(stage, category) > 0);

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
  const budget = stageBudget(stage);
  const categories: NonNullable<Sample['categories']> = {};
  for (const category of fresh) {
    // Without a budget there is nothing to share out: a weight is then so many times over the data.
    const amount = budget === null ? { epochs: (stage.epochs ?? 1) * weightOf(stage, category) } : { weight: weightOf(stage, category) };
    categories[category] = { kind: 'new', ...amount };
  }
  const weights = stage.replay?.mix;
  for (const category of replayed) categories[category] = { kind: 'replay', ...(weights && { weight: entryOf(weights, category) ?? 1 }) };
  return {
    categories,
    others: { weight: 0, epochs: 0 },
    temperature: stage.temperature,
    maxEpochs: stage.maxEpochs,
    ...(budget === null ? {} : { budget }),
    ...(stage.replay && replayed.length > 0 ? { kinds: { new: 1 - stage.replay.share, replay: stage.replay.share } } : {}),
  };
}
