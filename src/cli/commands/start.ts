/**
 * `scion start` (`npm start`): the whole journey in minutes. A tokenizer is learnt, a small LLaMA is
 * trained on the project's own bilingual corpus or on the user's files, measured against a byte n-gram model, asked
 * three questions before and after, and left as a folder that every other verb takes.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { LOCK_NAME } from '../../checkpoint/lock.ts';
import { readDocuments } from '../../data/documents.ts';
import { splitByHash } from '../../data/loader.ts';
import { host } from '../../host/index.ts';
import { Generator } from '../../infer/generator.ts';
import { countParameters } from '../../nn/config.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import { heldOutBytes } from '../../train/held-out.ts';
import { Run } from '../../train/run.ts';
import { ngramBaseline, prepareSampleRun, type RunTexts, SAMPLE_SIZES, type SampleSize, sampleProbes, sampleTexts } from '../../train/sample-run.ts';
import type { Command, Context } from '../command.ts';
import { bytes, duration, si, sparkline } from '../status.ts';
import { runFigures, statusHooks } from '../training.ts';
import { VERSION } from '../version.ts';

/** A prompt, and the answer where one is known. */
interface Probe {
  readonly prompt: string;
  readonly answer: string | null;
}

/** Share of the user's documents held out. */
const VALIDATION_SHARE = 0.05;
/** Tokens of an answer. */
const ANSWER_TOKENS = 12;

async function userTexts(context: Context): Promise<{ texts: RunTexts; probes: Probe[] }> {
  const { files } = await host();
  const patterns = context.flags.list('data');
  const set = await readDocuments(files, patterns);
  const { train, validation } = splitByHash(set.documents, (d) => d.text, VALIDATION_SHARE);
  if (train.length < 2 || validation.length < 1) {
    throw new ScionError(
      'input',
      `${patterns.join(' ')}: ${set.documents.length} documents (${bytes(set.bytes)}) are too few to train and hold some out; give more text`,
    );
  }
  context.print(`data       ${set.files.length} files, ${set.documents.length} documents, ${bytes(set.bytes)}`);
  // The beginnings of three held-out documents stand in for questions.
  const probes = validation.slice(0, 3).map((d) => ({ prompt: [...d.text].slice(0, 40).join('').trimEnd(), answer: null }));
  return { texts: { train: train.map((d) => d.text), validation: validation.map((d) => d.text) }, probes };
}

/** What the model continues each prompt with, greedily, up to a line's end. */
async function ask(run: Run, tokenizer: Tokenizer, probes: readonly Probe[]): Promise<{ answers: string[]; planned: number }> {
  const { model, tokens, precision } = run.options.setup;
  const generator = Generator.attach(run.trainer.stepper.session, model, { precision, capacity: tokens });
  try {
    const answers: string[] = [];
    for (const { prompt } of probes) {
      const ids: number[] = [];
      const start = tokenizer.encode(prompt, { bos: true }).slice(0, tokens - ANSWER_TOKENS - 1);
      for await (const id of generator.generate(start, { maxNewTokens: ANSWER_TOKENS })) ids.push(id);
      const whole = tokenizer.decode([...start, ...ids]);
      answers.push(whole.slice(tokenizer.decode(start).length).split('\n')[0]);
    }
    return { answers, planned: generator.memory.total };
  } finally {
    generator.session.destroy();
  }
}

