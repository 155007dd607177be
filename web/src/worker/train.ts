/**
 * A recipe run in the Worker by the same engine as `scion run`, with what it does told to the page a few times a second. Pausing keeps everything on
 * the device and makes the next step wait; stopping saves. A Web Lock keeps a second tab off the run.
 */
import {
  checkRecipe,
  dryRun,
  GpuDevice,
  host,
  matmulPeak,
  readRecipeText,
  runRecipe,
  ScionError,
  sampleRecipe,
  type TrainHooks,
  VERSION,
} from '../../../src/index.ts';
import type { Listen, PlanView, RecipeChoice, RunEnd, StepPoint } from '../protocol.ts';
import { OneAtATime } from './answer.ts';
import { editedKernel } from './edited.ts';
import { checkName, hasStorage, readText, runDir, runLock, validationPoint } from './runs.ts';

/** Milliseconds between two messages about steps. */
const TELL_MS = 250;
/** Files of the visitor's own. */
const DATA = '/data';

interface Stop {
  requested: boolean;
  hold: Promise<void> | null;
}

const training = new OneAtATime('this tab is training');
let stop: Stop = { requested: false, hold: null };
let release: () => void = () => {};

export function pause(): void {
  if (stop.hold) return;
  stop.hold = new Promise((resolve) => {
    release = resolve;
  });
}

export function resume(): void {
  stop.hold = null;
  release();
}

export function requestStop(): void {
  stop.requested = true;
  resume();
}

/** The recipe of the sample, or of the visitor's own text. */
export async function chosenRecipe({ steps, quick, compare, data }: RecipeChoice): Promise<string> {
  return sampleRecipe({ ...(steps === undefined ? {} : { steps }), quick, compare, data });
}

/** Keeps a file under `/data`; the path can stand in a recipe. */
export async function addFile(name: string, content: Blob): Promise<string> {
  const { files } = await host();
  // Letters of any script stay; what could mean a folder or a pattern does not.
  const safe = name.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[.-]+/, '') || 'text.txt';
  const path = `${DATA}/${safe}`;
  await files.makeDir(DATA);
  const writer = await files.create(path);
  try {
    const reader = content.stream().getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) await writer.write(part.value);
    await writer.sync();
  } finally {
    await writer.close();
  }
  return path;
}

/** What a recipe would take here. @throws ScionError `input` with line and column for a recipe that cannot run. */
export async function planRecipe(text: string, measured: boolean): Promise<PlanView> {
  const machine = await host();
  const { recipe, file } = await readRecipeText(machine, text, '/');
  await checkRecipe(machine, recipe, file);
  const device = await GpuDevice.open();
  const { facts } = device;
  device.destroy();
  const plan = await dryRun(machine, recipe, { facts, memory: null, speed: measured ? await matmulPeak(facts, {}) : null, price: null });
  // Weights and two moments a checkpoint, weights alone in the folders of base, grown and finished model.
  const tensors = 3 * plan.stages.length * (1 + Object.keys(recipe.arms).length) + 3;
  return {
    device: plan.device,
    parameters: plan.parameters,
    vocabulary: plan.vocabulary,
    stages: plan.stages.map(({ name, tokens, steps, bytes, seconds, problem, remedy }) => ({ name, tokens, steps, bytes, seconds, problem, remedy })),
    seconds: plan.seconds,
    storage: 4 * plan.parameters * tensors,
    free: await machine.files.free('/').catch(() => null),
  };
}

/** Hooks of a stage that tell the page. */
function tellStage(stage: string, facts: { readonly steps: number; readonly plannedBytes: number }, listen: Listen): TrainHooks {
  let points: StepPoint[] = [];
  let told = 0;
  let seconds = 0;
  let begun = false;
  let last = { step: -1, bytes: 0 };
  const tell = (): void => {
    if (points.length === 0) return;
    listen({ kind: 'steps', stage, points, secondsLeft: (facts.steps - last.step - 1) * seconds, deviceBytes: last.bytes });
    points = [];
    told = performance.now();
  };
  const begin = (): void => {
    if (!begun) listen({ kind: 'stage', stage, steps: facts.steps, plannedBytes: facts.plannedBytes });
    begun = true;
  };
  return {
    onStep(r) {
      begin();
      points.push({ step: r.step, loss: r.loss, rate: r.learningRate, norm: r.gradNorm, tokensPerSecond: r.tokensPerSecond });
      // A running mean: single steps of a busy machine jump.
      seconds = seconds === 0 ? r.seconds : seconds * 0.9 + r.seconds * 0.1;
      last = { step: r.step, bytes: r.deviceBytes };
      if (stop.requested || stop.hold || r.step + 1 === facts.steps || performance.now() - told >= TELL_MS) tell();
    },
    onValidate(v) {
      begin();
      tell();
      listen({ kind: 'validation', stage, point: validationPoint(v) });
    },
    onSave: (_, step) => listen({ kind: 'saved', stage, step }),
    onEvent: ({ kind, message }) => {
      if (kind !== 'resumed') listen({ kind: 'note', text: message });
    },
  };
}

/** A stage's name as the page shows it: `arm.stage` of the engine is `arm: stage`. */
const shownStage = (id: string): string => id.replace('.', ': ');

/** Runs a recipe, or goes on with the one in the folder. Gives how it ended; a stop is no error. */
export function runRecipeHere(name: string, given: string | null, listen: Listen): Promise<RunEnd> {
  checkName(name);
  return training.run(() =>
    navigator.locks.request(runLock(name), { ifAvailable: true }, async (lock): Promise<RunEnd> => {
      if (!lock) throw new ScionError('locked', `another tab is training the run ${name}; watch it here, or stop it there`);
      if (!(await hasStorage()))
        throw new ScionError(
          'io',
          'this browser gives the page no files (a private window, often), and a run lives in files; open the page in an ordinary window',
        );
      const machine = await host();
      const out = runDir(name);
      const text = given ?? (await readText(machine.files, `${out}/recipe.yaml`));
      if (text === null) throw new ScionError('input', `there is no run called ${name} here`);
      stop = { requested: false, hold: null };
      void navigator.storage.persist?.().catch(() => undefined);
      const { recipe, file } = await readRecipeText(machine, text, '/', 'recipe.yaml');
      let title = '';
      let told = 0;
      try {
        const made = await runRecipe(machine, {
          recipe,
          file,
          out,
          version: VERSION,
          // The pipeline's own workers are files of a checkout; here its tasks run in this one.
          workers: 1,
          device: editedKernel() ?? {},
          stop,
          onStep(event) {
            title = event.title;
            if (event.state === 'begins') listen({ kind: 'work', title, detail: '' });
          },
          onProgress(detail) {
            if (performance.now() - told < TELL_MS) return;
            told = performance.now();
            listen({ kind: 'work', title, detail });
          },
          stageHooks: (stage, facts) => tellStage(shownStage(stage), facts, listen),
        });
        if (made.cached) listen({ kind: 'note', text: 'everything was done already' });
        return { finished: true, stopped: null };
      } catch (error) {
        if (stop.requested && error instanceof ScionError && error.kind === 'interrupted') return { finished: false, stopped: error.message };
        throw error;
      }
    }),
  );
}
