/**
 * The page: starts the Worker, shows what it tells, hands on what the visitor asks. Any field of a sample size can be
 * set in the address (`?size=quick&steps=20&hidden=32`), for experiments and for tests.
 */
import * as Comlink from 'comlink';
import { formatBytes, formatDuration, formatSi, SAMPLE_SIZES, type SampleSize } from '../../src/index.ts';
import { LossChart } from './chart.ts';
import { element, hideFailure, setText, showAnswers, showFailure, showPrompts, swap, themeButton } from './page.ts';
import type { Message, Outcome, RunFacts, TrainWorker } from './protocol.ts';

const thread = new Worker(new URL('./train-worker.ts', import.meta.url), { type: 'module', name: 'scion training' });
const worker = Comlink.wrap<TrainWorker>(thread);

const start = element<HTMLButtonElement>('start');
const stop = element<HTMLButtonElement>('stop');
const again = element<HTMLButtonElement>('again');
const write = element<HTMLButtonElement>('write');
const settings = element<HTMLFieldSetElement>('settings');
const sizeField = element<HTMLSelectElement>('size');
const stepsField = element<HTMLInputElement>('steps');
const progress = element<HTMLProgressElement>('progress');
const chart = new LossChart({
  box: element('chart'),
  legend: element('legend'),
  outputs: { train: element('train-value'), held: element('held-value'), ngram: element('ngram-value') },
});
const query = new URL(location.href).searchParams;

/** The size of the run that is open or saved; null before there is one. */
let current: SampleSize | null = null;
let facts: RunFacts | null = null;

const say = (text: string): void => setText('state', text);

/** The size that the form and the address ask for. */
function chosenSize(): SampleSize {
  const size: Record<keyof SampleSize, number> = { ...SAMPLE_SIZES[sizeField.value === 'full' ? 'full' : 'quick'] };
  for (const name of Object.keys(size) as (keyof SampleSize)[]) {
    const given = Number(query.get(name) ?? Number.NaN);
    if (given > 0) size[name] = given;
  }
  size.steps = stepsField.valueAsNumber;
  return size;
}

function showSize(size: SampleSize): void {
  sizeField.value = size.hidden === SAMPLE_SIZES.full.hidden ? 'full' : 'quick';
  stepsField.valueAsNumber = size.steps;
}

/** At rest: with a run that can be gone on with, or with none. */
function rest(size: SampleSize | null, finished = false): void {
  current = size;
  settings.disabled = size !== null;
  start.textContent = size === null ? 'Start' : 'Resume';
  start.disabled = false;
  again.hidden = size === null;
  swap([stop], finished ? [again] : [start]);
  start.hidden = finished;
  write.disabled = facts === null;
}

function showStep(step: number, steps: number): void {
  progress.max = steps;
  progress.value = step;
  setText('f-step', `${step} of ${steps}`);
}

function showFacts(found: RunFacts): void {
  facts = found;
  chart.reset(found.steps, found.ngram);
  chart.add('train', found.train);
  chart.add('held', found.held);
  showPrompts(found.prompts);
  if (found.before) showAnswers('before', found.before, found.prompts);
  if (found.latest && found.latest.step > 0) showAnswers(found.latest.step === found.steps ? 'after' : 'during', found.latest, found.prompts);
  showStep(found.step, found.steps);
  setText('f-device', found.device);
  setText('f-memory', formatBytes(found.plannedBytes));
  setText('f-model', `${formatSi(found.parameters)} parameters: ${found.model}`);
  setText('f-text', `${formatBytes(found.trainBytes)} to learn from, ${formatBytes(found.heldBytes)} held out`);
  setText('f-saved', found.unsaved ?? (found.step > 0 ? `step ${found.step}` : 'not yet'));
}

function hear(message: Message): void {
  switch (message.kind) {
    case 'stage':
    case 'note':
      say(message.text);
      break;
    case 'open':
      showFacts(message.facts);
      break;
    case 'steps':
      chart.add('train', message.points);
      showStep(message.step, facts?.steps ?? message.step);
      setText('f-loss', message.loss.toFixed(3));
      setText('f-speed', `${formatSi(Math.round(message.tokensPerSecond))} tokens/s`);
      setText('f-eta', formatDuration(message.secondsLeft));
      break;
    case 'held':
      chart.add('held', [message.point]);
      break;
    case 'answers': {
      const { answers } = message;
      if (facts) showAnswers(answers.step === 0 ? 'before' : answers.step === facts.steps ? 'after' : 'during', answers, facts.prompts);
      break;
    }
    case 'saved':
      setText('f-saved', `step ${message.step}`);
      break;
  }
}

