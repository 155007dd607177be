/**
 * Every kernel under every combination of switches that the op cases ask for, compiled on Dawn's null
 * backend: Tint checks what Deno's compiler lets pass (barriers in non-uniform flow above all), and the
 * kernels that no adapter at hand can run are at least known to be valid. Nothing is executed.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { kernelSources } from '../../kernels/index.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { BASE_LIMITS, type DeviceFacts } from '../../src/gpu/facts.ts';
import { COMPILE_ONLY } from './compileonly.ts';
import { type Variant, variantsOf } from './plans.ts';
import { allCases } from './suite.ts';

/** Files with an entry point outside of `lib/`; the others are included by them. */
const kernels = Object.keys(kernelSources)
  .filter((path) => !path.startsWith('lib/') && /^\s*@compute\b/m.test(kernelSources[path]))
  .map((path) => path.replace(/\.wgsl$/, ''));

let device: GpuDevice;
const variants = new Map<string, Variant>();
/** Plans that failed: message, and the first case and machine it was met on. */
const refused = new Map<string, string>();

beforeAll(async () => {
  device = await GpuDevice.open({ backend: 'null' });
  // Machines that a plan can meet: with everything, without subgroups, and with the limits of every WebGPU device.
  const full: DeviceFacts = { ...device.facts, fallback: true, profile: 'generic', subgroups: { min: 4, max: 64 } };
  const machines: DeviceFacts[] = [
    full,
    ...[4, 8, 16, 32].map((width) => ({ ...full, subgroups: { min: width, max: width } })),
    { ...full, subgroups: null, features: full.features.filter((f) => f !== 'subgroups') },
    { ...full, subgroups: null, features: [], limits: BASE_LIMITS },
  ];
  for (const { c } of allCases()) {
    for (const facts of machines) {
      if ((c.needs ?? []).some((f) => !facts.features.includes(f))) continue;
      try {
        for (const [key, variant] of variantsOf(c, facts)) variants.set(key, variant);
      } catch (error) {
        const message = String(error);
        if (!refused.has(message)) refused.set(message, `${c.name}, machine ${machines.indexOf(facts)}`);
      }
    }
  }
  for (const v of COMPILE_ONLY) variants.set(`${v.kernel} ${JSON.stringify(v.switches)}`, v);
});

/** What Tint and pipeline creation say of a variant; empty if all is well. */
async function complaints(v: Variant): Promise<string> {
  device.raw.pushErrorScope('validation');
  device.raw.pushErrorScope('internal');
  let thrown = '';
  try {
    device.pipeline(v.kernel, v.switches, v.constants, v.entry);
  } catch (error) {
    thrown = String(error);
  }
  const pops = [device.raw.popErrorScope(), device.raw.popErrorScope()];
  const found = await Promise.all(pops);
  try {
    device.check();
  } catch (error) {
    thrown ||= error instanceof Error ? error.message : String(error);
  }
  return [thrown, ...found.map((e) => e?.message ?? '')].filter((m) => m !== '').join('\n');
}

describe('kernels compile on the null backend', () => {
  it('every plan is accepted on every kind of machine', () => {
    expect([...refused].map(([message, where]) => `${where}: ${message}`)).toEqual([]);
  });

  it('a barrier in non-uniform flow, and a syntax error, would be found', async () => {
    const code = (body: string) => `
      @group(0) @binding(1) var<storage, read_write> X: array<f32>;
      @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { ${body} }`;
    const open = await GpuDevice.open({
      backend: 'null',
      sourceOf: (path) => code(path.startsWith('bad') ? 'if (X[i] > 0.0) { workgroupBarrier(); }' : 'X[i] = ;'),
    });
    for (const [name, words] of [
      ['bad', /uniform/],
      ['worse', /unable to parse/],
    ] as const) {
      open.raw.pushErrorScope('validation');
      open.pipeline(name);
      expect((await open.raw.popErrorScope())?.message).toMatch(words);
    }
    open.destroy();
  });

  it.each(kernels)('%s', async (kernel) => {
    const mine = [...variants].filter(([, v]) => v.kernel === kernel);
    expect(mine.length, `no op case launches ${kernel}; add one, or list it in test/runtime/compileonly.ts`).toBeGreaterThan(0);
    for (const [key, v] of mine) expect(await complaints(v), key).toBe('');
  });

  it('asks for at most 8 storage buffers in any variant', () => {
    const over = [...variants].filter(([, v]) => device.expand(v.kernel, v.switches).bindings.length > 8).map(([key]) => key);
    expect(over).toEqual([]);
    process.stdout.write(`${kernels.length} kernels, ${variants.size} variants compiled\n`);
  });
});
