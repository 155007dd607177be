/**
 * `scion plan`: will it fit, and how long will it take? Bytes by kind and the peak for any config on any
 * device or on named limits, without allocating anything; with `--html` a drawing of memory over one step.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { GpuDevice } from '../../gpu/device.ts';
import { assumedFacts, type DeviceFacts, type DeviceLimits } from '../../gpu/facts.ts';
import { host } from '../../host/index.ts';
import { countParameters } from '../../nn/config.ts';
import type { Precision } from '../../nn/parameters.ts';
import type { RecomputePolicy } from '../../tensor/recompute.ts';
import { planHtml } from '../../train/plan-html.ts';
import { LLAMA_ADAMW, planTraining, type TrainSetup } from '../../train/programs.ts';
import type { Command } from '../command.ts';
import { readConfig } from '../read-config.ts';
import { bytes, duration, si } from '../status.ts';

const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
];

/** 2GiB, 128MiB, 4096. */
function parseSize(text: string): number {
  const found = /^(\d+(?:\.\d+)?)\s*(ki?b?|mi?b?|gi?b?|b)?$/i.exec(text.trim());
  if (!found) throw new ScionError('usage', `"${text}" is no size; write for example 2GiB, 128MiB or 4096`);
  const unit = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }[(found[2] ?? '').charAt(0).toLowerCase()] ?? 1;
  return Math.floor(Number(found[1]) * unit);
}

function parseLimits(words: readonly string[]): Partial<DeviceLimits> {
  return Object.fromEntries(
    words.map((word) => {
      const [name, value] = word.split('=');
      if (!LIMITS.includes(name) || value === undefined) throw new ScionError('usage', `--limits takes NAME=SIZE with ${LIMITS.join(', ')}; got "${word}"`);
      return [name, parseSize(value)];
    }),
  );
}

export const command: Command = {
  name: 'plan',
  summary: 'will it fit, and how long will it take? bytes by kind without touching a device',
  flags: {
    model: { kind: 'string', value: 'DIR', summary: 'a Hugging Face folder (only its config.json is read)' },
    config: { kind: 'string', value: 'FILE', summary: 'a config.json' },
    batch: { kind: 'integer', summary: 'packs a micro', default: 4 },
    tokens: { kind: 'integer', summary: 'tokens a pack', default: 256 },
    accumulate: { kind: 'integer', summary: 'micros a step', default: 1 },
    steps: { kind: 'integer', summary: 'steps, for the time', default: 1000 },
    precision: { kind: 'string', choices: ['f32', 'mixed'], summary: 'mixed: 16-bit weights and activations', default: 'f32' },
    recompute: { kind: 'string', choices: ['none', 'layer', 'selective'], summary: 'activations made again instead of kept', default: 'none' },
    device: { kind: 'string', value: 'NAME', summary: 'read limits from this adapter (any, if empty) instead of assuming' },
    limits: { kind: 'list', value: 'NAME=SIZE …', summary: 'limits to plan for, over those of the device or WebGPU’s base' },
    profile: { kind: 'string', choices: ['generic', 'specialised'], summary: 'kernels of a CPU device or of a GPU', default: 'specialised' },
    budget: { kind: 'string', value: 'SIZE', summary: 'fail if more than this is needed' },
    gflops: { kind: 'number', summary: 'speed to reckon with, in GFLOP/s (scion doctor measures it)' },
    html: { kind: 'string', value: 'FILE', summary: 'write a drawing of memory over one step' },
  },
  examples: [
    'scion plan --config tiny.json --batch 8 --tokens 512',
    'scion plan --model llama-7b --precision mixed --recompute layer --limits maxStorageBufferBindingSize=2GiB maxBufferSize=80GiB --budget 80GiB',
    'scion plan --config tiny.json --html plan.html',
  ],
  async run({ flags, print, result, status }) {
    const { files } = await host();
    const path = flags.string('config') ?? (flags.has('model') ? joinPath(flags.need('model', ''), 'config.json') : null);
    if (path === null) throw new ScionError('usage', 'scion plan needs --config FILE or --model DIR');
    const model = await readConfig(files, path);
    const limits = parseLimits(flags.list('limits'));
    let facts: DeviceFacts = assumedFacts({ profile: flags.string('profile') as DeviceFacts['profile'], limits });
    if (flags.has('device')) {
      const device = await GpuDevice.open({ adapter: flags.string('device') || undefined });
      facts = { ...device.facts, limits: { ...device.facts.limits, ...limits } };
      device.destroy();
    }
    const setup: TrainSetup = {
      model,
      precision: flags.string('precision') as Precision,
      batch: flags.number('batch') as number,
      tokens: flags.number('tokens') as number,
      optimizer: LLAMA_ADAMW,
      clip: 1,
      recompute: flags.string('recompute') as RecomputePolicy,
    };
    status.set('planning');
    const { plans, memory } = planTraining(setup, facts);
    const accumulate = flags.number('accumulate') as number;
    const steps = flags.number('steps') as number;
    const flopsPerStep = plans.micro.flops * accumulate + plans.update.flops;
    const speed = flags.number('gflops');
    const seconds = speed ? (flopsPerStep * steps) / (speed * 1e9) : null;
    const tokensPerStep = setup.batch * setup.tokens * accumulate;
    const rows: (readonly [string, string])[] = [
      ['parameters', si(countParameters(model))],
      ...Object.entries(memory.states).map(([kind, n]) => [kind, bytes(n)] as const),
      ['activations and scratch', bytes(memory.arena)],
      ['constants', bytes(memory.constants)],
      ['step data', bytes(memory.data)],
      ['uniforms', bytes(memory.uniforms)],
      ['readback', bytes(memory.staging)],
      ['peak', bytes(memory.total)],
      ['tokens a step', si(tokensPerStep)],
      ['FLOPs a step', si(flopsPerStep)],
      ['launches a step', String(plans.micro.commands.length * accumulate + plans.update.commands.length)],
      ...(seconds === null ? [] : [[`${steps} steps at ${speed} GFLOP/s`, duration(seconds)] as const]),
    ];
    const width = Math.max(...rows.map(([k]) => k.length));
    for (const [k, v] of rows) print(`${k.padEnd(width)}  ${v.padStart(12)}`);
    const html = flags.string('html');
    if (html) {
      await files.write(html, new TextEncoder().encode(planHtml(`scion plan: ${path}`, rows, [plans.micro, plans.update, plans.evaluate])));
      print(`drawing: ${html}`);
    }
    const budget = flags.string('budget');
    const fits = budget ? memory.total <= parseSize(budget) : null;
    result({ device: facts.name, params: countParameters(model), peakBytes: memory.total, bytes: memory, tokensPerStep, flopsPerStep, seconds, fits });
    if (fits === false) {
      throw new ScionError(
        'memory',
        `it does not fit: ${bytes(memory.total)} are needed, the budget is ${budget}; try --recompute layer, --precision mixed, or a smaller --batch with --accumulate`,
      );
    }
  },
};
