/**
 * The Worker: owns device, files and the run, so that the page only draws. One run at a time, kept open when it
 * stops (going on is then instant) and saved in the origin's private files (so it goes on after a reload too).
 */
import * as Comlink from 'comlink';
import {
  countParameters,
  Generator,
  GpuDevice,
  host,
  isScionError,
  ngramBaseline,
  prepareSampleRun,
  Run,
  type SampleSize,
  ScionError,
  type StepReport,
  sampleProbes,
  sampleTexts,
  streamText,
  VERSION,
} from '../../src/index.ts';
import type { Answers, Listen, Outcome, Outlook, Point, TrainEnd, TrainWorker } from './protocol.ts';
import { clearRun, hasStorage, keepAnswers, RUN_DIR, readAnswers, readHistory, savedRun } from './saved.ts';

/** Validations, saves and looks at the prompts over a run. */
const PARTS = 10;
/** Tokens of an answer, and of what the visitor asks to be written. */
const ANSWER_TOKENS = 12;
const WRITE_TOKENS = 48;
/** Milliseconds between two messages about steps. */
const TELL_MS = 100;

type Prepared = ReturnType<typeof prepareSampleRun> & { readonly ngram: number };

const probes = sampleProbes();
const stop = { requested: false };
let listen: Listen = () => {};
let prepared: { key: string; value: Prepared } | null = null;
let open: { key: string; run: Run } | null = null;
/** Answers of the untrained model. */
let before: Answers | null = null;
let generator: Generator | null = null;
let busy = false;
/** Asked for with the first training: another tab would use the same folder. */
let onlyTab: Promise<boolean> | null = null;

/** Runs one request at a time and turns what it throws into a value. */
async function answering<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  if (busy) return { ok: false, failure: { kind: 'usage', message: 'the Worker is at work already; stop it first' } };
  busy = true;
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    const kind = isScionError(error) ? error.kind : 'internal';
    return { ok: false, failure: { kind, message: error instanceof Error ? error.message : String(error) } };
  } finally {
    busy = false;
  }
}

async function takeTab(): Promise<void> {
  onlyTab ??= new Promise((resolve) => {
    void navigator.locks.request('scion page', { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      // Held for as long as this Worker lives.
      return lock && new Promise(() => {});
    });
  });
  if (await onlyTab) return;
  onlyTab = null;
  throw new ScionError('locked', 'another tab of this page has trained; close it, or go on there');
}

/** Tells what is being done, lets a request to stop come in, and throws if one came. */
async function stage(text: string): Promise<void> {
  listen({ kind: 'stage', text });
  await (await host()).sleep(0);
  if (stop.requested) throw new ScionError('interrupted', 'stopped before the first step');
}

async function prepare(key: string, size: SampleSize): Promise<Prepared> {
  if (prepared?.key === key) return prepared.value;
  await stage('Writing the sample corpus…');
  const texts = sampleTexts(size);
  await stage('Training the byte n-gram model to beat…');
  const ngram = ngramBaseline(texts);
  await stage('Learning a vocabulary…');
  const value = { ...prepareSampleRun(texts, size), ngram };
  prepared = { key, value };
  return value;
}

async function closeRun(): Promise<void> {
  const last = open;
  open = null;
  generator?.destroy();
  generator = null;
  await last?.run.close();
}

/** Training loss (nats a label) as bits per byte of text: labels and bytes are those of all training text. */
const bitsOf = (p: Prepared, nats: number): number => ((nats / Math.LN2) * p.data.statistics.labels) / p.data.trainBytes;

/** A generator on the weights of the run under way; another one if the device was lost in between. */
function writer(run: Run): Generator {
  const { session } = run.trainer.stepper;
  if (generator && generator.session.device !== session.device) {
    generator.destroy();
    generator = null;
  }
  const { model, precision, tokens } = run.options.setup;
  generator ??= Generator.attach(session, model, { precision, capacity: tokens });
  return generator;
}

/** What the model puts after each prompt, likeliest token by token, up to a line's end. */
async function answerProbes(run: Run, step: number): Promise<Answers> {
  const { tokenizer, setup } = run.options;
  const texts: string[] = [];
  for (const { prompt } of probes) {
    const ids = tokenizer.encode(prompt, { bos: true }).slice(0, setup.tokens - ANSWER_TOKENS);
    let text = '';
    for await (const part of streamText(tokenizer, writer(run).generate(ids, { maxNewTokens: ANSWER_TOKENS }), ids)) text += part;
    texts.push(text.split('\n')[0]);
  }
  return { step, texts };
}

/** Answers, told and kept. */
async function answer(run: Run, step: number): Promise<void> {
  const answers = await answerProbes(run, step);
  listen({ kind: 'answers', answers });
  if (step === 0) before = answers;
  if (run.folder) await keepAnswers({ before, latest: answers });
}

