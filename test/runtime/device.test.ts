/**
 * The life of a device: opening, several at once, loss, refused work, no adapter at all. WebGPU itself says
 * nothing when a submit is dropped or a device is gone; these tests hold that scion does.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { isScionError, type ScionError } from '../../src/base/errors.ts';
import { type DeviceOptions, GpuDevice } from '../../src/gpu/device.ts';
import { runOnce } from '../../src/tensor/eager.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { copy } from '../../src/tensor/ops/copy.ts';
import { planGraph } from '../../src/tensor/plan.ts';
import { Session } from '../../src/tensor/session.ts';
import { child, NODE, need } from './expect.ts';

const USAGE = { copySrc: 4, copyDst: 8, storage: 128 } as const;
const opened: GpuDevice[] = [];

async function open(options: DeviceOptions = {}): Promise<GpuDevice> {
  const device = await GpuDevice.open(options);
  opened.push(device);
  return device;
}

afterEach(() => {
  for (const device of opened.splice(0)) device.destroy();
});

/** The ScionError that `work` ends in; anything else is a failure. */
async function errorOf(work: () => unknown): Promise<ScionError> {
  try {
    await work();
  } catch (error) {
    if (isScionError(error)) return error;
    throw new Error(`expected a ScionError, got ${String(error)}`);
  }
  throw new Error('expected an error, got none');
}

/** A program that copies six numbers. */
function copySession(device: GpuDevice): Session {
  const g = new Graph();
  const y = copy(g.data('x', [6], 'f32'));
  return new Session(device, { main: planGraph(g, { facts: device.facts, outputs: { y } }) });
}

const SIX = Float32Array.of(1, -2, 3, -4, 5, -6);