export const command: Command = {
  name: 'start',
  summary: 'train a small model in minutes: the sample corpus, or your own files (--data)',
  flags: {
    data: { kind: 'list', value: 'FILE …', summary: 'your own text or JSONL files, folders or globs instead of the sample' },
    out: { kind: 'string', value: 'DIR', summary: 'run folder', default: 'runs/start' },
    steps: { kind: 'integer', summary: 'training steps' },
    quick: { kind: 'boolean', summary: 'a smaller model for half a minute', default: false },
    seed: { kind: 'integer', summary: 'of parameters and data order', default: 1 },
    resume: { kind: 'boolean', summary: 'go on with the run in --out instead of starting anew', default: false },
    device: { kind: 'string', value: 'NAME', summary: 'part of an adapter’s name' },
  },
  examples: ['scion start', 'scion start --data my/*.txt --out runs/mine', 'scion start --quick --json'],
  async run(context) {
    const { flags, print, status, result, stop } = context;
    const machine = await host();
    const began = machine.now();
    const preset = SAMPLE_SIZES[flags.boolean('quick') ? 'quick' : 'full'];
    const size: SampleSize = { ...preset, steps: flags.number('steps') ?? preset.steps };
    const out = flags.need('out', 'the folder of the run');
    const own = flags.list('data').length > 0;
    status.set(own ? 'reading your files' : 'making the sample corpus');
    const { texts, probes } = own ? await userTexts(context) : { texts: sampleTexts(size), probes: sampleProbes() as readonly Probe[] };
    status.set('training the byte n-gram model to beat');
    const ngram = ngramBaseline(texts);
    status.set('learning a vocabulary');
    const { tokenizer, data, setup, schedule } = prepareSampleRun(texts, size);
    const parameters = countParameters(setup.model);
    // A new start replaces an earlier sample run; anything else in the way is refused by the folder itself.
    if (!flags.boolean('resume')) await removeEarlierStart(out);
    const facts = { steps: schedule.steps, planned: 0 };
    const run = await Run.open({
      setup,
      schedule,
      accumulate: 1,
      data,
      tokenizer,
      seed: flags.number('seed') ?? 1,
      validateEvery: Math.max(1, Math.ceil(schedule.steps / 4)),
      saveEvery: Math.max(1, Math.ceil(schedule.steps / 4)),
      out,
      resume: true,
      device: { adapter: flags.string('device') },
      hooks: statusHooks(status, facts),
      stop,
      version: VERSION,
      about: { kind: 'start', data: own ? [...flags.list('data')] : 'sample' },
    });
    try {
      facts.planned = run.plans.memory.total;
      print(`device     ${run.facts.name} on ${machine.version}${run.facts.fallback ? ' (a CPU device)' : ''}`);
      print(
        `model      ${si(parameters)} parameters: ${setup.model.numLayers} layers of ${setup.model.hiddenSize}, ${setup.model.numHeads} heads, vocabulary ${setup.model.vocabSize}`,
      );
      print(
        `text       ${bytes(data.trainBytes)} to learn from, ${bytes(heldOutBytes(data.validation))} held out, ${(data.trainBytes / data.statistics.tokensKept).toFixed(2)} bytes a token`,
      );
      const before = run.firstStep === 0 ? (await ask(run, tokenizer, probes)).answers : probes.map(() => '…');
      const trained = await run.train();
      if (trained.interrupted)
        throw new ScionError('interrupted', `stopped at step ${trained.steps}, saved; go on with: npx scion start --resume --out ${out}`);
      const { answers: after, planned: generator } = await ask(run, tokenizer, probes);
      // The generator shares the run's weights; its cache and programs come on top while it answers.
      const planned = run.plans.memory.total + generator;
      const model = joinPath(out, 'model');
      await run.exportModel(model);
      const last = trained.lastValidation?.bitsPerByte ?? Number.NaN;
      print('');
      print(`loss       ${sparkline(trained.curve.map(([, l]) => l))}  ${trained.firstLoss?.toFixed(2)} → ${trained.lastLoss?.toFixed(2)}`);
      print(
        `held-out   ${trained.firstValidation?.bitsPerByte.toFixed(3)} → ${last.toFixed(3)} bits per byte; an order-5 byte n-gram model on the same split: ${ngram.toFixed(3)}${last < ngram ? ' (beaten)' : ''}`,
      );
      print(
        `speed      ${si(trained.tokensPerSecond)} tokens/s, ${si(trained.flopsPerSecond)}FLOP/s; memory ${bytes(run.trainer.stepper.device.peakBytes)} (planned ${bytes(planned)})`,
      );
      print('');
      probes.forEach((p, i) => {
        print(`  ${p.prompt}`);
        print(`    before:${before[i] || ' (nothing)'}`);
        print(
          `    after: ${after[i] || ' (nothing)'}${p.answer === null ? '' : after[i].trim().startsWith(p.answer.trim()) ? '   ✓' : `   (right: ${p.answer.trim()})`}`,
        );
      });
      print('');
      print(`done in ${duration((machine.now() - began) / 1000)}. Next: npx scion generate --model ${model} --prompt "${probes[0].prompt}"`);
      result({
        ...(await runFigures(run, trained)),
        params: parameters,
        ngramBitsPerByte: ngram,
        peakBytesPlanned: planned,
        peakBytesMeasured: run.trainer.stepper.device.peakBytes,
        model,
        questions: probes.map((p, i) => ({ prompt: p.prompt, answer: p.answer, before: before[i], after: after[i] })),
        seconds: (machine.now() - began) / 1000,
      });
    } finally {
      await run.close();
    }
  },
};

/** Removes a run that `start` itself made; a folder that holds anything else is not touched. */
async function removeEarlierStart(out: string): Promise<void> {
  const { files } = await host();
  const config = joinPath(out, 'config.json');
  if ((await files.stat(config)) === null) return;
  let kind: unknown;
  try {
    kind = (JSON.parse(new TextDecoder().decode(await files.read(config))) as { kind?: unknown }).kind;
  } catch {
    kind = null;
  }
  if (kind !== 'start') throw new ScionError('usage', `${out} holds something that scion start did not make; choose another --out`);
  if ((await files.stat(joinPath(out, LOCK_NAME))) !== null) {
    throw new ScionError('locked', `${out} is in use, or its run was killed; add --resume to go on with it, or choose another --out`);
  }
  for (const name of ['checkpoints', 'log.jsonl', 'report.html', 'model', 'tokenizer', 'config.json']) await files.remove(joinPath(out, name));
  for (const entry of await files.list(out)) if (entry.name.includes('tfevents')) await files.remove(joinPath(out, entry.name));
}
