/** What a visitor can do, as functions: they ask the Workers and write the signals. Messages of a run under way end up here, at most a few a second. */
import * as Comlink from 'comlink';
import type { Message, RunView, StageView } from './protocol.ts';
import { goTo } from './route.ts';
import { type Active, active, device, ended, failure, revision, run, runs, storage } from './state.ts';
import { ask, askOrShow, desk, trainerWorker } from './workers.ts';

/** Looks what device there is. */
export async function lookForDevice(): Promise<void> {
  const found = await ask(desk.device());
  if (found.ok) {
    device.value = found.value;
    return;
  }
  device.value = 'none';
  failure.value = found.failure;
}

export async function refreshStorage(): Promise<void> {
  const found = await ask(desk.storage());
  storage.value = found.ok && found.value !== null ? found.value : 'none';
}

export async function refreshRuns(): Promise<void> {
  runs.value = (await askOrShow(desk.runs())) ?? [];
  await refreshStorage();
}

/** The run that this tab trains, with all that was told of it: its logs reach the disk only now and then. */
let live: RunView | null = null;

/** Opens a run for looking at. */
export async function openRun(name: string): Promise<void> {
  if (active.value?.name === name && live) {
    show(live);
    return;
  }
  if (run.value?.name !== name) run.value = null;
  const found = await askOrShow<RunView>(desk.view(name));
  if (found && active.value?.name !== name) show(found);
}

/** The same again from disk: for a tab that watches another one. */
export async function rereadRun(name: string): Promise<void> {
  const found = await ask(desk.view(name));
  if (found.ok && run.value?.name === name && active.value?.name !== name) show(found.value);
}

function show(found: RunView): void {
  run.value = found;
  revision.value++;
}

/** Writes a stage of the run that trains. */
function changeStage(stageName: string, change: (stage: StageView) => StageView): void {
  if (!live) return;
  const known = live.stages.some((stage) => stage.name === stageName);
  const stages = known ? live.stages : [...live.stages, { name: stageName, steps: 0, points: [], validations: [] }];
  live = { ...live, stages: stages.map((stage) => (stage.name === stageName ? change(stage) : stage)) };
  if (run.value?.name === live.name) show(live);
}

function hear(name: string, message: Message): void {
  const now = active.value;
  if (now?.name !== name) return;
  const set = (more: Partial<Active>): void => {
    active.value = { ...now, ...more };
  };
  switch (message.kind) {
    case 'work':
      set({ work: message.title, detail: message.detail });
      break;
    case 'stage':
      set({ stage: message.stage, step: 0, steps: message.steps, plannedBytes: message.plannedBytes, secondsLeft: null, detail: '' });
      changeStage(message.stage, (stage) => ({ ...stage, steps: message.steps }));
      break;
    case 'steps': {
      const first = message.points[0]?.step ?? 0;
      const last = message.points.at(-1)?.step ?? 0;
      set({ step: last + 1, secondsLeft: message.secondsLeft, deviceBytes: message.deviceBytes });
      // What a crash or a lost device took is run again and told again.
      changeStage(message.stage, (stage) => ({
        ...stage,
        points: [...((stage.points.at(-1)?.step ?? -1) >= first ? stage.points.filter(({ step }) => step < first) : stage.points), ...message.points],
      }));
      break;
    }
    case 'validation':
      changeStage(message.stage, (stage) => ({
        ...stage,
        validations: [...stage.validations.filter(({ step }) => step < message.point.step), message.point],
      }));
      break;
    case 'saved':
      set({ saved: `${message.stage}, step ${message.step}` });
      break;
    case 'note':
      set({ notes: [...now.notes, message.text].slice(-20) });
      break;
  }
}

/** Starts a run under a new name, or goes on with one. */
export async function train(name: string, recipe: string | null): Promise<void> {
  failure.value = null;
  ended.value = null;
  active.value = {
    name,
    phase: 'running',
    work: 'Starting',
    detail: '',
    stage: null,
    step: 0,
    steps: 0,
    secondsLeft: null,
    plannedBytes: null,
    deviceBytes: null,
    saved: null,
    notes: [],
  };
  const first = run.value?.name === name ? run.value : null;
  live = first ?? { name, title: name, state: 'running', done: 0, steps: 0, bytes: 0, modified: Date.now(), recipe: recipe ?? '', stages: [], tables: [] };
  const outcome = ask(
    trainerWorker().run(
      name,
      recipe,
      Comlink.proxy((message: Message) => hear(name, message)),
    ),
  );
  if (recipe !== null) {
    run.value = live;
    goTo('train', name);
  }
  const end = await outcome;
  // What can be gone on with is on disk, or nothing is. Read before the end is told, so that no moment shows what was known in between.
  const found = await ask(desk.view(name));
  active.value = null;
  live = null;
  if (end.ok) ended.value = { name, text: end.value.finished ? 'Finished.' : `Stopped and saved. ${end.value.stopped ?? ''}` };
  else {
    ended.value = { name, text: 'Stopped by an error.' };
    failure.value = end.failure;
  }
  if (found.ok) {
    if (run.value?.name === name) show(found.value);
  } else if (run.value?.name === name) {
    run.value = null;
    goTo('train');
  }
  await refreshRuns();
}

export async function pauseTraining(): Promise<void> {
  if (active.value) active.value = { ...active.value, phase: 'paused' };
  await trainerWorker().pause();
}

export async function resumeTraining(): Promise<void> {
  if (active.value) active.value = { ...active.value, phase: 'running' };
  await trainerWorker().resume();
}

export async function stopTraining(): Promise<void> {
  if (active.value) active.value = { ...active.value, phase: 'stopping' };
  await trainerWorker().stop();
}

export async function removeRun(name: string): Promise<void> {
  failure.value = null;
  await askOrShow(desk.remove(name));
  if (run.value?.name === name) run.value = null;
  await refreshRuns();
}

/** Packs and hands the file to the browser's downloads. */
export async function download(name: string, what: 'model' | 'run'): Promise<void> {
  const path = await askOrShow(desk.exportZip(name, what));
  if (path === null) return;
  let folder = await navigator.storage.getDirectory();
  const parts = path.split('/').filter((part) => part !== '');
  for (const part of parts.slice(0, -1)) folder = await folder.getDirectoryHandle(part);
  const file = await (await folder.getFileHandle(parts[parts.length - 1])).getFile();
  const url = URL.createObjectURL(file);
  const link = Object.assign(document.createElement('a'), { href: url, download: parts[parts.length - 1] });
  link.click();
  // The browser reads it while it saves.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
