/**
 * The op suite in Node with Dawn, in this process; and the cases that depend on the subgroup width again
 * with the CPU driver's vectors made narrower and wider, each in a process of its own.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GpuDevice } from '../../src/gpu/device.ts';
import { child, failures, NODE, need, ROOT, readResult, suiteTests, tell } from './expect.ts';
import { runSuite } from './suite.ts';

describe('op suite in Node', () => {
  suiteTests('node', () => runSuite(() => GpuDevice.open()), 900);
});

describe('subgroup widths', () => {
  // Bits of the driver's vectors; a lane holds 32. The width of 8 is the suite's own.
  it.each([
    [128, 4],
    [512, 16],
  ])('vectors of %i bits', { timeout: 300_000 }, async (bits, lanes) => {
    // A cache of its own: a shader compiled for another width must not come back from the common one.
    const env = { LP_NATIVE_VECTOR_WIDTH: String(bits), MESA_SHADER_CACHE_DIR: join(ROOT, '.cache', `mesa-${bits}`) };
    const result = readResult(await child(need(NODE, 'SCION_NODE'), ['test/runtime/run.ts', '--subgroups'], { env, seconds: 280 }));
    process.stdout.write(tell(`node, ${bits} bits`, result));
    // Only lavapipe obeys; elsewhere the adapter's own width is tested a second time.
    if (result.adapter.includes('llvmpipe')) expect(result.subgroups).toBe(`${lanes}..${lanes}`);
    expect(failures(result.results)).toEqual([]);
    expect(result.results.length).toBeGreaterThan(0);
  });
});
