/**
 * Products with a quantised matrix beside f32 and f16 products of the same shape, timed in turn so that a busy machine slows them alike:
 * `node bench/quant.ts [--rounds N] [--profile P] [--only TEXT] [--out FILE]`. Shapes: the projections of a block of width 256 and 1,024, forward and for
 * the gradient, and decoding. The load average is kept with the figures.
 */
import { loadavg } from 'node:os';
import { Random } from '../src/base/random.ts';
import { GpuDevice } from '../src/gpu/device.ts';
import type { Profile } from '../src/gpu/facts.ts';
import { host, terminal } from '../src/host/index.ts';
import { Graph, type Value } from '../src/tensor/graph.ts';
import { matmul } from '../src/tensor/ops/matmul.ts';
import { QUANT_MATMUL } from '../src/tensor/ops/quant_matmul.ts';
import { planGraph } from '../src/tensor/plan.ts';
import { type QuantBits, quantShapes } from '../src/tensor/quantize.ts';
import type { DType, Shape } from '../src/tensor/types.ts';
import { type Fill, fillInput } from '../test/runtime/case.ts';
import { measure } from './lib/measure.ts';
import { Replay } from './lib/replay.ts';

/** W is [n, k]; forward x [m, k] gives [m, n], back dy [m, n] gives [m, k]. */
const SHAPES = [
  { label: '256 gate_up forward', m: 1024, n: 1376, k: 256, back: false },
  { label: '256 gate_up back', m: 1024, n: 1376, k: 256, back: true },
  { label: 'square forward', m: 1024, n: 1024, k: 1024, back: false },
  { label: 'square back', m: 1024, n: 1024, k: 1024, back: true },
  { label: 'decode', m: 1, n: 4096, k: 1024, back: false },
  { label: 'decode', m: 8, n: 4096, k: 1024, back: false },
];
const STORES = ['f32', 'f16', 'q8', 'q4'] as const;

const term = await terminal();
const value = (flag: string) => (term.args.includes(flag) ? term.args[term.args.indexOf(flag) + 1] : undefined);
const device = await GpuDevice.open({ profile: (value('--profile') ?? 'generic') as Profile });
const random = new Random(7);
const rows: Record<string, unknown>[] = [];
const before = loadavg();
for (const { label, m, n, k, back } of SHAPES.filter((s) => s.label.includes(value('--only') ?? ''))) {
  const replays = STORES.map((store) => {
    const g = new Graph();
    const feeds: Record<string, Float32Array | Uint32Array | Int32Array> = {};
    const leaf = (name: string, shape: Shape, dtype: DType, fill: Fill): Value => {
      feeds[name] = fillInput(random, shape, dtype, fill);
      return g.data(name, shape, dtype);
    };
    const x = leaf('x', [m, back ? n : k], 'f32', { uniform: [-0.5, 0.5] });
    let y: Value;
    if (store === 'f32' || store === 'f16') y = matmul(x, leaf('w', [n, k], store, { uniform: [-0.5, 0.5] }), { transposeB: !back });
    else {
      const bits: QuantBits = store === 'q8' ? 8 : 4;
      const shapes = quantShapes(n, k, bits);
      const words = leaf('words', shapes.words, 'u32', { ints: [0, 2 ** 32] });
      y = g.apply1(QUANT_MATMUL, [x, words, leaf('scales', shapes.scales, 'f32', { uniform: [0.001, 0.01] })], { bits, columns: k, back });
    }
    return new Replay(device, planGraph(g, { facts: device.facts, outputs: { y } }), feeds);
  });
  const timings = await measure(replays, { rounds: Number(value('--rounds') ?? 5) });
  for (const r of replays) r.destroy();
  const round = (v: number) => Math.round(v * 100) / 100;
  const rates = Object.fromEntries(
    timings.map((t, i) => [
      STORES[i],
      { gflops: round((2 * m * n * k) / t.seconds / 1e9), gflopsPerCore: t.cpuSeconds === null ? null : round((2 * m * n * k) / t.cpuSeconds / 1e9) },
    ]),
  );
  rows.push({ name: `${label} ${m}x${n}x${k}`, rates });
  term.err(`${label} ${m}x${n}x${k}: ${STORES.map((s) => `${s} ${rates[s].gflops} (${rates[s].gflopsPerCore} a core)`).join(', ')} GFLOP/s\n`);
}
const { name, description, profile } = device.facts;
const result = { device: name, description, profile, unit: 'GFLOP/s by the clock, and for each second of driver time', load: [before[0], loadavg()[0]], rows };
const out = value('--out');
if (out !== undefined) await (await host()).files.write(out, new TextEncoder().encode(`${JSON.stringify(result, null, 1)}\n`));
else term.out(`${JSON.stringify(result)}\n`);
term.exit(0);
