/**
 * Training when the machine misbehaves: NaN in a gradient, a device that vanishes, no adapter, a full disk. After
 * each, states are compared by hash with those of a run to which nothing happened.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isScionError } from '../../src/base/errors.ts';
import { findLatest } from '../../src/checkpoint/load.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { gradName } from '../../src/nn/parameters.ts';
import { learningRate } from '../../src/optim/schedule.ts';
import { planTraining, type TrainPlans } from '../../src/train/programs.ts';
import { RunFolder } from '../../src/train/run-folder.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { type BatchSource, Trainer, type TrainHooks } from '../../src/train/trainer.ts';
import { scion } from '../e2e/cli.ts';
import { hashStates, TINY_SETUP, tinyLoader } from '../train/tiny.ts';

const KINDS = ['param', 'weight', 'moment1', 'moment2'];
let folder = '';
let device: GpuDevice;
let plans: TrainPlans;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-'));
  device = await GpuDevice.open();
  plans = planTraining(TINY_SETUP, device.facts);
});
afterAll(() => {
  device.destroy();
  rmSync(folder, { recursive: true });
});

/** NaN into one element of one gradient, behind all work so far and before the next step's. */
function poison(stepper: Stepper): void {
  const place = stepper.plans.states.place(gradName('layers.1.down'));
  stepper.session.writeBytes(place.buffer, place.offset + 40, new Uint8Array(new Float32Array([Number.NaN]).buffer));
}

describe.each(['f32', 'mixed'] as const)('NaN in one gradient, %s', (precision) => {
  const setup = { ...TINY_SETUP, precision };
  /** Steps over the given batches without reading anything between; `bad` are poisoned. */
  async function run(batches: readonly number[], bad: readonly number[]) {
    const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
    await stepper.startFresh(3);
    const loader = tinyLoader(setup);
    const all = Array.from({ length: 12 }, () => loader.next());
    for (const b of batches) {
      if (bad.includes(b)) poison(stepper);
      stepper.step([all[b]], 1e-3);
    }
    const { records, badRun } = await stepper.records();
    const found = { records, badRun, hashes: await hashStates(stepper, KINDS), grads: await hashStates(stepper, ['grad']), t: stepper.goodSteps };
    stepper.destroy();
    return found;
  }

  it('skips the step: states are the same bits as before, the record says so', async () => {
    const before = await run([0, 1, 2], []);
    const after = await run([0, 1, 2, 3], [3]);
    expect(after.records.map((r) => r.skipped)).toEqual([false, false, false, true]);
    expect(after.hashes).toEqual(before.hashes);
    // The NaN is cleared away with the gradient.
    expect(after.grads).toEqual(before.grads);
    expect(after.badRun).toBe(1);
    expect(after.t).toBe(3);
    // And it would have moved otherwise.
    expect((await run([0, 1, 2, 3], [])).hashes).not.toEqual(before.hashes);
  });

  it('in the middle of steps that nobody reads: the end is that of a run without the bad step', async () => {
    const hit = await run([0, 1, 2, 3, 4, 5, 6], [2]);
    const spared = await run([0, 1, 3, 4, 5, 6], []);
    expect(hit.records.map((r) => r.skipped)).toEqual([false, false, true, false, false, false, false]);
    expect(hit.badRun).toBe(0);
    // In mixed precision the loss scale has halved: a power of two, but it may round subnormal 16-bit numbers otherwise.
    if (precision === 'f32') expect(hit.hashes).toEqual(spared.hashes);
    expect(hit.t).toBe(spared.t);
    expect(hit.records.slice(3).map((r) => r.lossScale)).toEqual(spared.records.slice(2).map((r) => (precision === 'mixed' ? r.lossScale / 2 : 1)));
  });
});

interface Watched {
  readonly steps?: number;
  readonly saveEvery?: number;
  readonly out: string | null;
  readonly hooks?: TrainHooks;
  readonly before?: (step: number, trainer: Trainer) => void;
}

