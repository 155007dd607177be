/**
 * A run that a page trained, taken up by Node: unpacked, and each stage trained again from the checkpoint it began with, as far as is compared. Losses
 * are those of the logs.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { VERSION } from '../../src/cli/version.ts';
import { host } from '../../src/host/index.ts';
import { readRecipeText } from '../../src/recipe/read.ts';
import { runRecipe } from '../../src/recipe/run.ts';

/** Unpacks a zip of the page into a folder; its own top folder is `NAME/`. */
export function unzipTo(zip: string, folder: string): void {
  for (const [name, bytes] of Object.entries(unzipSync(readFileSync(zip)))) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
}

/** Losses by step in the order in which they were logged; a step that was lost and run again stands there twice. */
export function logLosses(run: string, stage: string): [step: number, loss: number][] {
  return readFileSync(join(run, 'stages', stage, 'log.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { event: string; step: number; loss: number })
    .flatMap(({ event, step, loss }) => (event === 'step' ? [[step, loss] as [number, number]] : []));
}

/** Trains one stage anew in a copy of the run, from what came before it there, up to `steps`. Gives the losses, and which steps of the recipe Node did. */
export async function retrain(run: string, stage: string, steps: number, copy: string): Promise<{ losses: number[]; done: string[] }> {
  cpSync(run, copy, { recursive: true });
  rmSync(join(copy, 'steps', `${stage}.json`));
  for (const name of ['checkpoints', 'log.jsonl', 'config.json', 'report.html']) rmSync(join(copy, 'stages', stage, name), { recursive: true, force: true });
  const machine = await host();
  const { recipe, file } = await readRecipeText(machine, readFileSync(join(copy, 'recipe.yaml'), 'utf8'), '/');
  const stop = { requested: false };
  const losses: number[] = [];
  const done: string[] = [];
  await runRecipe(machine, {
    recipe,
    file,
    out: copy,
    version: VERSION,
    workers: 1,
    stop,
    onStep: ({ id, state }) => {
      if (state === 'begins') done.push(id);
    },
    stageHooks: (name) => ({
      onStep: (r) => {
        if (name !== stage) return;
        losses.push(r.loss);
        if (losses.length >= steps) stop.requested = true;
      },
    }),
  }).catch((error: unknown) => {
    if (!stop.requested) throw error;
  });
  return { losses: losses.slice(0, steps), done };
}
