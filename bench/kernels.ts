/**
 * Times kernels: `node bench/kernels.ts [op ...] [--only TEXT] [--profile P] [--rounds N] [--json]`. A row's candidates
 * run in turn, so that a busy machine slows them alike; medians over rounds, many dispatches a submit. GFLOP/s by
 * the clock, and where the driver runs on this processor also per core of its own time.
 */
import { Random } from '../src/base/random.ts';
import { GpuDevice } from '../src/gpu/device.ts';
import type { Profile } from '../src/gpu/facts.ts';
import { host, terminal } from '../src/host/index.ts';
import { Graph, type Value } from '../src/tensor/graph.ts';
import { planGraph } from '../src/tensor/plan.ts';
import type { Feeds } from '../src/tensor/session.ts';
import { fillInput } from '../test/runtime/case.ts';
import type { BenchRow } from './kernels/types.ts';
import { measure, type Timing } from './lib/measure.ts';
import { Replay } from './lib/replay.ts';

/** One measured candidate of a row. Rates are null where the op moves or computes nothing worth counting. */
export interface BenchResult extends Timing {
  readonly op: string;
  readonly name: string;
  readonly candidate: string;
  readonly gflops: number;
  readonly gbytes: number;
  /** GFLOP/s for each second of the driver's own processor time. */
  readonly gflopsPerCore: number | null;
}

/** Plans a row under each of its candidates and times them. */
export async function benchRow(device: GpuDevice, row: BenchRow, options: { rounds?: number; sampleMs?: number } = {}): Promise<BenchResult[]> {
  const candidates = { default: {}, ...row.candidates };
  const random = new Random(7);
  const feeds: Record<string, Float32Array | Uint32Array | Int32Array> = {};
  for (const [name, input] of Object.entries(row.inputs)) feeds[name] = fillInput(random, input.shape, input.dtype, input.fill);
  const replays = Object.values(candidates).map((choices) => {
    const g = new Graph();
    const values: Record<string, Value> = {};
    for (const [name, input] of Object.entries(row.inputs)) values[name] = g.data(name, input.shape, input.dtype);
    const facts = { ...device.facts, profile: row.profile ?? device.facts.profile, choices: { ...device.facts.choices, ...row.choices, ...choices } };
    const plan = planGraph(g, { name: row.name, facts, outputs: row.build(values, g) });
    return new Replay(device, plan, feeds as Feeds, row.scalars);
  });
  try {
    const timings = await measure(replays, options);
    return timings.map((t, i) => {
      const { plan } = replays[i];
      const flops = row.flops ?? plan.flops;
      const bytes = row.bytes ?? plan.commands.reduce((sum, c) => sum + (c.kind === 'dispatch' ? c.bytes : c.kind === 'clear' ? c.ref.bytes : 0), 0);
      return {
        ...t,
        op: row.op,
        name: row.name,
        candidate: Object.keys(candidates)[i],
        gflops: flops / t.seconds / 1e9,
        gbytes: bytes / t.seconds / 1e9,
        gflopsPerCore: t.cpuSeconds === null ? null : flops / t.cpuSeconds / 1e9,
      };
    });
  } finally {
    for (const r of replays) r.destroy();
  }
}

/** Rows of the named ops, or of every op that has some. */
async function loadRows(ops: readonly string[]): Promise<BenchRow[]> {
  const machine = await host();
  let stems = ops;
  if (stems.length === 0) {
    const folder = decodeURIComponent(new URL('./kernels', import.meta.url).pathname);
    stems = (await machine.files.list(folder))
      .map((f) => f.name)
      .filter((f) => f.endsWith('.ts') && f !== 'types.ts')
      .map((f) => f.slice(0, -3))
      .sort();
  }
  const rows: BenchRow[] = [];
  for (const stem of stems) rows.push(...((await import(`./kernels/${stem}.ts`)) as { rows: BenchRow[] }).rows);
  return rows;
}

async function main(): Promise<void> {
  const term = await terminal();
  const value = (flag: string) => (term.args.includes(flag) ? term.args[term.args.indexOf(flag) + 1] : undefined);
  const ops = term.args.filter((a, i) => !a.startsWith('--') && !['--only', '--profile', '--rounds'].includes(term.args[i - 1] ?? ''));
  const device = await GpuDevice.open({ profile: value('--profile') as Profile | undefined });
  const rows = (await loadRows(ops)).filter((r) => `${r.op} ${r.name}`.includes(value('--only') ?? ''));
  const results: BenchResult[] = [];
  for (const row of rows) {
    const found = await benchRow(device, row, { rounds: Number(value('--rounds') ?? 5) });
    results.push(...found);
    for (const r of found) {
      const core = r.gflopsPerCore === null ? '' : `, ${r.gflopsPerCore.toFixed(1)} a core`;
      term.err(`${r.op} ${r.name} [${r.candidate}] ${(r.seconds * 1e3).toFixed(3)} ms: ${r.gflops.toFixed(1)} GFLOP/s${core}, ${r.gbytes.toFixed(1)} GB/s\n`);
    }
  }
  if (term.args.includes('--json'))
    term.out(`${JSON.stringify({ device: device.facts.name, description: device.facts.description, profile: device.facts.profile, rows: results })}\n`);
  term.exit(0);
}

if (import.meta.main) await main();