/** A trainer of the tiny model whose devices are its own. */
async function trainerOf(
  options: Watched,
): Promise<{ trainer: Trainer; run: RunFolder | null; losses: Map<number, number>; events: string[]; devices: GpuDevice[] }> {
  const { out, steps = 14, saveEvery = 4, hooks, before } = options;
  const loader = tinyLoader();
  const losses = new Map<number, number>();
  const events: string[] = [];
  const devices: GpuDevice[] = [];
  const source: BatchSource = {
    next: () => {
      before?.(trainer.stepper.attempted, trainer);
      return loader.next();
    },
    state: () => loader.state(),
    restore: (state) => loader.restore(state as ReturnType<typeof loader.state>),
  };
  const run = out === null ? null : await RunFolder.open({ dir: out, config: {}, version: 'test', resume: false });
  const trainer: Trainer = new Trainer({
    setup: TINY_SETUP,
    plans,
    schedule: { kind: 'cosine', peak: 0.003, warmup: 2, steps },
    steps,
    accumulate: 1,
    source,
    validation: null,
    validateEvery: 0,
    saveEvery,
    checkpointer: run,
    openDevice: async () => {
      devices.push(await GpuDevice.open());
      return devices[devices.length - 1];
    },
    initial: { seed: 3 },
    hooks: {
      onStep: (r) => {
        losses.set(r.step, r.loss);
        hooks?.onStep?.(r);
      },
      onEvent: (e) => {
        events.push(e.kind);
        hooks?.onEvent?.(e);
      },
    },
  });
  return { trainer, run, losses, events, devices };
}

/** Trains to the end without a fault. */
async function undisturbed() {
  const { trainer, losses } = await trainerOf({ out: null });
  await trainer.run();
  const hashes = await hashStates(trainer.stepper, KINDS);
  await trainer.close();
  return { losses: [...losses], hashes };
}

it('five bad steps in a row end the run with kind numeric; the checkpoint stays and loads', async () => {
  const dir = join(folder, 'numeric');
  const { trainer, run, events } = await trainerOf({
    out: dir,
    before: (step, t) => {
      if (step >= 6) poison(t.stepper);
    },
  });
  const error: unknown = await trainer.run().catch((e: unknown) => e);
  expect(isScionError(error, 'numeric'), String(error)).toBe(true);
  expect((error as Error).message).toMatch(/5 steps in a row.*checkpoint/s);
  expect(trainer.stepper.attempted).toBe(11);
  expect(events.filter((e) => e === 'skipped')).toHaveLength(5);
  const found = await findLatest(posixFiles, join(dir, 'checkpoints'));
  expect(found?.skipped).toEqual([]);
  expect(found?.manifest.step).toBe(8);
  const stopped = await hashStates(trainer.stepper, KINDS);
  await trainer.close();
  await run?.close();
  const six = await trainerOf({ out: null });
  await six.trainer.open();
  const loader = tinyLoader();
  for (let s = 0; s < 6; s++) six.trainer.stepper.step([loader.next()], learningRate({ kind: 'cosine', peak: 0.003, warmup: 2, steps: 14 }, s));
  expect(await hashStates(six.trainer.stepper, KINDS)).toEqual(stopped);
  await six.trainer.close();
});