/** The run that is open, if it is of this size; else one that is opened, from a checkpoint if there is one. */
async function openRun(size: SampleSize): Promise<Run> {
  const key = JSON.stringify(size);
  if (open?.key === key) return open.run;
  await closeRun();
  const saves = await hasStorage();
  const p = await prepare(key, size);
  await stage('Opening the device, compiling kernels…');
  const { steps } = p.schedule;
  const every = Math.max(1, Math.ceil(steps / PARTS));
  let points: Point[] = [];
  let last: StepReport | null = null;
  let told = 0;
  let seconds = 0;
  const tell = (): void => {
    if (!last) return;
    const done = last.step + 1;
    listen({ kind: 'steps', points, step: done, loss: last.loss, tokensPerSecond: last.tokensPerSecond, secondsLeft: (steps - done) * seconds });
    told = performance.now();
    points = [];
    last = null;
  };
  const run: Run = await Run.open({
    setup: p.setup,
    schedule: p.schedule,
    accumulate: 1,
    data: p.data,
    tokenizer: p.tokenizer,
    seed: 1,
    validateEvery: every,
    saveEvery: every,
    out: saves ? RUN_DIR : null,
    resume: true,
    stop,
    version: VERSION,
    about: { kind: 'page', size },
    hooks: {
      onStep: (r) => {
        points.push([r.step, bitsOf(p, r.loss)]);
        // A running mean: single steps of a busy machine jump.
        seconds = seconds === 0 ? r.seconds : seconds * 0.9 + r.seconds * 0.1;
        last = r;
        if (stop.requested || performance.now() - told >= TELL_MS) tell();
      },
      onValidate: async (v) => {
        tell();
        listen({ kind: 'held', point: [v.step, v.bitsPerByte] });
        await answer(run, v.step);
      },
      onSave: (_, step) => listen({ kind: 'saved', step }),
      onEvent: (e) => listen({ kind: 'note', text: e.message }),
    },
  });
  open = { key, run };
  const resumed = saves && run.firstStep > 0;
  before = resumed ? await readAnswers('before') : null;
  const history = resumed ? await readHistory(run.firstStep) : { train: [], held: [] };
  listen({
    kind: 'open',
    facts: {
      device: deviceName(run.facts),
      steps,
      step: run.firstStep,
      ngram: p.ngram,
      parameters: countParameters(p.setup.model),
      model: `${size.layers} × ${size.hidden}, ${size.heads} heads, ${p.tokenizer.vocabSize} pieces`,
      plannedBytes: run.plans.memory.total + writer(run).memory.total,
      trainBytes: p.data.trainBytes,
      heldBytes: p.data.validation.sets.reduce((sum, set) => sum + set.bytes, 0),
      prompts: probes,
      train: history.train.map(([step, loss]) => [step, bitsOf(p, loss)] as const),
      held: history.held,
      before,
      latest: resumed ? await readAnswers('latest') : null,
      unsaved: saves ? null : 'this browser gives the page no storage, so nothing is saved',
    },
  });
  return run;
}

const deviceName = (facts: { name: string; vendor: string; fallback: boolean }): string =>
  `${facts.vendor && !facts.name.toLowerCase().includes(facts.vendor.toLowerCase()) ? `${facts.vendor} ` : ''}${facts.name}${facts.fallback ? ' (on the CPU)' : ''}`;

const worker: TrainWorker = {
  look: () =>
    answering<Outlook>(async () => {
      const device = await GpuDevice.open();
      const found = { name: deviceName(device.facts), cpu: device.facts.fallback };
      device.destroy();
      return { device: found, saved: (await hasStorage()) ? await savedRun() : null };
    }),
  train: (size, tell) =>
    answering<TrainEnd>(async () => {
      listen = tell;
      stop.requested = false;
      await takeTab();
      try {
        const run = await openRun(size);
        await stage('Training…');
        const result = await run.train();
        if (result.interrupted) await answer(run, result.steps);
        return { step: result.steps, finished: !result.interrupted };
      } catch (error) {
        // What is saved stays; a run that failed is opened anew from there.
        if (!isScionError(error, 'interrupted')) await closeRun().catch(() => undefined);
        throw error;
      }
    }),
  clear: () =>
    answering(async () => {
      await takeTab();
      await closeRun();
      if (await hasStorage()) await clearRun();
      return null;
    }),
  stop: () => {
    stop.requested = true;
  },
  write: (prompt, tell) =>
    answering(async () => {
      if (!open) throw new ScionError('usage', 'no model is open; start or resume the run first');
      const { tokenizer, setup } = open.run.options;
      const ids = tokenizer.encode(prompt, { bos: true });
      const maxNewTokens = Math.min(WRITE_TOKENS, setup.tokens - ids.length);
      if (maxNewTokens < 1) throw new ScionError('input', `that is ${ids.length} tokens; this model reads ${setup.tokens} at most, so write less`);
      const seed = crypto.getRandomValues(new Uint16Array(1))[0];
      for await (const text of streamText(tokenizer, writer(open.run).generate(ids, { maxNewTokens, temperature: 0.7, topP: 0.9, seed }), ids)) tell(text);
      return null;
    }),
};

Comlink.expose(worker);
