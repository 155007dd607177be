/**
 * A kernel's text, tried on a device: does it compile, is it right, how fast is it. The text stands in for the shipped one in the same graph, plan and
 * session that training uses; the op's float64 reference is the oracle. Nothing wrong is timed, and nothing runs unguarded
 * that has not come to its end with its loops counted (`gpu/loop-guard.ts`).
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { bytes as showBytes } from '../base/format.ts';
import type { GpuDevice } from '../gpu/device.ts';
import { expandKernel, type SourceOf } from '../gpu/expand.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import { GUARD } from '../gpu/loop-guard.ts';
import { Profiler } from '../gpu/profiler.ts';
import { host } from '../host/index.ts';
import { buildCase, F16_TOLERANCE, F32_TOLERANCE, factsOfCase, graphOfCase, normError, type OpCase } from './case.ts';
import { type Command, type Plan, planGraph } from './plan.ts';
import { evaluateReference, type RefFeeds } from './reference.ts';
import { memoryOf, Session } from './session.ts';
import { caseOfTrial, settingOf } from './trials/index.ts';
import type { Setting, Trial } from './trials/types.ts';
import { byteSize, type Shape } from './types.ts';

/** Something the compiler said of a kernel's text. Lines and columns from 1. */
export interface Diagnostic {
  /** Path below `kernels/`. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly severity: 'error' | 'warning';
  readonly message: string;
}

/** An element that is off. */
export interface Mismatch {
  readonly index: readonly number[];
  readonly found: number;
  readonly wanted: number;
}

/** One output held against float64. */
export interface OutputCheck {
  readonly name: string;
  readonly shape: Shape;
  readonly ok: boolean;
  /** ‖found − wanted‖ / ‖wanted‖; infinite where something is not finite that should be. */
  readonly error: number;
  readonly tolerance: number;
  /** Largest difference of one element. */
  readonly worst: number;
  /** Elements beyond the tolerance, and the first five of them; NaN and infinity counted apart. */
  readonly off: number;
  readonly mismatches: readonly Mismatch[];
  readonly nan: number;
  readonly infinite: number;
}

/** A kernel at one setting. */
export interface SizeCheck {
  readonly setting: Setting;
  readonly ok: boolean;
  readonly outputs: readonly OutputCheck[];
}

/** How long the kernel's launches take. */
export interface TrialTime {
  /** Seconds of all launches of one run; a tenth of the times lie below `low`, a tenth above `high`. */
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly samples: number;
  /** Runs in each timed pass. */
  readonly repeats: number;
  readonly by: 'timestamp query' | 'clock';
  /** Of one run. */
  readonly flops: number;
  readonly bytes: number;
}

export interface TrialReport {
  readonly kernel: string;
  readonly checks: readonly SizeCheck[];
  readonly ok: boolean;
  /** Null while it is wrong. */
  readonly time: TrialTime | null;
}

/** What is being done; a phase of the device may hang, one of the host only takes its time. */
export type Phase = 'guard' | 'reference' | 'device' | 'time';

export interface TrialOptions {
  /** Opens a device whose kernels come from these texts; it is destroyed afterwards. */
  readonly open: (sourceOf: SourceOf) => Promise<GpuDevice>;
  readonly sourceOf: SourceOf;
  /** The text with at most so many rounds in a loop. */
  readonly guarded: (limit: number) => SourceOf;
  readonly say?: (phase: Phase) => void;
  /** Seconds of timing; 0 for none. */
  readonly seconds?: number;
}

/** Bytes on the device beyond which a trial is refused: two of them and their float64 twins must fit into a tab. */
export const MOST_TRIAL_BYTES = 2 ** 28;
/** FLOPs that the float64 reference is given: a few seconds of one core. */
const MOST_REFERENCE_FLOPS = 2e9;

const launches = (plan: Plan, kernel: string) =>
  plan.commands.filter((c): c is Extract<Command, { kind: 'dispatch' }> => c.kind === 'dispatch' && c.kernel === kernel);

/**
 * A trial planned for a device. @throws ScionError `memory` with the numbers if it is too large, `input` where the device or the sizes do not lead to the kernel.
 */
export function planTrial(trial: Trial, setting: Setting, facts: DeviceFacts): { readonly c: OpCase; readonly plan: Plan } {
  const c = caseOfTrial(trial, setting);
  const missing = (c.needs ?? []).filter((feature) => !facts.features.includes(feature));
  if (missing.length > 0) throw new ScionError('input', `${trial.kernel} needs ${missing.join(', ')}, which ${facts.name} does not offer here`);
  const { leaves, wanted, graph } = graphOfCase(c);
  const limit = facts.limits.maxStorageBufferBindingSize;
  const large = [...leaves, ...Object.entries(wanted).map(([name, v]) => ({ name, shape: v.shape, dtype: v.dtype }))]
    .map((t) => ({ ...t, bytes: byteSize(t) }))
    .sort((a, b) => b.bytes - a.bytes);
  const total = large.reduce((sum, t) => sum + t.bytes, 0);
  const tell = (t: (typeof large)[number]) => `${t.name} [${t.shape.join(', ')}] ${t.dtype} takes ${showBytes(t.bytes)}`;
  if (large[0] && (large[0].bytes > limit || total > MOST_TRIAL_BYTES)) {
    throw new ScionError(
      'memory',
      `${tell(large[0])}, all tensors ${showBytes(total)}; a trial takes at most ${showBytes(MOST_TRIAL_BYTES)}, and this device binds at most ${showBytes(limit)} at once. Take smaller sizes.`,
    );
  }
  const plan = planGraph(graph, { name: 'trial', facts: factsOfCase(facts, c), outputs: wanted });
  const memory = memoryOf([plan]).total;
  if (memory > 3 * MOST_TRIAL_BYTES) throw new ScionError('memory', `the plan takes ${showBytes(memory)} on the device; take smaller sizes`);
  if (launches(plan, trial.kernel).length === 0) {
    const instead = [...new Set(plan.commands.flatMap((x) => (x.kind === 'dispatch' ? [x.kernel] : [])))];
    throw new ScionError('input', `at these sizes and options this device runs ${instead.join(', ')} instead of ${trial.kernel}; choose others`);
  }
  return { c, plan };
}

/** The compiler's word on a kernel's text, in every form that a setting needs. Empty: it compiles. */
export async function compileTrial(device: GpuDevice, trial: Trial, setting: Setting, sourceOf: SourceOf): Promise<Diagnostic[]> {
  const found = new Map<string, Diagnostic>();
  const note = (d: Diagnostic) => found.set(`${d.file}:${d.line}:${d.column} ${d.message}`, d);
  for (const at of [setting, { ...settingOf(trial, 'ugly'), options: setting.options, dtype: setting.dtype }]) {
    const variants = new Map(launches(planTrial(trial, at, device.facts).plan, trial.kernel).map((c) => [JSON.stringify(c.switches), c]));
    for (const { kernel, switches } of variants.values()) {
      try {
        const { code, lines } = expandKernel(kernel, switches, sourceOf);
        device.raw.pushErrorScope('validation');
        const info = await device.raw.createShaderModule({ label: kernel, code }).getCompilationInfo();
        await device.raw.popErrorScope();
        for (const m of info.messages) {
          if (m.type === 'info') continue;
          const place = lines[m.lineNum - 1] ?? { file: `${kernel}.wgsl`, line: 1 };
          note({ ...place, column: Math.max(1, m.linePos), severity: m.type, message: m.message });
        }
      } catch (error) {
        if (!isScionError(error)) throw error;
        // The text processor names its place in its words.
        const place = /^([\w/]+\.wgsl):(\d+): ([\s\S]*)$/.exec(error.message);
        note({ file: place?.[1] ?? `${kernel}.wgsl`, line: Number(place?.[2] ?? 1), column: 1, severity: 'error', message: place?.[3] ?? error.message });
      }
    }
  }
  return [...found.values()];
}

/** The index of an element, axis by axis. */
function indexOf(flat: number, shape: Shape): number[] {
  const index: number[] = [];
  for (let rest = flat, axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(rest % shape[axis]);
    rest = Math.floor(rest / shape[axis]);
  }
  return index;
}

/** Holds an output against float64. */
export function checkOutput(name: string, shape: Shape, found: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): OutputCheck {
  let scale = 0;
  for (let i = 0; i < wanted.length; i++) if (Number.isFinite(wanted[i])) scale = Math.max(scale, Math.abs(wanted[i]));
  const mismatches: Mismatch[] = [];
  let [worst, off, nan, infinite] = [0, 0, 0, 0];
  for (let i = 0; i < wanted.length; i++) {
    if (Object.is(found[i], wanted[i])) continue;
    if (Number.isNaN(found[i])) nan++;
    else if (!Number.isFinite(found[i])) infinite++;
    const difference = Math.abs(found[i] - wanted[i]);
    if (difference > worst) worst = difference;
    if (difference <= tolerance * scale) continue;
    off++;
    if (mismatches.length < 5) mismatches.push({ index: indexOf(i, shape), found: found[i], wanted: wanted[i] });
  }
  const error = normError(found, wanted);
  return { name, shape, ok: error <= tolerance, error, tolerance, worst, off, mismatches, nan, infinite };
}

/** Runs and checks one setting on a device; times it too if asked. */
async function runAt(device: GpuDevice, trial: Trial, setting: Setting, options: TrialOptions, beside?: Readonly<Record<string, GPUBuffer>>) {
  const { c, plan: planned } = planTrial(trial, setting, device.facts);
  const { wanted, feeds } = buildCase(c);
  const [first] = Object.values(wanted);
  const plan = first ? planGraph(first.node.graph, { name: 'trial', facts: planned.facts, outputs: wanted }) : planned;
  options.say?.('device');
  const session = new Session(device, { main: plan }, { beside });
  session.programs.main.run(feeds, c.scalars);
  const found = await session.programs.main.read();
  return { c, plan, wanted, feeds, found, session };
}

/**
 * Tries a kernel's text: at its ugly sizes with loops counted, then at the sizes asked for, then for its time.
 * @throws ScionError `input` for a loop that does not end, `memory` for sizes too large, `device` for what the device refuses.
 */
export async function runTrial(trial: Trial, setting: Setting, options: TrialOptions): Promise<TrialReport> {
  const ugly = { ...settingOf(trial, 'ugly'), options: setting.options, dtype: setting.dtype };
  const rounds = (s: Setting) => 4096 + 2 * Math.max(...Object.values(s.sizes));
  const reference = (c: OpCase, wanted: Awaited<ReturnType<typeof runAt>>['wanted'], feeds: RefFeeds) => {
    options.say?.('reference');
    return evaluateReference(Object.values(wanted), feeds, c.scalars);
  };

  const checks: SizeCheck[] = [];
  const settings = [ugly, setting];
  for (const [i, at] of settings.entries()) {
    options.say?.('guard');
    const device = await options.open(options.guarded(rounds(at)));
    try {
      const { plan: peek } = planTrial(trial, at, device.facts);
      // The sizes asked for may be for timing alone: float64 on one core has its limits. The ugly ones are always checked.
      const costly = i > 0 && peek.flops > MOST_REFERENCE_FLOPS;
      const guard = device.createBuffer('loop guard', 4, 128 | 4 | 8);
      const { c, wanted, feeds, found } = await runAt(device, trial, at, options, { [GUARD]: guard });
      if (await readWord(device, guard)) {
        throw new ScionError(
          'input',
          `a loop of ${trial.kernel}.wgsl did not end: it was left after ${rounds(at)} rounds at ${Object.entries(at.sizes)
            .map(([k, v]) => `${k} = ${v}`)
            .join(', ')}. Nothing ran on.`,
        );
      }
      if (costly) continue;
      const wantedValues = reference(c, wanted, feeds as RefFeeds);
      const tolerance = c.tolerance?.value ?? (c.dtype === 'f16' ? F16_TOLERANCE : F32_TOLERANCE);
      const outputs = Object.keys(wanted).map((name, k) => checkOutput(name, wanted[name].shape, found[name], wantedValues[k].data, tolerance));
      checks.push({ setting: at, ok: outputs.every((o) => o.ok), outputs });
    } finally {
      device.destroy();
    }
    if (checks.some((check) => !check.ok)) return { kernel: trial.kernel, checks, ok: false, time: null };
  }

  if (!options.seconds) return { kernel: trial.kernel, checks, ok: true, time: null };
  const device = await options.open(options.sourceOf);
  try {
    const { c, plan, session } = await runAt(device, trial, setting, options);
    options.say?.('time');
    return { kernel: trial.kernel, checks, ok: true, time: await timeKernel(device, session, plan, trial.kernel, c, options.seconds) };
  } finally {
    device.destroy();
  }
}

async function readWord(device: GpuDevice, buffer: GPUBuffer): Promise<number> {
  const readable = device.createBuffer('loop guard read', 4, 1 | 8);
  const encoder = device.raw.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, readable, 0, 4);
  device.submit([encoder.finish()]);
  await device.guard(readable.mapAsync(1), 'reading the loop guard');
  return new Uint32Array(readable.getMappedRange().slice(0))[0];
}

