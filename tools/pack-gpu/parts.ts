/**
 * What the GPU pack runs on the machine it is carried to, one part a process: `parts.js <part> --out DIR [--quick]
 * [--filter TEXT]`. A part is a list of keyed items; each finished item is one line of `DIR/<part>.jsonl` at once, and the
 * item under way is named in `DIR/<part>.at`, so that a crash or a time limit costs one item and the next start goes on.
 */
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import * as argmax from '../../bench/kernels/argmax.ts';
import * as attention from '../../bench/kernels/attention.ts';
import * as bias from '../../bench/kernels/bias.ts';
import * as elementwise from '../../bench/kernels/elementwise.ts';
import * as embed from '../../bench/kernels/embed.ts';
import * as headnorm from '../../bench/kernels/headnorm.ts';
import * as matmul from '../../bench/kernels/matmul.ts';
import * as random from '../../bench/kernels/random.ts';
import * as reduce from '../../bench/kernels/reduce.ts';
import * as rmsnorm from '../../bench/kernels/rmsnorm.ts';
import * as rope from '../../bench/kernels/rope.ts';
import * as softmax from '../../bench/kernels/softmax.ts';
import * as swiglu from '../../bench/kernels/swiglu.ts';
import type { BenchRow } from '../../bench/kernels/types.ts';
import { benchRow } from '../../bench/kernels.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import type { Profile } from '../../src/gpu/facts.ts';
import { host } from '../../src/host/index.ts';
import { measureDevice } from '../../src/tensor/measure.ts';
import { matmul as product } from '../../src/tensor/ops/matmul.ts';
import { Run } from '../../src/train/run.ts';
import { prepareSampleRun, SAMPLE_SIZES, sampleTexts } from '../../src/train/sample-run.ts';
import type { OpCase } from '../../test/runtime/case.ts';
import { allCases, runSuite } from '../../test/runtime/suite.ts';
import { hashStates } from '../../test/train/tiny.ts';

const [part = '', ...words] = process.argv.slice(2);
const value = (flag: string): string | undefined => (words.includes(flag) ? words[words.indexOf(flag) + 1] : undefined);
const quick = words.includes('--quick');
const filter = value('--filter') ?? '';
const out = value('--out') ?? '.';

/** Hands what is found to the files. */
interface Journal {
  /** What is left to do: the keys of the list without those of earlier starts. */
  left(keys: readonly string[]): string[];
  at(key: string | undefined): void;
  done(key: string, row: object): void;
}

function keyOf(line: string): string[] {
  try {
    return [(JSON.parse(line) as { key: string }).key];
  } catch {
    return [];
  }
}

function openJournal(name: string): Journal {
  const [lines, marker] = [join(out, `${name}.jsonl`), join(out, `${name}.at`)];
  const text = existsSync(lines) ? readFileSync(lines, 'utf8') : '';
  // A line cut off by a crash is no line, and must not swallow the next one.
  if (text !== '' && !text.endsWith('\n')) appendFileSync(lines, '\n');
  const done = new Set(text.split('\n').flatMap(keyOf));
  return {
    left: (keys) => keys.filter((key) => key.includes(filter) && !done.has(key)),
    at(key) {
      if (key === undefined) rmSync(marker, { force: true });
      else writeFileSync(marker, key);
    },
    done(key, row) {
      appendFileSync(lines, `${JSON.stringify({ key, ...row })}\n`);
      process.stderr.write(`${name}: ${key}\n`);
    },
  };
}

/** Adapter, limits, speeds, and what guides want known of a GPU before anything else: big buffers, 16-bit floats, tensor cores. */
async function doctor(journal: Journal): Promise<void> {
  const device = await GpuDevice.open();
  const { facts } = device;
  const info = device.raw.adapterInfo as GPUAdapterInfo & { subgroupMatrixConfigs?: Iterable<Record<string, unknown>> };
  const steps: Record<string, () => Promise<object> | object> = {
    facts: () => ({ facts, limits: facts.limits, matrices: [...(info?.subgroupMatrixConfigs ?? [])].map((c) => ({ ...plain(c) })) }),
    speed: async () => ({ ...(await measureDevice(device, quick ? 1 : 10)) }),
    'large buffer': async () => {
      const size = quick ? 2 ** 28 : Math.min(5 * 2 ** 30, facts.limits.maxBufferSize);
      const buffer = device.createBuffer('large', size - (size % 4), 128 | 8 | 4);
      await device.idle();
      device.destroyBuffer(buffer);
      return { bytes: size };
    },
  };
  for (const key of journal.left(Object.keys(steps))) {
    journal.at(key);
    try {
      journal.done(key, { ok: true, ...(await steps[key]()) });
    } catch (error) {
      journal.done(key, { ok: false, message: String(error) });
    }
  }
  device.destroy();
}

