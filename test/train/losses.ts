/**
 * Losses of 50 steps from one seed, to compare hosts. By hand:
 * `node test/train/losses.ts` or `deno run -A test/train/losses.ts [--precision mixed] [--steps N]` prints this host's as
 * one JSON line; `node test/train/losses.ts --all` runs Node, Deno and Chromium and prints them side by side.
 */
import { GpuDevice } from '../../src/gpu/device.ts';
import { terminal } from '../../src/host/index.ts';
import { lossOf, TINY_SETUP, trainTiny } from './tiny.ts';

/** What a host found. */
export interface HostLosses {
  readonly adapter: string;
  readonly profile: string;
  readonly seconds: number;
  readonly losses: readonly number[];
}

/** Trains on a device of this host. */
export async function hostLosses(steps: number, precision: 'f32' | 'mixed' = 'f32'): Promise<HostLosses> {
  const device = await GpuDevice.open();
  const start = performance.now();
  const { stepper, records } = await trainTiny(device, { steps, setup: { ...TINY_SETUP, precision } });
  stepper.destroy();
  const { name, profile } = device.facts;
  device.destroy();
  return { adapter: name, profile, seconds: (performance.now() - start) / 1000, losses: records.map(lossOf) };
}

/** True where this file was started, and not imported. */
const started = (import.meta as { main?: boolean }).main === true;
if (started) {
  const term = await terminal();
  const value = (flag: string): string | undefined => (term.args.includes(flag) ? term.args[term.args.indexOf(flag) + 1] : undefined);
  const steps = Number(value('--steps') ?? 50);
  const precision = value('--precision') === 'mixed' ? 'mixed' : 'f32';
  if (term.args.includes('--all')) {
    const { compareHosts } = await import('./hosts.ts');
    term.out(await compareHosts(steps, precision));
  } else term.out(`${JSON.stringify(await hostLosses(steps, precision))}\n`);
  term.exit(0);
}
