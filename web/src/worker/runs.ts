/**
 * Runs in the page's own files: `/runs/NAME` is a run folder as `scion run` writes it, nothing else lies in it, so that one that is taken out
 * goes on anywhere. All that is shown of a run is read back from there: after a reload, and by a second tab.
 */
import { type HostFiles, host, type Recipe, type RecipeResult, readRecipeText, ScionError, summaryTables } from '../../../src/index.ts';
import type { RunEntry, RunState, RunView, StageView, StepPoint, StorageView, TableView, ValidationPoint } from '../protocol.ts';

export const RUNS = '/runs';
export const runDir = (name: string): string => `${RUNS}/${name}`;
/** A Web Lock that a tab holds while it trains the run. */
export const runLock = (name: string): string => `scion run ${name}`;

const NAME = /^[a-z0-9][a-z0-9-]{0,40}$/;

/** Throws for a name that no run has: it comes from the address bar. */
export function checkName(name: string): void {
  if (!NAME.test(name)) throw new ScionError('usage', `${JSON.stringify(name)} is no name of a run: use a-z, 0-9 and "-"`);
}

/** Whether this browser gives the page files at all (private windows of some do not). */
export async function hasStorage(): Promise<boolean> {
  try {
    const { files, pid } = await host();
    const probe = `/probe-${pid}`;
    await files.write(probe, new Uint8Array(1));
    await files.remove(probe);
    return true;
  } catch {
    return false;
  }
}

export async function storageView(): Promise<StorageView | null> {
  if (!(await hasStorage())) return null;
  const { usage = 0, quota = 0 } = await navigator.storage.estimate();
  return { used: usage, quota, persisted: (await navigator.storage.persisted?.()) ?? false };
}

/** A file's text, or null. One that another thread writes meanwhile may change under the reading; it is then read again. */
export async function readText(files: HostFiles, path: string): Promise<string | null> {
  for (let tries = 3; ; tries--) {
    if ((await files.stat(path)) === null) return null;
    try {
      return new TextDecoder().decode(await files.read(path));
    } catch (error) {
      if (tries <= 1) throw error;
    }
  }
}

/** A JSON file's content; null if it is missing or broken. */
async function readJson<T>(files: HostFiles, path: string): Promise<T | null> {
  try {
    const text = await readText(files, path);
    return text === null ? null : (JSON.parse(text) as T);
  } catch {
    return null;
  }
}

/** Bytes of a folder's files. */
async function sizeOf(files: HostFiles, path: string): Promise<number> {
  let bytes = 0;
  for (const { name, isDirectory } of await files.list(path)) {
    const inner = `${path}/${name}`;
    bytes += isDirectory ? await sizeOf(files, inner) : ((await files.stat(inner))?.size ?? 0);
  }
  return bytes;
}

async function isHeld(name: string): Promise<boolean> {
  const { held = [] } = await navigator.locks.query();
  return held.some((lock) => lock.name === runLock(name));
}

interface LogLine {
  readonly event?: string;
  readonly step?: number;
  readonly steps?: number;
  readonly loss?: number;
  readonly learningRate?: number;
  readonly gradNorm?: number;
  readonly tokensPerSecond?: number;
  readonly bitsPerByte?: number;
  readonly byCategory?: Readonly<Record<string, { readonly bitsPerByte: number }>>;
  readonly samples?: ValidationPoint['samples'];
}

/** What is shown of a look at held-out text. */
export function validationPoint(v: {
  readonly step: number;
  readonly bitsPerByte: number;
  readonly byCategory: Readonly<Record<string, { readonly bitsPerByte: number }>>;
  readonly samples: ValidationPoint['samples'];
}): ValidationPoint {
  const byCategory = Object.fromEntries(Object.entries(v.byCategory).map(([name, { bitsPerByte }]) => [name, bitsPerByte]));
  return { step: v.step, bits: v.bitsPerByte, byCategory, samples: v.samples };
}