/** A native object's properties, which lie on its prototype, as plain data. */
function plain(o: Record<string, unknown>): Record<string, unknown> {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(o) ?? {}).filter((name) => name !== 'constructor');
  return Object.fromEntries([...Object.keys(o), ...names].map((name) => [name, o[name]]).filter(([, x]) => typeof x !== 'function'));
}

/** Tensor-core products, which no adapter of CI can run: all layouts, whole tiles and ragged ones. */
function matrixCases(): OpCase[] {
  const needs = ['chromium-experimental-subgroup-matrix', 'shader-f16', 'subgroups', 'subgroup-size-control'];
  const sizes = [
    [128, 128, 64],
    [130, 100, 72],
  ];
  return [64, 128].flatMap((tile) =>
    sizes.flatMap(([m, n, k]) =>
      ['NN', 'NT', 'TN', 'TT'].map((layout): OpCase => {
        const [transposeA, transposeB] = [layout[0] === 'T', layout[1] === 'T'];
        const fill = { uniform: [-1, 1] } as const;
        return {
          op: 'matmul',
          name: `pack: matmul subgroup_matrix/${tile} ${m}x${n}x${k} ${layout}`,
          dtype: 'f16',
          inputs: {
            a: { shape: transposeA ? [k, m] : [m, k], dtype: 'f16', fill },
            b: { shape: transposeB ? [n, k] : [k, n], dtype: 'f16', fill },
          },
          build: ({ a, b }) => ({ y: product(a, b, { transposeA, transposeB }) }),
          choices: { matmul: `subgroup_matrix/${tile}` },
          profile: 'specialised',
          needs,
        };
      }),
    ),
  );
}

/** Every op case under both profiles (a case that names its own has that one), and the tensor-core cases where there are such. */
async function ops(journal: Journal): Promise<void> {
  const probe = await GpuDevice.open();
  const { features } = probe.facts;
  probe.destroy();
  const cases = [...allCases(), ...matrixCases().map((c) => ({ file: 'pack', c }))];
  for (const profile of ['specialised', 'generic'] as const) {
    // A case that needs what this device lacks is written down as left out, with what it lacks.
    const keyed = new Map<string, { file: string; c: OpCase }>();
    for (const { file, c } of cases) {
      if ((c.profile ?? profile) !== profile) continue;
      keyed.set(`${profile} ${c.name}`, { file, c });
    }
    const todo: { key: string; file: string; c: OpCase }[] = [];
    for (const key of journal.left([...keyed.keys()])) {
      const found = keyed.get(key);
      if (!found) continue;
      const missing = (found.c.needs ?? []).filter((f) => !features.includes(f));
      if (missing.length === 0) todo.push({ key, ...found });
      else journal.done(key, { ok: true, op: found.c.op, dtype: found.c.dtype, profile, skipped: `device lacks ${missing.join(', ')}` });
    }
    if (todo.length === 0) continue;
    let next = 0;
    journal.at(todo[0].key);
    await runSuite(() => GpuDevice.open({ profile }), {
      cases: todo,
      onResult(r) {
        const { op, dtype, ok, skipped, errors, tolerance, message, seconds } = r;
        journal.done(todo[next].key, { op, dtype, profile, ok, skipped, errors, tolerance, message, seconds });
        next++;
        journal.at(todo[next]?.key);
      },
    });
  }
}

const square = (n: number) => ({ label: 'square', m: n, n, k: n });

/** Rows for a GPU that the committed ones are too small for. */
const LARGE: readonly BenchRow[] = quick
  ? []
  : [2048, 4096, 8192].flatMap((n) =>
      (['f32', 'f16'] as const).flatMap((dtype) => ['NN', 'NT', 'TN'].map((l) => matmul.matmulRow(square(n), l as matmul.Layout, dtype, {}))),
    );

/** Every bench row, the default kernel beside its candidates. */
async function bench(journal: Journal): Promise<void> {
  const all = [argmax, attention, bias, elementwise, embed, headnorm, matmul, random, reduce, rmsnorm, rope, softmax, swiglu];
  const rows: readonly BenchRow[] = [...all.flatMap((m) => m.rows), ...LARGE];
  await timeRows(journal, new Map(rows.map((r) => [`${r.op} ${r.name}`, r])));
}

