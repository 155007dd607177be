/**
 * The sweep behind the tiles of matmul on CPU adapters: every shape of the bench under every candidate, interleaved,
 * `node bench/matmul-sweep.ts [--rounds N] [--out FILE]`. Rates are per core of the driver's processor time where that can be
 * read, else by the clock. The default must reach 0.9 of each row's best; the result is kept in `bench/results`,
 * and where the host is Node the worst row goes into docs/proof.md.
 */
import { GpuDevice } from '../src/gpu/device.ts';
import { host, terminal } from '../src/host/index.ts';
import { addProof, commandLine, machineNow } from '../tools/lib/proof.mjs';
import { matmulRow, SHAPES } from './kernels/matmul.ts';
import { type BenchResult, benchRow } from './kernels.ts';

const TILES = [
  ...['8x1x16', '8x2x8', '8x2x16', '8x2x16x2', '12x2x16', '16x1x16'].map((t) => `generic/${t}`),
  // Only where every subgroup has eight lanes; elsewhere these are the default once more.
  ...['16x1x8', '8x2x8', '16x2x8', '24x1x8', '32x1x8'].map((t) => `lanes/${t}`),
];

const term = await terminal();
const machine = await host();
const value = (flag: string) => (term.args.includes(flag) ? term.args[term.args.indexOf(flag) + 1] : undefined);
const device = await GpuDevice.open({ profile: 'generic' });
const candidates = Object.fromEntries(TILES.map((t) => [t, { matmul: t }]));
const rate = (r: BenchResult) => r.gflopsPerCore ?? r.gflops;
const rows: { name: string; best: string; ratio: number; gflops: number; rates: Record<string, number> }[] = [];
for (const { shape, layouts } of SHAPES) {
  for (const layout of layouts) {
    const found = await benchRow(device, matmulRow(shape, layout, 'f32', candidates), { rounds: Number(value('--rounds') ?? 5), sampleMs: 30 });
    const best = found.reduce((a, b) => (rate(b) > rate(a) ? b : a));
    const round = (x: number) => Math.round(x * 100) / 100;
    const row = {
      name: found[0].name,
      best: best.candidate,
      ratio: round(rate(found[0]) / rate(best)),
      gflops: round(found[0].gflops),
      rates: Object.fromEntries(found.map((r) => [r.candidate, round(rate(r))])),
    };
    rows.push(row);
    term.err(`${row.name}: default ${row.rates.default}, ${row.ratio} of the best (${row.best}), ${row.gflops} GFLOP/s by the clock\n`);
  }
}
const result = {
  device: device.facts.name,
  description: device.facts.description,
  unit: 'GFLOP/s a core of driver time, or by the clock where that is unknown',
  rows,
};
const out = value('--out');
if (out !== undefined) await machine.files.write(out, new TextEncoder().encode(`${JSON.stringify(result, null, 1)}\n`));
else term.out(`${JSON.stringify(result)}\n`);
if (machine.kind === 'node') {
  const worst = rows.reduce((a, b) => (b.ratio < a.ratio ? b : a));
  const figure = `the default tile reaches ${worst.ratio} of the best of ${TILES.length} in the worst of ${rows.length} rows (${worst.name}); goal 0.9`;
  await addProof([{ name: 'matmul sweep', command: commandLine('node bench/matmul-sweep.ts'), figure, device: `${device.facts.name}, ${machineNow()}` }]);
}
term.exit(rows.every((r) => r.ratio >= 0.9) ? 0 : 1);
