/**
 * One profiled step as a trace that Perfetto (and chrome://tracing) opens: a row a launch with its rate, host
 * work and transfers beside it. Format: the Trace Event JSON of Chromium; times in microseconds.
 */

import type { Batch } from '../data/loader.ts';
import { Profiler } from '../gpu/profiler.ts';
import { host } from '../host/index.ts';
import type { Program } from '../tensor/session.ts';
import type { Stepper } from './stepper.ts';

interface TraceEvent {
  readonly name: string;
  readonly ph: 'X' | 'M';
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

const HOST = 1;
const DEVICE = 2;
const TRANSFER = 3;

/**
 * Runs one micro and one update without keeping them from counting: the step is a real one, at `learningRate`.
 * @throws ScionError `device` where there are no timestamp queries.
 */
export async function profileStep(stepper: Stepper, batch: Batch, learningRate: number): Promise<string> {
  const machine = await host();
  const profiler = new Profiler(stepper.device);
  const events: TraceEvent[] = [
    { name: 'process_name', ph: 'M', pid: 1, tid: 0, args: { name: `scion on ${stepper.device.facts.name}` } },
    ...(
      [
        [HOST, 'host'],
        [DEVICE, 'device'],
        [TRANSFER, 'transfers'],
      ] as const
    ).map(([tid, name]): TraceEvent => ({ name: 'thread_name', ph: 'M', pid: 1, tid, args: { name } })),
  ];
  const origin = machine.now();
  const us = (ms: number) => (ms - origin) * 1000;
  const span = async <T>(tid: number, name: string, work: () => Promise<T> | T): Promise<T> => {
    const start = machine.now();
    const value = await work();
    events.push({ name, ph: 'X', pid: 1, tid, ts: us(start), dur: (machine.now() - start) * 1000 });
    return value;
  };
  const one = async (program: Program, feeds: Parameters<Program['run']>[0], scalars: Parameters<Program['run']>[1]): Promise<void> => {
    profiler.start();
    const submitted = machine.now();
    await span(HOST, `encode and submit ${program.plan.name}`, () => program.run(feeds, scalars, profiler));
    const times = await span(TRANSFER, `timestamps of ${program.plan.name}`, () => profiler.read());
    const launches = program.plan.commands.filter((c) => c.kind === 'dispatch');
    launches.forEach((c, i) => {
      const seconds = (times[i].end - times[i].begin) / 1e9;
      events.push({
        name: `${c.segment ? `${c.segment} ` : ''}${c.node}`,
        ph: 'X',
        pid: 1,
        tid: DEVICE,
        ts: us(submitted) + times[i].begin / 1000,
        dur: (times[i].end - times[i].begin) / 1000,
        args: {
          kernel: c.kernel,
          phase: c.phase,
          gflops: seconds > 0 ? c.flops / seconds / 1e9 : null,
          gbytesPerSecond: seconds > 0 ? c.bytes / seconds / 1e9 : null,
        },
      });
    });
  };
  try {
    const { micro, update } = stepper.session.programs;
    const { feeds, segments } = await span(HOST, 'batch tables', () => stepper.feedsOf(batch));
    await one(micro, feeds, { weight: 1 / batch.tokens, segments });
    const { feeds: updateFeeds, scalars } = stepper.updateInputs(learningRate);
    await one(update, updateFeeds, scalars);
    stepper.attempted++;
    await span(TRANSFER, 'step record', () => stepper.records());
  } finally {
    profiler.destroy();
  }
  return `${JSON.stringify({ traceEvents: events, displayTimeUnit: 'ms' })}\n`;
}