describe('opening', () => {
  it('tells facts that lowering can plan with', async () => {
    const { facts } = await open();
    expect(facts.limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(128 << 20);
    expect(facts.limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    expect(facts.profile).toBe(facts.fallback ? 'generic' : 'specialised');
    expect(facts.name).not.toBe('');
    expect(facts.subgroups !== null).toBe(facts.features.includes('subgroups'));
  });

  it('takes a forced profile, lower limits and features left off', async () => {
    const { facts } = await open({ profile: 'specialised', limits: { maxStorageBufferBindingSize: 65536 }, without: ['subgroups', 'shader-f16'] });
    expect(facts.profile).toBe('specialised');
    expect(facts.limits.maxStorageBufferBindingSize).toBe(65536);
    expect(facts.subgroups).toBeNull();
    expect(facts.features).not.toContain('shader-f16');
  });

  it('three devices in one process compute side by side, and outlive one another', async () => {
    const devices = await Promise.all([open(), open(), open()]);
    const sessions = devices.map(copySession);
    for (const [i, s] of sessions.entries()) s.programs.main.run({ x: SIX.map((v) => v * (i + 1)) });
    const read = await Promise.all(sessions.map((s) => s.programs.main.read()));
    read.forEach(({ y }, i) => {
      expect([...y]).toEqual([...SIX.map((v) => v * (i + 1))]);
    });
    devices[0].destroy();
    devices[2].destroy();
    sessions[1].programs.main.run({ x: SIX });
    expect([...(await sessions[1].programs.main.read()).y]).toEqual([...SIX]);
    expect(() => devices[1].check()).not.toThrow();
  });

  it('an adapter by a name that does not exist is a device error that names it', async () => {
    const error = await errorOf(() => open({ adapter: 'no such adapter 4711' }));
    expect(error.kind).toBe('device');
    expect(error.message).toContain('no such adapter 4711');
  });

  it('without any adapter: kind device, exit code 3, and what to install', { timeout: 60_000 }, async () => {
    const script = `
      import { exitCodeOf } from './src/base/errors.ts';
      import { GpuDevice } from './src/gpu/device.ts';
      try { await GpuDevice.open(); } catch (error) { console.log(error.name, error.kind, error.message); process.exitCode = exitCodeOf(error); }`;
    const env = { VK_ICD_FILENAMES: '/nonexistent', VK_DRIVER_FILES: '/nonexistent' };
    const { code, out } = await child(need(NODE, 'SCION_NODE'), ['--input-type=module', '-e', script], { env, seconds: 50 });
    expect(out).toMatch(/^ScionError device .*(install|scion doctor)/);
    expect(code).toBe(3);
  });
});

describe('loss', () => {
  it('a destroyed device fails every later check', async () => {
    const device = await open();
    expect(device.lost).toBe(false);
    device.destroy();
    await device.raw.lost;
    expect(device.lost).toBe(true);
    expect((await errorOf(() => device.check())).kind).toBe('lost');
  });

  it('a read that is under way rejects instead of hanging', async () => {
    const device = await open();
    const { main } = copySession(device).programs;
    main.run({ x: SIX });
    const reading = errorOf(() => main.read());
    device.destroy();
    expect((await reading).kind).toBe('lost');
  });

  it('a run on a lost device is refused, not swallowed', async () => {
    const device = await open();
    const { main } = copySession(device).programs;
    device.destroy();
    await device.raw.lost;
    expect((await errorOf(() => main.run({ x: SIX }))).kind).toBe('lost');
    expect((await errorOf(() => device.idle())).kind).toBe('lost');
  });
});

describe('refused work', () => {
  it('a submit that uses a destroyed buffer makes the next check throw, once', async () => {
    const device = await open();
    const a = device.createBuffer('a', 256, USAGE.storage | USAGE.copySrc | USAGE.copyDst);
    const b = device.createBuffer('b', 256, USAGE.storage | USAGE.copySrc | USAGE.copyDst);
    const encoder = device.raw.createCommandEncoder();
    encoder.copyBufferToBuffer(a, 0, b, 0, 256);
    device.destroyBuffer(a);
    device.submit([encoder.finish()]);
    const error = await errorOf(() => device.idle());
    expect(error.kind).toBe('device');
    expect(error.message).toMatch(/destroyed/);
    expect(() => device.check()).not.toThrow();
  });

  it('a bad submit between two steps fails the second step', async () => {
    const device = await open();
    const { main } = copySession(device).programs;
    main.run({ x: SIX });
    await main.read();
    const b = device.createBuffer('b', 256, USAGE.copySrc);
    const encoder = device.raw.createCommandEncoder();
    encoder.copyBufferToBuffer(b, 0, b, 0, 256);
    device.submit([encoder.finish()]);
    expect(
      (
        await errorOf(async () => {
          main.run({ x: SIX });
          await main.read();
        })
      ).kind,
    ).toBe('device');
  });

  it('a kernel that does not compile is told by file and line', async () => {
    const broken = `// first line\n@group(0) @binding(1) var<storage, read_write> X: array<f32>;\n@compute @workgroup_size(1) fn main() { X[0] = nowhere; }`;
    const device = await open({ sourceOf: () => broken });
    device.pipeline('lib/broken');
    const error = await errorOf(() => device.idle());
    expect(error.kind).toBe('device');
    expect(JSON.stringify([error.message, error.details])).toMatch(/lib\/broken\.wgsl:3/);
  });

  it('a buffer over the limit is a memory error with both sizes, and allocates nothing', async () => {
    const device = await open({ limits: { maxBufferSize: 1024 } });
    const error = await errorOf(() => device.createBuffer('big', 2048, USAGE.storage));
    expect(error.kind).toBe('memory');
    expect(error.message).toMatch(/2048.*1024/);
    expect(device.liveBytes).toBe(0);
  });
});

describe('buffers', () => {
  it('are counted, and eager use leaves none behind', async () => {
    const device = await open();
    for (let i = 0; i < 3; i++) {
      const g = new Graph();
      const { y } = await runOnce(device, { y: copy(g.data('x', [6], 'f32')) }, { x: SIX });
      expect([...y]).toEqual([...SIX]);
      expect(device.liveBuffers).toBe(0);
      expect(device.liveBytes).toBe(0);
    }
    expect(device.created.pipelines).toBe(1);
    device.check();
  });
});
