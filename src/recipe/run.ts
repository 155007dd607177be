/**
 * A recipe run from its file to its result, in one self-contained folder: the recipe as it was given and as it was resolved,
 * versions and device, a record of every step, data, vocabulary, stages with checkpoints and logs, the model, `result.json`. The same
 * command in the same folder goes on, does again what changed, and only tells where nothing did.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { makeDurableDir } from '../checkpoint/folders.ts';
import { acquireLock } from '../checkpoint/lock.ts';
import type { YamlFile } from '../formats/yaml-file.ts';
import { type DeviceOptions, GpuDevice } from '../gpu/device.ts';
import type { Host } from '../host/types.ts';
import { PART, writeWhole } from '../host/whole-file.ts';
import { RunReport } from '../train/report/build.ts';
import { joinHooks } from '../train/run-folder.ts';
import type { TrainHooks } from '../train/trainer.ts';
import { checkRecipe } from './check.ts';
import { checkFit } from './dry-run.ts';
import { StepRunner } from './engine.ts';
import { type JourneyResult, runJourney } from './journey.ts';
import type { Recipe } from './schema.ts';
import type { RunContext } from './steps/context.ts';
import { resultTables } from './summary.ts';

export interface RunRecipeOptions {
  readonly recipe: Recipe;
  readonly file: YamlFile;
  /** The run folder: new, empty, or one of an earlier run of any recipe. */
  readonly out: string;
  readonly version: string;
  readonly device?: DeviceOptions;
  readonly workers?: number;
  /** Starts anew: what an earlier run left is removed. */
  readonly fresh?: boolean;
  readonly stop?: { requested: boolean };
  readonly onStep?: (event: { readonly id: string; readonly title: string; readonly state: 'skipped' | 'begins' | 'done'; readonly seconds: number }) => void;
  readonly onProgress?: (message: string) => void;
  readonly stageHooks?: (stage: string, facts: { readonly steps: number; readonly plannedBytes: number }) => TrainHooks;
}

/** A run and what it took. */
export interface RecipeResult extends JourneyResult {
  /** Steps that were done before, and of how many. */
  readonly skipped: readonly string[];
  readonly steps: readonly { readonly id: string; readonly seconds: number; readonly skipped: boolean }[];
  /** True where nothing was left to do. */
  readonly cached: boolean;
  readonly seconds: number;
}

/** What a run folder holds; anything else in it is not ours, and is refused. */
const OWN = new Set([
  'recipe.yaml',
  'config.json',
  'result.json',
  'report.html',
  'report.json',
  'steps',
  'sample',
  'base',
  'data',
  'vocab',
  'init',
  'stages',
  'arms',
  'model',
  'adapter',
  'start.json',
]);

/** Refuses a folder that holds something else, before anything is written or removed. */
async function checkOut(host: Host, out: string): Promise<void> {
  const { files } = host;
  const stat = await files.stat(out);
  if (stat === null) return;
  if (!stat.isDirectory) throw new ScionError('usage', `${out} is a file; name a folder with --out`, { out });
  // A run killed within a write leaves a file's beginning beside its place.
  const own = (name: string): boolean => OWN.has(name.endsWith(PART) ? name.slice(0, -PART.length) : name);
  const strange = (await files.list(out)).find(({ name }) => !own(name) && !name.startsWith('lock.json') && !name.startsWith('model.'));
  if (strange) throw new ScionError('usage', `${out} holds ${strange.name}, which no run of a recipe wrote; choose another --out`, { out });
}

/**
 * Refuses a recipe whose stages do not fit, while nothing is spent on it. WebGPU does not tell how much memory a GPU has: there only the recipe's budget
 * and the limits of single buffers count. A CPU adapter has that of the machine.
 */
async function checkMemory(host: Host, { recipe, file, out, device: asked = {} }: RunRecipeOptions): Promise<void> {
  let device: GpuDevice;
  try {
    device = await GpuDevice.open(asked);
  } catch (error) {
    // What is done can be told without a device; anything else would come to a stage that has none.
    if (isScionError(error, 'device') && (await host.files.stat(joinPath(out, 'result.json'))) !== null) return;
    throw error;
  }
  const { facts } = device;
  device.destroy();
  await checkFit(host, recipe, file, { facts, memory: facts.fallback ? host.memoryBytes() : null });
}

/**
 * Runs a recipe. @throws ScionError `input` naming line and column for a recipe that cannot run, `locked` where another run works in the
 * folder, `memory` with the same for a stage that the device or the recipe's budget cannot hold, `interrupted` after `stop` with all that was done kept.
 */
export async function runRecipe(host: Host, options: RunRecipeOptions): Promise<RecipeResult> {
  const { recipe, file, out, version } = options;
  const { files } = host;
  await checkOut(host, out);
  await checkRecipe(host, recipe, file);
  await checkMemory(host, options);
  await makeDurableDir(files, out);
  const lock = await acquireLock(host, out);
  const timer = setInterval(() => void lock.refresh().catch(() => undefined), 30_000);
  (timer as { unref?: () => void }).unref?.();
  try {
    if (options.fresh) for (const { name } of await files.list(out)) if (OWN.has(name)) await files.remove(joinPath(out, name));
    const began = host.now();
    const encoder = new TextEncoder();
    await writeWhole(files, joinPath(out, 'recipe.yaml'), encoder.encode(file.text));
    const about = { version, runtime: host.version, recipe };
    await writeWhole(files, joinPath(out, 'config.json'), encoder.encode(`${JSON.stringify(about, null, 1)}\n`));
    const runner = new StepRunner(host, out, { version, stop: options.stop, onStep: options.onStep, onProgress: options.onProgress });
    const context: RunContext = {
      host,
      recipe,
      dir: out,
      arm: null,
      version,
      device: options.device ?? {},
      workers: options.workers,
      stop: options.stop ?? { requested: false },
      stageHooks: (stage, facts) => joinHooks({ onValidate: () => draw(null) }, options.stageHooks?.(stage, facts) ?? {}),
    };
    const names = ['train' in recipe.base ? ['base'] : [], recipe.stages.map(({ name }) => name)].flat();
    const stages = names.map((name) => ({ name, dir: joinPath(out, 'stages', name) }));
    const report = new RunReport(stages, { title: recipe.name });
    /** The page of the whole run, drawn anew from the logs of its stages. */
    const draw = async (made: JourneyResult | null): Promise<void> => {
      const page = made ? await new RunReport(stages, { title: recipe.name, preface: resultTables(made) }).html() : await report.html();
      await writeWhole(files, joinPath(out, 'report.html'), encoder.encode(page));
    };
    const made = await runJourney(context, runner);
    const steps = runner.outcomes.map(({ id, seconds, skipped }) => ({ id, seconds, skipped }));
    const skipped = steps.filter((step) => step.skipped).map(({ id }) => id);
    const result = { ...made, skipped, steps, cached: skipped.length === steps.length, seconds: (host.now() - began) / 1000 };
    if (!result.cached) await draw(made);
    if (!result.cached) await writeWhole(files, joinPath(out, 'result.json'), encoder.encode(`${JSON.stringify(result, null, 1)}\n`));
    return result;
  } finally {
    clearInterval(timer);
    await lock.release();
  }
}