/** Asks the Worker; a broken thread is a failure too. */
async function ask<T>(request: Promise<Outcome<T>>): Promise<Outcome<T>> {
  try {
    return await request;
  } catch (error) {
    return { ok: false, failure: { kind: 'internal', message: error instanceof Error ? error.message : String(error) } };
  }
}

async function train(): Promise<void> {
  const size = current ?? chosenSize();
  hideFailure();
  settings.disabled = true;
  write.disabled = true;
  stop.disabled = false;
  swap([start, again], [stop]);
  const outcome = await ask(worker.train(size, Comlink.proxy(hear)));
  setText('f-eta', '–');
  if (outcome.ok) {
    const { step, finished } = outcome.value;
    say(
      finished
        ? `Done: ${step} steps.`
        : facts?.unsaved
          ? `Stopped after step ${step}; this browser keeps nothing, so leave the tab open.`
          : `Stopped after step ${step}, and saved: Resume goes on, also after a reload.`,
    );
    rest(size, finished);
    return;
  }
  if (outcome.failure.kind === 'interrupted') say('Stopped before the first step.');
  else {
    say('Stopped by an error.');
    showFailure(outcome.failure);
  }
  // What can be gone on with is on disk, or nothing is.
  await look();
}

async function startOver(): Promise<void> {
  hideFailure();
  const outcome = await ask(worker.clear());
  if (outcome.ok) location.reload();
  else showFailure(outcome.failure);
}

/** Looks for a device and a saved run, and offers what there is. */
async function look(): Promise<void> {
  const found = await ask(worker.look());
  if (!found.ok) {
    say('Cannot train here.');
    showFailure(found.failure);
    return;
  }
  const { device, saved } = found.value;
  setText('f-device', device.name);
  if (!facts && !saved) {
    // A CPU device learns the quick size in a minute; a GPU the full one.
    showSize(SAMPLE_SIZES[(query.get('size') ?? (device.cpu ? 'quick' : 'full')) === 'full' ? 'full' : 'quick']);
    const steps = Number(query.get('steps') ?? Number.NaN);
    if (steps > 0) stepsField.valueAsNumber = steps;
  }
  if (saved) {
    showSize(saved.size);
    showStep(saved.step, saved.size.steps);
    setText('f-saved', `step ${saved.step}`);
  }
  const finished = saved !== null && saved.step >= saved.size.steps;
  if (element('alert').hidden) {
    say(
      saved
        ? finished
          ? 'A finished run is saved here. Open it to see it and to write with it.'
          : `A run stopped at step ${saved.step} of ${saved.size.steps} is saved here.`
        : `Ready, on ${device.name}.`,
    );
  }
  rest(saved?.size ?? null);
  if (finished) start.textContent = 'Open';
}

element<HTMLFormElement>('controls').addEventListener('submit', (event) => {
  event.preventDefault();
  void train();
});
stop.addEventListener('click', () => {
  stop.disabled = true;
  say('Finishing the step under way, then saving…');
  void worker.stop();
});
sizeField.addEventListener('change', () => {
  stepsField.valueAsNumber = SAMPLE_SIZES[sizeField.value === 'full' ? 'full' : 'quick'].steps;
});
again.addEventListener('click', () => element<HTMLDialogElement>('confirm').showModal());
element<HTMLDialogElement>('confirm').addEventListener('close', () => {
  const dialog = element<HTMLDialogElement>('confirm');
  const sure = dialog.returnValue === 'yes';
  dialog.returnValue = '';
  if (sure) void startOver();
});
element<HTMLFormElement>('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  void (async () => {
    const prompt = element<HTMLInputElement>('prompt').value;
    const begin = Object.assign(document.createElement('b'), { textContent: prompt });
    const rest = document.createTextNode('');
    element('written').replaceChildren(begin, rest);
    write.disabled = true;
    const outcome = await ask(
      worker.write(
        prompt,
        Comlink.proxy((text: string) => {
          rest.data += text;
        }),
      ),
    );
    write.disabled = false;
    if (!outcome.ok) showFailure(outcome.failure);
  })();
});
thread.addEventListener('error', (event) => {
  showFailure({ kind: 'internal', message: `the Worker broke: ${event.message || 'its script could not be loaded'}` });
});

themeButton(() => chart.draw());
void look();