/** A stage from its log. Steps that a crash lost stand there twice: the later line counts, and what the log's last sitting has not reached again is gone. */
async function readStage(files: HostFiles, dir: string, name: string, planned: number): Promise<StageView> {
  const text = (await readText(files, `${dir}/log.jsonl`)) ?? '';
  let points: StepPoint[] = [];
  let validations: ValidationPoint[] = [];
  let steps = planned;
  for (const line of text.split('\n')) {
    let event: LogLine;
    try {
      event = JSON.parse(line) as LogLine;
    } catch {
      // The last line of a run that was cut off.
      continue;
    }
    const { step } = event;
    if (step === undefined) continue;
    if (event.event === 'begin') {
      points = points.filter((p) => p.step < step);
      validations = validations.filter((v) => v.step <= step);
      if (steps === 0) steps = event.steps ?? 0;
    } else if (event.event === 'step') {
      points.push({
        step,
        loss: event.loss ?? Number.NaN,
        rate: event.learningRate ?? 0,
        norm: event.gradNorm ?? Number.NaN,
        tokensPerSecond: event.tokensPerSecond ?? 0,
      });
    } else if (event.event === 'validation') {
      const { bitsPerByte = Number.NaN, byCategory = {}, samples = [] } = event;
      validations = [...validations.filter((v) => v.step !== step), validationPoint({ step, bitsPerByte, byCategory, samples })];
    }
  }
  return { name, steps, points, validations };
}

interface StagePlace {
  readonly name: string;
  readonly dir: string;
  readonly steps: number;
}

/** Stages of a run in the order in which they are trained, those of its variations behind its own. */
function stagePlaces(dir: string, recipe: Recipe): StagePlace[] {
  const own = [...('train' in recipe.base ? [{ ...recipe.base.train.stage, name: 'base' }] : []), ...recipe.stages];
  const arms = Object.entries(recipe.arms).flatMap(([arm, { stages = recipe.stages, replay }]) =>
    // A stage without its replay is shorter by it; how long it is, its log says.
    stages.map((stage) => ({
      name: `${arm}: ${stage.name}`,
      dir: `${dir}/arms/${arm}/stages/${stage.name}`,
      steps: replay === false ? 0 : (stage.steps ?? 0),
    })),
  );
  return [...own.map(({ name, steps = 0 }) => ({ name, dir: `${dir}/stages/${name}`, steps })), ...arms];
}

/** A run as its folder tells it. @throws ScionError `input` where there is none. */
export async function viewRun(name: string): Promise<RunView> {
  checkName(name);
  const machine = await host();
  const { files } = machine;
  const dir = runDir(name);
  const recipe = await readText(files, `${dir}/recipe.yaml`);
  if (recipe === null) throw new ScionError('input', `there is no run called ${name} here; it may have been deleted in another tab`);
  const config = await readJson<{ readonly recipe: Recipe }>(files, `${dir}/config.json`);
  const loaded = config?.recipe ?? (await readRecipeText(machine, recipe, dir)).recipe;
  const stages = await Promise.all(stagePlaces(dir, loaded).map((place) => readStage(files, place.dir, place.name, place.steps)));
  const result = await readJson<RecipeResult>(files, `${dir}/result.json`);
  return {
    ...(await entryOf(files, name, loaded.name, stages, result !== null)),
    recipe,
    stages,
    tables: result === null ? [] : (summaryTables(result) as TableView[]),
  };
}

async function entryOf(files: HostFiles, name: string, title: string, stages: readonly StageView[], finished: boolean): Promise<RunEntry> {
  const done = stages.reduce((sum, { points }) => sum + (points.at(-1) ? (points.at(-1)?.step ?? 0) + 1 : 0), 0);
  const steps = stages.reduce((sum, stage) => sum + stage.steps, 0);
  const state: RunState = (await isHeld(name)) ? 'running' : finished ? 'finished' : done === 0 ? 'new' : 'stopped';
  const modified = (await files.stat(`${runDir(name)}/recipe.yaml`))?.modified ?? 0;
  return { name, title, state, done, steps, bytes: await sizeOf(files, runDir(name)), modified };
}

/** All runs, the newest first. A folder without a recipe is none. */
export async function listRuns(): Promise<RunEntry[]> {
  const { files } = await host();
  if ((await files.stat(RUNS)) === null) return [];
  const names = (await files.list(RUNS)).filter(({ name, isDirectory }) => isDirectory && NAME.test(name)).map(({ name }) => name);
  const runs: RunEntry[] = [];
  for (const name of names) {
    try {
      const { name: _, title, state, done, steps, bytes, modified } = await viewRun(name);
      runs.push({ name, title, state, done, steps, bytes, modified });
    } catch {
      // Being deleted, or begun this moment.
    }
  }
  return runs.sort((a, b) => b.modified - a.modified);
}

/** Deletes a run. @throws ScionError `locked` while a tab trains it. */
export async function removeRun(name: string): Promise<null> {
  checkName(name);
  const { files } = await host();
  return navigator.locks.request(runLock(name), { ifAvailable: true }, async (lock) => {
    if (!lock) throw new ScionError('locked', `run ${name} is being trained; stop it first`);
    await files.remove(runDir(name));
    return null;
  });
}
