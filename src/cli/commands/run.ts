/**
 * `scion run recipe.yaml`: the whole graft from one file. The same command goes on after whatever stopped it, does again what changed in the
 * recipe, and only tells where nothing did.
 */
import { ScionError } from '../../base/errors.ts';
import { baseName, joinPath, normalPath } from '../../base/path.ts';
import type { YamlFile } from '../../formats/yaml-file.ts';
import { GpuDevice } from '../../gpu/device.ts';
import type { DeviceFacts } from '../../gpu/facts.ts';
import { host } from '../../host/index.ts';
import { checkRecipe } from '../../recipe/check.ts';
import { assumedDevice, assumedGpuFacts, DEVICES, REACHED } from '../../recipe/devices.ts';
import { dryRun, needFit } from '../../recipe/dry-run.ts';
import { readRecipeFile } from '../../recipe/read.ts';
import type { Recipe } from '../../recipe/schema.ts';
import { matmulPeak } from '../../train/peak.ts';
import type { Command, Context } from '../command.ts';
import { printRun, runFiguresOf, runLoaded } from '../recipe-run.ts';
import { bytes, duration, si } from '../status.ts';

/** Prints what a recipe would take. */
async function plan({ flags, print, result, status }: Context, recipe: Recipe, file: YamlFile): Promise<void> {
  const machine = await host();
  await checkRecipe(machine, recipe, file);
  status.set('planning');
  const name = flags.string('gpu');
  const given = flags.number('gflops');
  const assumed = name === undefined ? null : assumedDevice(name);
  let facts: DeviceFacts;
  let speed: number | null;
  let memory: number | null;
  if (assumed) {
    facts = assumedGpuFacts(assumed);
    memory = assumed.memory;
    speed = given === undefined ? assumed.peak * REACHED : given * 1e9;
  } else {
    const device = await GpuDevice.open({ adapter: flags.string('device') });
    facts = device.facts;
    memory = facts.fallback ? machine.memoryBytes() : null;
    device.destroy();
    speed = given === undefined ? await matmulPeak(facts, { adapter: flags.string('device') }) : given * 1e9;
  }
  const made = await dryRun(machine, recipe, { facts, memory, speed, price: flags.number('price') ?? assumed?.price ?? null });
  status.clear();
  print(`device     ${made.device}${made.memory === null ? '' : `, ${(made.memory / 1e9).toFixed(0)} GB`}${assumed ? ' (assumed)' : ''}`);
  print(`model      ${si(made.parameters)} parameters, ${made.vocabulary} rows`);
  for (const stage of made.stages) {
    const time = stage.seconds === null ? '' : `, ${duration(stage.seconds)}`;
    const cost = stage.cost === null ? '' : `, $ ${stage.cost < 10 ? stage.cost.toFixed(2) : Math.round(stage.cost)}`;
    print(
      `${stage.name.padEnd(10)} ${stage.estimated ? 'about ' : ''}${si(stage.tokens)} tokens, ${stage.steps} steps of ${si(stage.tokensPerStep)}; ${stage.bytes === null ? '–' : bytes(stage.bytes)}${time}${cost}`,
    );
    if (stage.problem !== null) print(`           does not fit: ${stage.problem}${stage.remedy === null ? '' : `\n           would fit with ${stage.remedy}`}`);
  }
  if (made.seconds !== null)
    print(
      `in all     ${duration(made.seconds)} at ${si(speed ?? 0)}FLOP/s${made.cost === null ? '' : `, $ ${made.cost < 10 ? made.cost.toFixed(2) : Math.round(made.cost)}`}${given === undefined ? (assumed ? ' (an assumed share of the data sheet)' : ' (the measured peak: a lower bound)') : ''}`,
    );
  result({ ...made });
  needFit(made);
}

export const command: Command = {
  name: 'run',
  summary: 'a whole graft from one recipe: base, vocabulary, rows, data, stages, report, model',
  words: 'RECIPE',
  flags: {
    out: { kind: 'string', value: 'DIR', summary: 'run folder; by default runs/NAME of the recipe' },
    fresh: { kind: 'boolean', summary: 'start anew: remove what an earlier run left in the folder', default: false },
    workers: { kind: 'integer', summary: 'threads of the data pipeline; by default one a core, at most 8' },
    device: { kind: 'string', value: 'NAME', summary: 'part of an adapter’s name' },
    'dry-run': { kind: 'boolean', summary: 'print the plan: tokens, steps, memory, time and cost by stage; run nothing', default: false },
    gpu: {
      kind: 'string',
      value: 'NAME',
      summary: `with --dry-run: plan for a device that is not here: ${DEVICES.map(({ name }) => name).join(', ')}, or its memory (48GB)`,
    },
    gflops: { kind: 'number', summary: 'with --dry-run: speed to reckon with; by default the measured peak of this device, or 40 % of that of --gpu' },
    price: { kind: 'number', summary: 'with --dry-run: dollars an hour' },
  },
  examples: ['scion run recipes/graft-zh.yaml', 'scion run recipes/graft-zh.yaml --out runs/zh --fresh'],
  async run(context) {
    const { flags, result } = context;
    const [path, ...others] = flags.words;
    if (path === undefined || others.length > 0) throw new ScionError('usage', 'scion run takes one recipe, for example: scion run recipes/graft-zh.yaml');
    const machine = await host();
    const { recipe, file } = await readRecipeFile(machine, path);
    if (flags.boolean('dry-run')) {
      await plan(context, recipe, file);
      return;
    }
    const out = normalPath(flags.string('out') ?? joinPath('runs', recipe.name === 'run' ? baseName(path).replace(/\.ya?ml$/, '') : recipe.name));
    const made = await runLoaded(context, { recipe, file }, out);
    await printRun(context, made, out);
    result(runFiguresOf(made, out));
  },
};
