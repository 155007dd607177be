/**
 * `scion train`: one stage of training on the user's data, from a model folder or from a config alone.
 * Stops cleanly on SIGINT, goes on exactly with --resume.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { importHf } from '../../checkpoint/hf.ts';
import type { ReadParameter } from '../../checkpoint/source.ts';
import { host } from '../../host/index.ts';
import { countParameters, type LlamaConfig } from '../../nn/config.ts';
import type { Precision } from '../../nn/parameters.ts';
import { type Mesh, type MeshShape, meshName, meshSize, openMesh, parseMesh } from '../../shard/mesh.ts';
import { checkPlace, type ZeroStage } from '../../shard/place.ts';
import type { SequenceKind } from '../../shard/sequence.ts';
import type { RecomputePolicy } from '../../tensor/recompute.ts';
import { heldOutBytes } from '../../train/held-out.ts';
import type { TrainSetup } from '../../train/programs.ts';
import { microsOfRank } from '../../train/rank-stepper.ts';
import { Run } from '../../train/run.ts';
import { REPORT_NAME } from '../../train/run-folder.ts';
import { profileStep } from '../../train/trace.ts';
import type { Command, Context } from '../command.ts';
import type { Flags } from '../flags.ts';
import { adapterOf, runOnMpi, runOnThreads, type Together, TRANSPORT_FLAG } from '../ranks.ts';
import { readConfig } from '../read-config.ts';
import { bytes, duration, si, sparkline } from '../status.ts';
import { runFigures, statusHooks } from '../training.ts';
import { trainingData } from '../training-data.ts';
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
    data: { kind: 'list', value: 'FILE …', summary: 'text or JSONL files, folders or globs, or one folder of packed data' },
    validation: { kind: 'list', value: 'FILE …', summary: 'held-out files; by default a share of --data, none with packed data' },
    'validation-share': { kind: 'number', summary: 'share of documents held out', default: 0.05 },
    out: { kind: 'string', value: 'DIR', summary: 'run folder' },
    steps: { kind: 'integer', summary: 'optimizer steps', default: 1000 },
    batch: { kind: 'integer', summary: 'packs a micro', default: 4 },
    tokens: { kind: 'integer', summary: 'tokens a pack; by default 256, or those of packed data' },
    accumulate: { kind: 'integer', summary: 'micros a step, shared by all ranks; by default 1, or as many as --mesh has in dp' },
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
    'validation-bytes': {
      kind: 'integer',
      summary: 'held-out text measured a category, chosen by hash; 0 for all; by default 64 KiB or what the run can afford',
    },
    'validate-every': { kind: 'integer', summary: 'steps between validations; by default 100, more where that would cost over 1.2 % of the arithmetic' },
    'save-every': { kind: 'integer', summary: 'steps between checkpoints; by default 100, more where that would cost over 2 % of the run' },
    prompts: { kind: 'list', value: 'TEXT …', summary: 'texts that the model continues at each validation; in the log and the report' },
    'first-row': { kind: 'integer', summary: 'first new row of the embedding: tells how far new and old rows move' },
    outlier: { kind: 'number', summary: 'skip steps whose gradient norm is so many times the running median; 0 for none', default: 0 },
    keep: { kind: 'integer', summary: 'checkpoints kept', default: 2 },
    seed: { kind: 'integer', summary: 'of parameters and data order', default: 1 },
    device: { kind: 'string', value: 'NAME', summary: 'part of an adapter’s name' },
    devices: { kind: 'integer', summary: 'ranks that share each step’s micros, a worker each; as --mesh dp=N' },
    mesh: { kind: 'string', value: 'dp=N,tp=N', summary: 'ranks by axis: dp shares micros, sp the tokens of a pack, tp splits matrices and vocabulary' },
    sequence: { kind: 'string', choices: ['heads', 'ring'], summary: 'how attention sees other sp ranks’ tokens; by default by heads where they divide' },
    zero: { kind: 'integer', summary: 'what dp and sp ranks share out: 1 moments, 2 gradients too, 3 parameters too', default: 0 },
    transport: TRANSPORT_FLAG,
    profile: { kind: 'boolean', summary: 'write a Perfetto trace of one step after the last, to OUT/trace.json', default: false },
    resume: { kind: 'boolean', summary: 'go on with the run in --out', default: false },
  },
  examples: [
    'scion train --model runs/start/model --data notes/*.md --out runs/notes --steps 200',
    'scion train --config tiny.json --data corpus.jsonl --out runs/tiny --precision mixed',
    'scion train --model runs/start/model --data packed --validation held-out.jsonl --out runs/graft',
    'scion train --config tiny.json --data corpus.jsonl --out runs/tiny --precision mixed --resume',
    'scion train --config tiny.json --data corpus.jsonl --out runs/four --devices 4 --zero 2',
    'mpiexec -n 4 scion train --config tiny.json --data corpus.jsonl --out runs/four --mesh dp=2,tp=2',
  ],
  async run(context) {
    const byMpi = await runOnMpi(context, async (rank, world, together) => {
      const mesh = await together(async () => {
        const shape = meshOf(rank.flags, world.size);
        checkMesh(rank.flags, shape);
        return meshSize(shape) === 1 && world.size === 1 ? null : openMesh(shape, world);
      });
      await train(rank, mesh, together);
    });
    if (byMpi) return;
    const shape = meshOf(context.flags);
    checkMesh(context.flags, shape);
    if (meshSize(shape) > 1) await runOnThreads(context, meshSize(shape));
    else await train(context, null);
  },
};

/** The mesh that flags ask for; where they ask for none, all ranks that were started share the micros. */
export function meshOf(flags: Flags, started = 1): MeshShape {
  const [devices, mesh] = [flags.number('devices'), flags.string('mesh')];
  if (devices !== undefined && mesh !== undefined) throw new ScionError('usage', `--devices ${devices} is short for --mesh dp=${devices}; give one of the two`);
  return parseMesh(mesh ?? `dp=${devices ?? started}`);
}