/** Matmul tiles of this device's profile against each other: what a tuner would choose from. */
async function tune(journal: Journal): Promise<void> {
  const probe = await GpuDevice.open();
  const { features, profile } = probe.facts;
  probe.destroy();
  const tiles = ['64x64x8', '64x64x16', '128x64x16', '64x128x16', '128x128x8', '128x128x16', '64x64x16x4', '64x64x16x16'].map((t) => `tiled/${t}`);
  const generic = ['8x1x16', '8x2x8', '8x2x16x2', '16x1x16'].map((t) => `generic/${t}`);
  const matrix = features.includes('chromium-experimental-subgroup-matrix') ? ['subgroup_matrix/64', 'subgroup_matrix/128'] : [];
  const shapes = quick ? [square(128)] : [square(512), square(1024), square(2048), square(4096), { label: 'down', m: 4096, n: 4096, k: 11008 }];
  const rows = shapes.flatMap((shape) =>
    (['f32', 'f16'] as const).flatMap((dtype) =>
      (['NN', 'NT', 'TN'] as const).map((layout) => {
        const names =
          profile === 'generic' ? [...generic, ...(quick ? [] : tiles.slice(0, 2))] : [...tiles, ...generic.slice(0, 2), ...(dtype === 'f16' ? matrix : [])];
        return matmul.matmulRow(shape, layout, dtype, Object.fromEntries(names.map((name) => [name, { matmul: name }])));
      }),
    ),
  );
  await timeRows(journal, new Map(rows.map((r) => [r.name, r])));
}

async function timeRows(journal: Journal, rows: ReadonlyMap<string, BenchRow>): Promise<void> {
  const left = journal.left([...rows.keys()]);
  if (left.length === 0) return;
  let device = await GpuDevice.open();
  for (const key of left) {
    const row = rows.get(key);
    if (!row) continue;
    journal.at(key);
    try {
      const results = await benchRow(device, row, quick ? { rounds: 1, sampleMs: 5 } : { rounds: 5, sampleMs: 40 });
      const best = results.reduce((a, b) => (b.seconds < a.seconds ? b : a));
      journal.done(key, { ok: true, best: best.candidate, ofBest: best.seconds / results[0].seconds, results });
    } catch (error) {
      journal.done(key, { ok: false, message: String(error) });
      device.destroy();
      device = await GpuDevice.open();
    }
  }
  device.destroy();
}

/** The sample corpus at the quick size, twice from one seed: losses must fall, and be the same bits with the same states. */
async function train(journal: Journal): Promise<void> {
  const size = { ...SAMPLE_SIZES.quick, steps: Number(value('--steps') ?? (quick ? 6 : 200)) };
  const profiles: readonly (Profile | undefined)[] = quick ? [undefined] : ['specialised', 'generic'];
  const runs = profiles.flatMap((profile) =>
    (['f32', 'mixed'] as const).map((precision) => ({ key: `${profile ?? 'default'} ${precision}`, profile, precision })),
  );
  const left = journal.left(runs.map((r) => r.key));
  if (left.length === 0) return;
  const prepared = prepareSampleRun(sampleTexts(size), size);
  const once = async (precision: 'f32' | 'mixed', profile: Profile | undefined) => {
    const losses: number[] = [];
    const run = await Run.open({
      ...prepared,
      setup: { ...prepared.setup, precision },
      accumulate: 1,
      seed: 1,
      validateEvery: size.steps,
      saveEvery: 0,
      out: null,
      resume: false,
      device: { profile },
      hooks: { onStep: (r) => losses.push(r.loss) },
      version: 'gpu-pack',
    });
    const began = performance.now();
    const result = await run.train();
    const seconds = (performance.now() - began) / 1000;
    const states = await hashStates(run.trainer.stepper, ['param', 'weight', 'moment1', 'moment2', 'step']);
    await run.close();
    return { losses, states, seconds, result };
  };
  for (const { key, profile, precision } of runs) {
    if (!left.includes(key)) continue;
    journal.at(key);
    try {
      const [first, second] = [await once(precision, profile), await once(precision, profile)];
      const equal = JSON.stringify([first.losses, first.states]) === JSON.stringify([second.losses, second.states]);
      const [start, end] = [first.losses[0], first.losses[first.losses.length - 1]];
      const { losses, result } = first;
      const tokensPerSecond = (size.steps * size.batch * size.tokens) / second.seconds;
      journal.done(key, {
        ok: equal && end < start,
        equal,
        start,
        end,
        steps: losses.length,
        tokensPerSecond,
        seconds: [first.seconds, second.seconds],
        losses,
        result,
      });
    } catch (error) {
      journal.done(key, { ok: false, message: String(error) });
    }
  }
}

const PARTS: Readonly<Record<string, (journal: Journal) => Promise<void>>> = { doctor, ops, bench, tune, train };

/** Which adapter answers under the environment of this process: one JSON line. */
async function probe(): Promise<void> {
  const device = await GpuDevice.open();
  process.stdout.write(`${JSON.stringify({ ok: true, runtime: (await host()).version, ...device.facts })}\n`);
}

if (part === 'probe') await probe();
else if (Object.hasOwn(PARTS, part)) {
  const journal = openJournal(part);
  await PARTS[part](journal);
  journal.at(undefined);
} else {
  process.stderr.write(`parts: no part "${part}"; there are probe, ${Object.keys(PARTS).join(', ')}\n`);
  process.exit(2);
}
process.exit(0);