/** A timed pass is at least so long: browsers round timestamps to a tenth of a millisecond. */
const LEAST_PASS = 2e-3;

/** Times the kernel's launches alone, repeated within a pass until that is long beside the clock's grain. */
async function timeKernel(device: GpuDevice, session: Session, plan: Plan, kernel: string, c: OpCase, seconds: number): Promise<TrialTime> {
  const machine = await host();
  const profiler = device.facts.features.includes('timestamp-query') ? new Profiler(device) : undefined;
  const once = async (repeats: number): Promise<number> => {
    profiler?.start();
    const start = machine.now();
    session.programs.main.repeat(kernel, repeats, c.scalars, profiler);
    if (profiler) {
      const [{ begin, end }] = await profiler.read();
      // A driver that gives no times gives equal ones.
      if (end > begin) return (end - begin) / 1e9;
    }
    await device.idle();
    return (machine.now() - start) / 1000;
  };
  let repeats = 1;
  for (let took = await once(1); took < LEAST_PASS && repeats < 4096; took = await once(repeats)) repeats = Math.min(4096, repeats * 4);
  const times: number[] = [];
  const end = machine.now() + seconds * 1000;
  do times.push((await once(repeats)) / repeats);
  while ((machine.now() < end && times.length < 200) || times.length < 5);
  times.sort((a, b) => a - b);
  const share = (q: number) => times[Math.round(q * (times.length - 1))];
  const own = launches(plan, kernel);
  return {
    median: share(0.5),
    low: share(0.1),
    high: share(0.9),
    samples: times.length,
    repeats,
    by: profiler ? 'timestamp query' : 'clock',
    flops: own.reduce((sum, l) => sum + l.flops, 0),
    bytes: own.reduce((sum, l) => sum + l.bytes, 0),
  };
}
