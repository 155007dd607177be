/**
 * `scion train`: one stage of training on the user's data, from a model folder or from a config alone.
 * Stops cleanly on SIGINT, goes on exactly with --resume.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { importHf } from '../../checkpoint/hf.ts';
import type { ReadParameter } from '../../checkpoint/source.ts';
import { readDocuments } from '../../data/documents.ts';
import { collate, splitByHash } from '../../data/loader.ts';
import { host } from '../../host/index.ts';
import { countParameters, type LlamaConfig } from '../../nn/config.ts';
import type { Precision } from '../../nn/parameters.ts';
import type { RecomputePolicy } from '../../tensor/recompute.ts';
import { learnBpe } from '../../text/learn/scratch.ts';
import { loadTokenizer, type Tokenizer, tokenizerFromModel } from '../../text/tokenizer.ts';
import { prepareRunData } from '../../train/data.ts';
import type { TrainSetup } from '../../train/programs.ts';
import { Run } from '../../train/run.ts';
import { profileStep } from '../../train/trace.ts';
import type { Command } from '../command.ts';
import { readConfig } from '../read-config.ts';
import { bytes, duration, si, sparkline } from '../status.ts';
import { runFigures, statusHooks } from '../training.ts';
import { VERSION } from '../version.ts';

/** The model to train: a folder with weights, or a config with random ones. */
async function modelOf(model: string | undefined, config: string | undefined): Promise<{ config: LlamaConfig; read?: ReadParameter; folder?: string }> {
  const { files } = await host();
  if (model) {
    const source = await importHf(files, model);
    return { config: source.config, read: (name) => source.read(name), folder: model };
  }
  if (!config) throw new ScionError('usage', 'scion train needs --model DIR (weights to go on from) or --config FILE (a new model of that shape)');
  return { config: await readConfig(files, config) };
}