/** Refuses a mesh that cannot train, before any rank does anything. */
function checkMesh(flags: Flags, shape: MeshShape): void {
  const zero = flags.number('zero') as ZeroStage;
  checkPlace({ shape, rank: 0, zero });
  if (flags.has('sequence') && shape.sp === 1)
    throw new ScionError(
      'usage',
      `--sequence says how sp ranks split packs; the mesh ${meshName(shape)} has none: add for example --mesh sp=2, or leave it out`,
    );
  if (flags.has('accumulate')) microsOfRank(new Array(flags.number('accumulate')).fill(0), shape.dp, 0, zero >= 2);
}

/** One stage of training, on a device alone or as one rank of a mesh. `together`: ranks that cannot read their input fail as one. */
export async function train(context: Context, mesh: Mesh | null, together: Together = (work) => work()): Promise<void> {
  const { flags, print, status, result, stop } = context;
  const machine = await host();
  const began = machine.now();
  const number = (name: string): number => flags.number(name) as number;
  const zero = number('zero') as ZeroStage;
  const patterns = flags.list('data');
  const { out, source, tokenizer, data, tokens, about } = await together(async () => {
    const out = flags.need('out', 'the run folder to write');
    if (patterns.length === 0) throw new ScionError('usage', 'scion train needs --data FILE …');
    const source = await modelOf(flags.string('model'), flags.string('config'));
    return { out, source, ...(await trainingData(machine.files, { flags, status, config: source.config, folder: source.folder, out })) };
  });
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
    ...(number('outlier') > 0 && { outlier: number('outlier') }),
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
    accumulate: flags.number('accumulate') ?? mesh?.shape.dp ?? 1,
    ...(mesh && { ranks: { mesh, zero, sequence: flags.string('sequence') as SequenceKind | undefined } }),
    data,
    tokenizer,
    seed: number('seed'),
    initial: source.read,
    validateEvery: flags.number('validate-every'),
    saveEvery: flags.number('save-every'),
    firstRow: flags.number('first-row'),
    prompts: flags.list('prompts'),
    keep: number('keep'),
    out,
    resume: flags.boolean('resume'),
    device: { adapter: adapterOf(machine, flags, mesh?.world) },
    hooks: statusHooks(status, facts),
    stop,
    version: VERSION,
    about: { kind: 'train', data: [...patterns], ...about },
  });
  try {
    facts.planned = run.plans.memory.total;
    for (const note of run.folder?.notes ?? []) print(`note       ${note}`);
    print(`device     ${run.facts.name} on ${machine.version}`);
    if (mesh) print(`mesh       ${meshName(mesh.shape)}, ZeRO ${zero}; what follows is a rank's`);
    print(`model      ${si(countParameters(setup.model))} parameters, ${setup.precision}; memory ${bytes(run.plans.memory.total)}`);
    print(
      `data       ${data.packs} packs of ${tokens} (${(data.fill * 100).toFixed(1)} % full)${data.trainBytes === null ? '' : `, ${bytes(data.trainBytes)}`}; held out ${data.validation ? bytes(heldOutBytes(data.validation)) : 'nothing'}`,
    );
    const trained = await run.train();
    if (trained.interrupted) throw new ScionError('interrupted', `stopped at step ${trained.steps}, saved; go on by adding --resume to the same command`);
    const model = joinPath(out, 'model');
    await run.exportModel(model);
    if (flags.boolean('profile') && mesh) status.note('no trace is written of a step on several ranks');
    else if (flags.boolean('profile')) {
      // After the export: the profiled step is one step more, which nothing keeps.
      const trace = joinPath(out, 'trace.json');
      const batches = data.open(setup.batch, number('seed'));
      await machine.files.write(trace, new TextEncoder().encode(await profileStep(run.trainer.stepper, await batches.next(), number('lr'))));
      await batches.close?.();
      print(`trace      ${trace} (open it at ui.perfetto.dev)`);
    }
    print(`loss       ${sparkline(trained.curve.map(([, l]) => l))}  ${trained.firstLoss?.toFixed(3) ?? '–'} → ${trained.lastLoss?.toFixed(3) ?? '–'}`);
    if (data.validation)
      print(`held-out   ${trained.firstValidation?.bitsPerByte.toFixed(4)} → ${trained.lastValidation?.bitsPerByte.toFixed(4)} bits per byte`);
    print(`report     ${joinPath(out, REPORT_NAME)}`);
    print(`done in ${duration((machine.now() - began) / 1000)}: ${model}`);
    result({
      ...(await runFigures(run, trained)),
      params: countParameters(setup.model),
      peakBytesPlanned: run.plans.memory.total + trained.sampleBytes,
      peakBytesMeasured: run.trainer.stepper.device.peakBytes,
      model,
      report: joinPath(out, REPORT_NAME),
      seconds: (machine.now() - began) / 1000,
    });
  } finally {
    await run.close();
  }
}
