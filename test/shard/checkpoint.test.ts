/**
 * Checkpoints across meshes: 1, 2, 4 and 1 ranks take up each other's, whatever their ZeRO stage, and every whole state keeps its SHA-256.
 * A rank that cannot write fails the save on all ranks, and leaves nothing.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ScionError } from '../../src/base/errors.ts';
import { loadLatest, openCheckpoint } from '../../src/checkpoint/load.ts';
import { loadLatestOnRanks, saveOnRanks } from '../../src/checkpoint/ranks.ts';
import { saveCheckpoint } from '../../src/checkpoint/save.ts';
import type { SplitStates } from '../../src/checkpoint/store.ts';
import type { Transport } from '../../src/comm/types.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { posixFiles } from '../../src/host/posix.ts';
import type { HostFiles } from '../../src/host/types.ts';
import { type MeshShape, ONE_RANK, openMesh } from '../../src/shard/mesh.ts';
import type { ZeroStage } from '../../src/shard/place.ts';
import { planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { RankStepper } from '../../src/train/rank-stepper.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { onRanks } from './on-ranks.ts';
import { hashWhole, SHARD_SETUP, shardLoader } from './ranks.ts';

let device: GpuDevice;
let dir: string;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'scion-ranks-'));
  return () => rmSync(dir, { recursive: true, force: true });
});

const meta = { tokens: 0, configHash: 'same', version: 'test', adapter: 'test', kernels: {} };

/** Loads what there is, trains two steps, saves. Gives the whole states' hashes before and after. */
async function partOfRun(
  stepper: Stepper,
  from: number,
  group: Transport | null,
  split?: SplitStates,
): Promise<{ before: Record<string, string>; after: Record<string, string> }> {
  const { session, plans } = stepper;
  const options = { session, states: plans.states, split };
  const found = group ? await loadLatestOnRanks(posixFiles, dir, options, group) : await loadLatest(posixFiles, dir, options);
  if (found) await stepper.resumed();
  else await stepper.startFresh(7);
  expect(stepper.attempted).toBe(from);
  const trainer: unknown = found ? found.trainer : { step: 0 };
  expect(trainer).toEqual({ step: from });
  const before = await hashWhole(stepper);
  const loader = shardLoader(stepper.setup);
  for (let s = 0; s < from + 2; s++) {
    const batches = Array.from({ length: 4 }, () => loader.next());
    if (s >= from) await stepper.advance(batches, 0.003);
  }
  await stepper.records();
  const after = await hashWhole(stepper);
  const save = { ...options, step: from + 2, trainer: { step: from + 2 }, meta };
  if (group) await saveOnRanks(posixFiles, dir, save, group, split);
  else await saveCheckpoint(posixFiles, dir, save);
  stepper.destroy();
  return { before, after };
}

/** The same, each mesh with tensors split or not. */
async function onSplit(setup: TrainSetup, mesh: Partial<MeshShape>, zero: ZeroStage, from: number) {
  const shape = { ...ONE_RANK, ...mesh };
  const ranks = await onRanks(shape.dp * shape.tp, async (world) => {
    const plans = planTraining(setup, device.facts, { shape, rank: world.rank, zero });
    const stepper = new RankStepper(device, setup, plans, await openMesh(shape, world));
    return partOfRun(stepper, from, world, shape.tp > 1 ? stepper : undefined);
  });
  for (const other of ranks) expect(other).toEqual(ranks[0]);
  return ranks[0];
}

it.each(process.env.SCION_TIER === 'full' ? (['f32', 'mixed'] as const) : (['mixed'] as const))(
  'split tensors come from and go to any mesh, %s',
  { timeout: 120_000 },
  async (precision) => {
    const setup: TrainSetup = { ...SHARD_SETUP, precision, model: { ...SHARD_SETUP.model, qkvBias: true, qkNorm: true } };
    let at = 0;
    let last: Record<string, string> | null = null;
    for (const [mesh, zero] of [
      [{ tp: 2 }, 0],
      [{ dp: 2, tp: 2 }, 3],
      [{ dp: 3 }, 1],
      [{}, 0],
    ] as const) {
      const { before, after } = await onSplit(setup, mesh, zero, at);
      if (last) expect(before, JSON.stringify(mesh)).toEqual(last);
      expect(after).not.toEqual(before);
      last = after;
      at += 2;
    }
  },
);