export const command: Command = {
  name: 'train',
  summary: 'train a model folder, or a new model from a config, on your data',
  flags: {
    model: { kind: 'string', value: 'DIR', summary: 'a Hugging Face folder to go on from' },
    config: { kind: 'string', value: 'FILE', summary: 'a config.json; the model starts from random weights' },
    tokenizer: { kind: 'string', value: 'F', summary: 'folder or file; by default that of --model, or one learnt on the data' },
    data: { kind: 'list', value: 'FILE …', summary: 'text or JSONL files, folders or globs' },
    validation: { kind: 'list', value: 'FILE …', summary: 'held-out files; by default a share of --data' },
    'validation-share': { kind: 'number', summary: 'share of documents held out', default: 0.05 },
    out: { kind: 'string', value: 'DIR', summary: 'run folder' },
    steps: { kind: 'integer', summary: 'optimizer steps', default: 1000 },
    batch: { kind: 'integer', summary: 'packs a micro', default: 4 },
    tokens: { kind: 'integer', summary: 'tokens a pack', default: 256 },
    accumulate: { kind: 'integer', summary: 'micros a step', default: 1 },
    lr: { kind: 'number', summary: 'peak learning rate', default: 0.0003 },
    warmup: { kind: 'integer', summary: 'steps of warm-up; by default a twentieth' },
    schedule: { kind: 'string', choices: ['cosine', 'constant', 'linear', 'wsd'], summary: 'of the learning rate', default: 'cosine' },
    'min-lr': { kind: 'number', summary: 'floor as a share of the peak', default: 0.1 },
    optimizer: { kind: 'string', choices: ['adamw', 'sgd'], summary: 'update rule', default: 'adamw' },
    'weight-decay': { kind: 'number', summary: 'on matrices', default: 0.1 },
    clip: { kind: 'number', summary: 'largest gradient norm; 0 for none', default: 1 },
    'z-loss': { kind: 'number', summary: 'weight of log-partition squared', default: 0 },
    precision: { kind: 'string', choices: ['f32', 'mixed'], summary: 'mixed: 16-bit weights and activations', default: 'f32' },
    recompute: { kind: 'string', choices: ['none', 'layer', 'selective'], summary: 'activations made again instead of kept', default: 'none' },
    'validate-every': { kind: 'integer', summary: 'steps between validations', default: 100 },
    'save-every': { kind: 'integer', summary: 'steps between checkpoints', default: 100 },
    keep: { kind: 'integer', summary: 'checkpoints kept', default: 2 },
    seed: { kind: 'integer', summary: 'of parameters and data order', default: 1 },
    device: { kind: 'string', value: 'NAME', summary: 'part of an adapter’s name' },
    profile: { kind: 'boolean', summary: 'write a Perfetto trace of one step after the last, to OUT/trace.json', default: false },
    resume: { kind: 'boolean', summary: 'go on with the run in --out', default: false },
  },
  examples: [
    'scion train --model runs/start/model --data notes/*.md --out runs/notes --steps 200',
    'scion train --config tiny.json --data corpus.jsonl --out runs/tiny --precision mixed',
    'scion train --config tiny.json --data corpus.jsonl --out runs/tiny --precision mixed --resume',
  ],
  async run(context) {
    const { flags, print, status, result, stop } = context;
    const machine = await host();
    const began = machine.now();
    const number = (name: string): number => flags.number(name) as number;
    const out = flags.need('out', 'the run folder to write');
    const patterns = flags.list('data');
    if (patterns.length === 0) throw new ScionError('usage', 'scion train needs --data FILE …');
    const source = await modelOf(flags.string('model'), flags.string('config'));
    status.set('reading data');
    const set = await readDocuments(machine.files, patterns);
    const heldOut = flags.list('validation');
    const held = heldOut.length > 0 ? (await readDocuments(machine.files, heldOut)).documents : null;
    const split = held ? { train: set.documents, validation: held } : splitByHash(set.documents, (d) => d.text, number('validation-share'));
    const train = split.train.map((d) => d.text);
    let tokenizer: Tokenizer;
    const resumed = flags.boolean('resume') ? joinPath(out, 'tokenizer') : null;
    const from = flags.string('tokenizer') ?? source.folder;
    if (from) tokenizer = await loadTokenizer(machine.files, from);
    else if (resumed && (await machine.files.stat(resumed))) tokenizer = await loadTokenizer(machine.files, resumed);
    else {
      status.set(`learning a vocabulary of ${source.config.vocabSize}`);
      tokenizer = tokenizerFromModel(learnBpe(train, { size: source.config.vocabSize }));
    }
    if (tokenizer.vocabSize > source.config.vocabSize) {
      throw new ScionError('input', `the tokenizer has ${tokenizer.vocabSize} pieces, the model ${source.config.vocabSize} rows; they do not belong together`);
    }
    status.set('packing');
    const tokens = number('tokens');
    const data = prepareRunData(
      tokenizer,
      train,
      split.validation.map((d) => d.text),
      { tokens, window: source.config.slidingWindow ?? 0 },
    );
    const decay = number('weight-decay');
    const setup: TrainSetup = {
      model: source.config,
      precision: flags.string('precision') as Precision,
      batch: number('batch'),
      tokens,
      optimizer: flags.string('optimizer') === 'sgd' ? { kind: 'sgd', momentum: 0.9, decay } : { kind: 'adamw', beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay },
      clip: number('clip'),
      recompute: flags.string('recompute') as RecomputePolicy,
      zLoss: number('z-loss'),
    };
    const steps = number('steps');
    const facts = { steps, planned: 0 };
    const run = await Run.open({
      setup,
      schedule: {
        kind: flags.string('schedule') as 'cosine' | 'constant' | 'linear' | 'wsd',
        peak: number('lr'),
        warmup: flags.number('warmup') ?? Math.ceil(steps / 20),
        steps,
        minimum: number('min-lr'),
      },
      accumulate: number('accumulate'),
      data,
      tokenizer,
      seed: number('seed'),
      initial: source.read,
      validateEvery: number('validate-every'),
      saveEvery: number('save-every'),
      keep: number('keep'),
      out,
      resume: flags.boolean('resume'),
      device: { adapter: flags.string('device') },
      hooks: statusHooks(status, facts),
      stop,
      version: VERSION,
      about: { kind: 'train', data: [...patterns] },
    });
    try {
      facts.planned = run.plans.memory.total;
      for (const note of run.folder?.notes ?? []) print(`note       ${note}`);
      print(`device     ${run.facts.name} on ${machine.version}`);
      print(`model      ${si(countParameters(setup.model))} parameters, ${setup.precision}; memory ${bytes(run.plans.memory.total)}`);
      print(
        `data       ${data.train.length} packs of ${tokens} (${(data.statistics.fill * 100).toFixed(1)} % full), ${bytes(data.trainBytes)}; held out ${bytes(data.validation.bytes)}`,
      );
      const trained = await run.train();
      if (trained.interrupted) throw new ScionError('interrupted', `stopped at step ${trained.steps}, saved; go on by adding --resume to the same command`);
      const model = joinPath(out, 'model');
      await run.exportModel(model);
      if (flags.boolean('profile')) {
        // After the export: the profiled step is one step more, which nothing keeps.
        const trace = joinPath(out, 'trace.json');
        await machine.files.write(
          trace,
          new TextEncoder().encode(await profileStep(run.trainer.stepper, collate(data.train.slice(0, setup.batch)), number('lr'))),
        );
        print(`trace      ${trace} (open it at ui.perfetto.dev)`);
      }
      print(`loss       ${sparkline(trained.curve.map(([, l]) => l))}  ${trained.firstLoss?.toFixed(3) ?? '–'} → ${trained.lastLoss?.toFixed(3) ?? '–'}`);
      print(`held-out   ${trained.firstValidation?.bitsPerByte.toFixed(4)} → ${trained.lastValidation?.bitsPerByte.toFixed(4)} bits per byte`);
      print(`done in ${duration((machine.now() - began) / 1000)}: ${model}`);
      result({
        ...(await runFigures(run, trained)),
        params: countParameters(setup.model),
        peakBytesPlanned: run.plans.memory.total,
        peakBytesMeasured: run.trainer.stepper.device.peakBytes,
        model,
        seconds: (machine.now() - began) / 1000,
      });
    } finally {
      await run.close();
    }
  },
};
