/**
 * A device's own speed in a few seconds: matmul GFLOP/s and copy GB/s, the roofs that `doctor`, MFU and
 * `scion plan`'s time estimate use. Medians of whole submits with several launches each, so that latency
 * does not count; not a benchmark of kernels (`bench/` is).
 */
import type { GpuDevice } from '../gpu/device.ts';
import { host } from '../host/index.ts';
import { Graph, type Value } from './graph.ts';
import { COPY, copy } from './ops/copy.ts';
import { MATMUL, matmul } from './ops/matmul.ts';
import { planGraph } from './plan.ts';
import { Session } from './session.ts';
import { States } from './states.ts';
import type { Shape } from './types.ts';

/** Measured roofs of a device. */
export interface DeviceSpeed {
  /** f32 matmul, operations a second. */
  readonly flops: number;
  /** Bytes read plus written a second by a copy. */
  readonly bytesPerSecond: number;
}

/** Launches in one submit. */
const CHAIN = 4;

/** Median seconds of `work`, after a first time that compiles: at least `least` times, then until the budget or `most` is reached. */
export async function medianSeconds(work: () => Promise<unknown>, budgetMs: number, least = 1, most = 50): Promise<number> {
  const machine = await host();
  await work();
  const times: number[] = [];
  const end = machine.now() + budgetMs;
  do {
    const start = machine.now();
    await work();
    times.push((machine.now() - start) / 1000);
  } while ((machine.now() < end && times.length < most) || times.length < least);
  return times.sort((a, b) => a - b)[times.length >> 1];
}

/** Median seconds of one submit. */
function time(device: GpuDevice, session: Session, budgetMs: number): Promise<number> {
  return medianSeconds(async () => {
    session.programs.main.run();
    await device.idle();
  }, budgetMs);
}

/** A session over two states `x` and `y` of one shape, with a graph that reads x and adds to y. */
function measured(device: GpuDevice, shape: Shape, build: (x: Value, y: Value) => void): Session {
  const states = new States();
  states.declare('x', 'other', 'x', shape);
  states.declare('y', 'other', 'y', shape);
  states.freeze(device.facts);
  const g = new Graph(states);
  build(g.state('x'), g.state('y'));
  return new Session(device, { main: planGraph(g, { name: 'measure', facts: device.facts }) });
}

/** f32 matmul alone, FLOP/s, measured for about `seconds`. CPU devices get smaller tensors. */
export async function measureMatmul(device: GpuDevice, seconds: number): Promise<number> {
  const n = device.facts.profile === 'generic' ? 512 : 2048;
  const product = measured(device, [n, n], (x, y) => {
    let z = x;
    for (let i = 0; i < CHAIN - 1; i++) z = matmul(z, x, { transposeB: true });
    x.node.graph.apply1(MATMUL, [z, x], { transposeA: false, transposeB: true, alpha: 1 }, y);
  });
  const matmulSeconds = await time(device, product, seconds * 1000);
  product.destroy();
  return (CHAIN * 2 * n ** 3) / matmulSeconds;
}

/** Measures for about `seconds` in all. CPU devices get smaller tensors. */
export async function measureDevice(device: GpuDevice, seconds = 10): Promise<DeviceSpeed> {
  const flops = await measureMatmul(device, seconds / 2);
  const elements = device.facts.profile === 'generic' ? 1 << 22 : 1 << 25;
  const copies = measured(device, [elements], (x, y) => {
    let z = x;
    for (let i = 0; i < CHAIN - 1; i++) z = copy(z);
    x.node.graph.apply1(COPY, [z], { scale: 1 }, y);
  });
  const copySeconds = await time(device, copies, seconds * 500);
  copies.destroy();
  // Each launch reads and writes once; the last one also reads what it adds to.
  return { flops, bytesPerSecond: ((2 * CHAIN + 1) * 4 * elements) / copySeconds };
}
