/**
 * The kernel playground's side of the Worker: kernels as they are shipped, a text compiled, checked and timed on a device of its own. The page runs
 * it in a Worker that it can end.
 */
import { kernelSources } from '../../../kernels/index.ts';
import {
  caseOfTrial,
  compileTrial,
  type Diagnostic,
  GpuDevice,
  guardLoops,
  LADDERS,
  measureDevice,
  type Phase,
  runTrial,
  ScionError,
  type SourceOf,
  TRIALS,
  type TrialReport,
  trialOf,
} from '../../../src/index.ts';
import type { KernelDraft, KernelView, RoofView } from '../protocol.ts';
import { OneAtATime } from './answer.ts';
import { useEditedKernel } from './edited.ts';

/** Splits `// Name: words` lines off the top. */
export function headerOf(text: string): [string, string][] {
  const out: [string, string][] = [];
  for (const line of text.split('\n')) {
    if (!line.startsWith('//')) break;
    const match = /^\/\/ ([A-Z][a-z]+): (.*)$/.exec(line);
    if (match) out.push([match[1], match[2]]);
    else if (out.length > 0) out[out.length - 1][1] += ` ${line.slice(2).trim()}`;
  }
  return out;
}

/** All kernels by family, without the shared parts; the rungs of a ladder in their order. */
export async function kernelViews(): Promise<KernelView[]> {
  return TRIALS.map(({ kernel, sizes, options = {}, dtypes = ['f32', 'f16'] }) => {
    const [family, name] = kernel.split('/');
    const text = kernelSources[`${kernel}.wgsl`];
    return { name, family, header: headerOf(text), text, ladder: LADDERS.find((ladder) => ladder.includes(kernel)) ?? [], sizes, options, dtypes };
  });
}

/** The shipped texts with one replaced. */
const withText =
  ({ kernel }: KernelDraft, text: string): SourceOf =>
  (path) =>
    path === `${kernel}.wgsl` ? text : kernelSources[path];

/** The device that texts are compiled on; opened once. */
let compiler: Promise<GpuDevice> | null = null;
const running = new OneAtATime('a kernel runs');

export async function compileKernel(draft: KernelDraft): Promise<Diagnostic[]> {
  compiler ??= GpuDevice.open();
  return compileTrial(await compiler, trialOf(draft.kernel), draft, withText(draft, draft.text));
}

/** Seconds that a kernel is timed for. */
const TIMED = 1;

function judge(draft: KernelDraft, seconds: number, listen: (phase: Phase) => void): Promise<TrialReport> {
  return running.run(() =>
    runTrial(trialOf(draft.kernel), draft, {
      open: (sourceOf) => GpuDevice.open({ sourceOf }),
      sourceOf: withText(draft, draft.text),
      guarded: (limit) => withText(draft, guardLoops(draft.text, limit)),
      seconds,
      say: listen,
    }),
  );
}

export const runKernel = (draft: KernelDraft, listen: (phase: Phase) => void): Promise<TrialReport> => judge(draft, TIMED, listen);

/** A matrix product's operations and a copy's bytes a second, with the kernels as they are shipped. */
export async function measureRoofs(): Promise<RoofView> {
  const device = await GpuDevice.open();
  try {
    return { ...(await measureDevice(device, 2)), device: device.facts.name };
  } finally {
    device.destroy();
  }
}

/** Takes a text for training after checking it in every storage type it may meet. @throws ScionError `input` while it is wrong. */
export async function trainWith(draft: KernelDraft | null): Promise<TrialReport | null> {
  useEditedKernel(null);
  if (draft === null) return null;
  let last: TrialReport | null = null;
  for (const dtype of trialOf(draft.kernel).dtypes ?? (['f32', 'f16'] as const)) {
    last = await judge({ ...draft, dtype }, 0, () => undefined);
    if (last.ok) continue;
    const bad = last.checks.flatMap(({ outputs }) => outputs).find(({ ok }) => !ok);
    throw new ScionError(
      'input',
      `the trainer does not take this ${draft.kernel}: it is wrong in ${dtype} (${bad?.name} is off by ${bad?.error.toPrecision(2)}, ${bad?.tolerance} is allowed)`,
    );
  }
  // Where several kernels do the same, this one is forced; else the device would go on with its usual one.
  useEditedKernel({ sourceOf: withText(draft, draft.text), choices: caseOfTrial(trialOf(draft.kernel), draft).choices });
  return last;
}
