/**
 * Times replays against each other on a machine that may be busy: many dispatches a submit, rounds that
 * take each candidate in turn, medians. Where the driver's threads can be told apart (a CPU adapter on Linux under
 * Node), their processor time is read too: it hardly notices what else runs.
 */
import { host } from '../../src/host/index.ts';
import type { Replay } from './replay.ts';

/** What was measured of one candidate, per run of its commands. */
export interface Timing {
  /** Median seconds by the clock. */
  readonly seconds: number;
  /** Smallest seconds by the clock. */
  readonly best: number;
  /** Median seconds of the driver's threads together, null where that cannot be read. */
  readonly cpuSeconds: number | null;
  readonly repeats: number;
  readonly rounds: number;
}

/** Reads the driver's processor time in seconds; null where there is none to read. */
export type CpuClock = () => number | null;

/** Processor time of all threads but the JavaScript ones. */
export async function driverClock(): Promise<CpuClock> {
  const machine = await host();
  if (machine.kind !== 'node') return () => null;
  const { readdirSync, readFileSync } = await import('node:fs');
  const main = String(machine.pid);
  // Threads a driver starts inherit the name of the thread that started them.
  const names = /^(MainThread|node|llvmpipe)/;
  return () => {
    let total = 0;
    try {
      for (const id of readdirSync('/proc/self/task')) {
        if (id === main || !names.test(readFileSync(`/proc/self/task/${id}/comm`, 'utf8'))) continue;
        total += Number(readFileSync(`/proc/self/task/${id}/schedstat`, 'utf8').split(' ')[0]);
      }
    } catch {
      return null;
    }
    return total / 1e9;
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Times candidates interleaved. `sampleMs`: how long one submit should take, so that its latency does not count. */
export async function measure(candidates: readonly Replay[], options: { rounds?: number; sampleMs?: number } = {}): Promise<Timing[]> {
  const { rounds = 5, sampleMs = 60 } = options;
  const machine = await host();
  const clock = await driverClock();
  const one = async (replay: Replay, times: number) => {
    const cpu = clock();
    const start = machine.now();
    await replay.submit(times);
    const after = clock();
    return { seconds: (machine.now() - start) / 1000 / times, cpu: cpu === null || after === null ? null : (after - cpu) / times };
  };
  const repeats: number[] = [];
  for (const c of candidates) {
    await one(c, 1);
    const { seconds } = await one(c, 1);
    repeats.push(Math.max(1, Math.min(1000, Math.ceil(sampleMs / 1000 / seconds))));
  }
  const times = candidates.map(() => [] as { seconds: number; cpu: number | null }[]);
  for (let r = 0; r < rounds; r++) for (const [i, c] of candidates.entries()) times[i].push(await one(c, repeats[i]));
  return times.map((t, i) => {
    const cpu = t.map((x) => x.cpu).filter((x) => x !== null);
    return {
      seconds: median(t.map((x) => x.seconds)),
      best: Math.min(...t.map((x) => x.seconds)),
      cpuSeconds: cpu.length === t.length && median(cpu) > 0 ? median(cpu) : null,
      repeats: repeats[i],
      rounds,
    };
  });
}