async function onMesh(setup: TrainSetup, dp: number, zero: ZeroStage, from: number) {
  if (dp === 1) return partOfRun(new Stepper(device, setup, planTraining(setup, device.facts)), from, null);
  const shape = { ...ONE_RANK, dp };
  const ranks = await onRanks(dp, async (world) => {
    const plans = planTraining(setup, device.facts, { shape, rank: world.rank, zero });
    const mesh = await openMesh(shape, world);
    return partOfRun(new RankStepper(device, setup, plans, mesh), from, mesh.along.dp);
  });
  for (const other of ranks) expect(other).toEqual(ranks[0]);
  return ranks[0];
}

describe.each([
  ['f32', SHARD_SETUP],
  ['mixed, a frozen base in 16 bits beside new rows', { ...SHARD_SETUP, precision: 'mixed', trainable: { parameters: 'rows', firstRow: 60 }, ema: 0.5 }],
] as const)('%s', (_, setup) => {
  it('1, 2, 4 and 1 ranks go on from each other', { timeout: 60_000 }, async () => {
    let at = 0;
    let last: Record<string, string> | null = null;
    for (const [dp, zero] of [
      [1, 0],
      [2, 3],
      [4, 1],
      [2, 2],
      [1, 0],
      [4, 0],
    ] as const) {
      const { before, after } = await onMesh(setup, dp, zero, at);
      if (last) expect(before, `${dp} ranks, ZeRO ${zero}`).toEqual(last);
      expect(after).not.toEqual(before);
      last = after;
      at += 2;
    }
  });
});

it('reads the parameters of a checkpoint that ranks wrote without a device', { timeout: 60_000 }, async () => {
  const shape = { ...ONE_RANK, dp: 3 };
  const [{ path, values }] = await onRanks(3, async (world) => {
    const stepper = new RankStepper(
      device,
      SHARD_SETUP,
      planTraining(SHARD_SETUP, device.facts, { shape, rank: world.rank, zero: 3 }),
      await openMesh(shape, world),
    );
    await stepper.startFresh(3);
    const saved = await saveOnRanks(posixFiles, dir, { session: stepper.session, states: stepper.plans.states, step: 0, trainer: null, meta }, world);
    const held: Record<string, Float32Array> = {};
    for (const name of ['embed', 'layers.1.down', 'norm']) held[name] = await stepper.readParameter(name);
    stepper.destroy();
    return { path: saved.path, values: held };
  });
  expect(readdirSync(path).filter((name) => name.startsWith('param')).length).toBe(3);
  const open = await openCheckpoint(posixFiles, path);
  for (const [name, wanted] of Object.entries(values)) expect(await open.read(name)).toEqual(wanted);
  expect(open.manifest.ranks).toBe(3);
  expect(await open.moment(1, 'embed')).toEqual(new Float32Array(values.embed.length));
  expect((await open.step())[0]).toBe(0);
  await open.close();
});

it('a rank that cannot write fails the save on every rank, with its reason, and nothing is left', { timeout: 60_000 }, async () => {
  const shape = { ...ONE_RANK, dp: 2 };
  const full: HostFiles = {
    ...posixFiles,
    create: async (path, options) => {
      if (path.includes('-1-of-2')) throw new ScionError('space', 'no space for this rank');
      return posixFiles.create(path, options);
    },
  };
  const errors = await onRanks(2, async (world) => {
    const stepper = new RankStepper(
      device,
      SHARD_SETUP,
      planTraining(SHARD_SETUP, device.facts, { shape, rank: world.rank, zero: 1 }),
      await openMesh(shape, world),
    );
    await stepper.startFresh(3);
    const save = { session: stepper.session, states: stepper.plans.states, step: 1, trainer: null, meta };
    const error = await saveOnRanks(full, dir, save, world).then(
      () => null,
      (e: unknown) => e as ScionError,
    );
    const again = await saveOnRanks(posixFiles, dir, save, world);
    stepper.destroy();
    return { kind: error?.kind, message: error?.message, again: again.path };
  });
  for (const e of errors) {
    expect(e.kind).toBe('space');
    expect(e.message).toMatch(/the checkpoint of step 1 needs \d+ bytes/);
    expect(e.again).toBe(join(dir, readdirSync(dir)[0]));
  }
  expect(readdirSync(dir)).toHaveLength(1);
});
