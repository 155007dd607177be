/** The recipe of `npm start`: what is in `recipes/` is what is run, and both forms are recipes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { host } from '../host/index.ts';
import { SAMPLE_GRAFT } from '../train/sample-run.ts';
import { readRecipeText } from './read.ts';
import { sampleRecipe } from './sample-recipe.ts';

describe('the sample recipe', () => {
  it('lies in recipes/ as it is run', () => {
    expect(readFileSync(join(import.meta.dirname, '../../recipes/sample.yaml'), 'utf8')).toBe(sampleRecipe());
  });

  it('says what SAMPLE_GRAFT says', async () => {
    const { recipe } = await readRecipeText(await host(), sampleRecipe(), '/x');
    const { base, stages } = SAMPLE_GRAFT;
    expect('train' in recipe.base && recipe.base.train.stage.steps).toBe(base.schedule.steps);
    expect(recipe.stages.map(({ steps }) => steps)).toEqual(stages.map(({ schedule }) => schedule.steps));
    expect(recipe.stages.map(({ replay }) => replay?.share)).toEqual(stages.map(({ mix }) => mix.en));
    expect(recipe.vocab?.add).toBe(SAMPLE_GRAFT.grownPieces - SAMPLE_GRAFT.basePieces);
  });

  it('takes own files in place of the Chinese, and any number of steps', async () => {
    const { recipe } = await readRecipeText(await host(), sampleRecipe({ data: ['/a b/"c".txt'], steps: 30, quick: true, seed: 7 }), '/x');
    expect(recipe.seed).toBe(7);
    expect(recipe.data.data).toMatchObject([{ paths: ['/a b/"c".txt'], category: 'own' }]);
    expect(recipe.stages.map(({ mix }) => mix)).toEqual([{ own: 1 }, { own: 1 }]);
    expect('train' in recipe.base && recipe.base.train.shape.hidden).toBe(32);
    expect(Object.keys(recipe.arms)).toEqual(['no-replay']);
  });

  it('leaves out what is only there to compare with', async () => {
    const { recipe } = await readRecipeText(await host(), sampleRecipe({ compare: false }), '/x');
    expect(recipe.arms).toEqual({});
    expect(recipe.stages.length).toBe(2);
  });
});