describe('a device that vanishes', () => {
  it.each([
    ['after a step, behind two saves', 9, 'hook', true],
    ['before the first save', 2, 'hook', true],
    ['before a step is enqueued', 6, 'source', true],
    ['without a run folder', 5, 'hook', false],
  ] as const)('%s: another is opened, losses and states end the same', async (name, at, where, saved) => {
    const wanted = await undisturbed();
    let done = false;
    const strike = (step: number) => {
      if (step !== at || done) return;
      done = true;
      devices[devices.length - 1].raw.destroy();
    };
    const { trainer, run, losses, events, devices } = await trainerOf({
      out: saved ? join(folder, name) : null,
      hooks: where === 'hook' ? { onStep: (r) => strike(r.step) } : {},
      before: where === 'source' ? strike : undefined,
    });
    const result = await trainer.run();
    expect(result.steps).toBe(14);
    expect(events.filter((e) => e === 'device-lost')).toHaveLength(1);
    expect(devices).toHaveLength(2);
    // Steps between the checkpoint and the loss were trained twice; the later report stands.
    expect([...losses].sort(([a], [b]) => a - b)).toEqual(wanted.losses);
    expect(await hashStates(trainer.stepper, KINDS)).toEqual(wanted.hashes);
    await trainer.close();
    await run?.close();
  });

  it('every time: given up after three', async () => {
    const { trainer, devices } = await trainerOf({ out: null, hooks: { onStep: () => devices[devices.length - 1].raw.destroy() } });
    const error: unknown = await trainer.run().catch((e: unknown) => e);
    expect(isScionError(error, 'lost'), String(error)).toBe(true);
    expect(devices).toHaveLength(4);
  });
});

it('no adapter: the command line says what to install and exits with 3', { timeout: 60_000 }, async () => {
  const config = join(folder, 'config.json');
  writeFileSync(
    config,
    JSON.stringify({ model_type: 'llama', vocab_size: 300, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2 }),
  );
  const data = join(folder, 'text.jsonl');
  writeFileSync(data, Array.from({ length: 40 }, (_, i) => JSON.stringify({ text: `This is document number ${i}, and it says nothing else.` })).join('\n'));
  const ran = await scion('node', ['train', '--config', config, '--data', data, '--out', join(folder, 'none'), '--tokens', '32', '--json'], {
    env: { VK_ICD_FILENAMES: '/nonexistent', VK_DRIVER_FILES: '/nonexistent' },
  });
  expect(ran.code, ran.err).toBe(3);
  expect(ran.err).toContain('no WebGPU adapter');
  expect(JSON.parse(ran.out.trimEnd())).toMatchObject({ kind: 'device' });
});

/** A file system of its own; false where this user may not mount. */
function mount(dir: string, size: string): boolean {
  mkdirSync(dir);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', dir], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

it('a full disk: the save fails with its sizes, the checkpoint before it is intact, the run goes on and saves again', async (context) => {
  const dir = join(folder, 'small');
  if (!mount(dir, '2m')) return context.skip('mounting a tmpfs needs root');
  const ballast = join(dir, 'ballast');
  try {
    const messages: string[] = [];
    const kept: unknown[] = [];
    const { trainer, run } = await trainerOf({
      out: join(dir, 'run'),
      before: (step) => {
        if (step === 5) fill(ballast);
        if (step === 9) rmSync(ballast);
      },
      hooks: {
        onEvent: (e) => {
          if (e.kind !== 'save-failed') return;
          messages.push(e.message);
          kept.push(findLatest(posixFiles, join(dir, 'run', 'checkpoints')));
        },
      },
    });
    const result = await trainer.run();
    const hashes = await hashStates(trainer.stepper, KINDS);
    await trainer.close();
    await run?.close();
    expect(result.steps).toBe(14);
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatch(/step 8/);
    expect(messages[0], 'sizes').toMatch(/\d/);
    expect(((await kept[0]) as Awaited<ReturnType<typeof findLatest>>)?.manifest.step).toBe(4);
    expect((await findLatest(posixFiles, join(dir, 'run', 'checkpoints')))?.manifest.step).toBe(14);
    expect(hashes).toEqual((await undisturbed()).hashes);
  } finally {
    execFileSync('umount', ['-l', dir]);
  }
});

/** Writes until the disk is full. */
function fill(path: string): void {
  try {
    writeFileSync(path, new Uint8Array(16 << 20));
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOSPC') throw error;
  }
}
