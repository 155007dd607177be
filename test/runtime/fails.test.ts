/**
 * That the op suite can fail: a wrong kernel, a kernel that does not compile, a device that goes away, a
 * skip nobody committed. Each must fail the case it belongs to, and only that one.
 */
import { describe, expect, it } from 'vitest';
import { kernelSources } from '../../kernels/index.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { copy } from '../../src/tensor/ops/copy.ts';
import { swiglu } from '../../src/tensor/ops/swiglu.ts';
import { normError, type OpCase } from './case.ts';
import { runSuite } from './suite.ts';

const gated = (name: string): OpCase => ({
  op: 'swiglu',
  name,
  dtype: 'f32',
  profile: 'generic',
  inputs: { x: { shape: [3, 14], dtype: 'f32', fill: 'normal' } },
  build: ({ x }) => ({ y: swiglu(x) }),
  wrt: ['x'],
});
const plain = (name: string, more: Partial<OpCase> = {}): OpCase => ({
  op: 'copy',
  name,
  dtype: 'f32',
  profile: 'generic',
  inputs: { x: { shape: [3, 14], dtype: 'f32', fill: 'normal' } },
  build: ({ x }) => ({ y: copy(x) }),
  ...more,
});
const three = [plain('before'), gated('the one'), plain('after')].map((c) => ({ file: 'own', c }));
const outcome = (results: readonly { ok: boolean }[]) => results.map((r) => r.ok);

/** A device whose forward SwiGLU kernel is `change`d. */
function withKernel(change: (text: string) => string): () => Promise<GpuDevice> {
  const path = 'elementwise/swiglu.wgsl';
  const text = change(kernelSources[path]);
  expect(text).not.toBe(kernelSources[path]);
  return () => GpuDevice.open({ sourceOf: (p) => (p === path ? text : kernelSources[p]) });
}

describe('the op suite', () => {
  it('passes what is right', async () => {
    const { results, cellsRun, cellsPossible } = await runSuite(() => GpuDevice.open(), { cases: three });
    expect(outcome(results)).toEqual([true, true, true]);
    expect([cellsRun, cellsPossible]).toEqual([2, 2]);
  });

  it('fails a kernel that computes another function, by its error', async () => {
    const { results } = await runSuite(
      withKernel((text) => text.replaceAll('exp(', 'exp2(')),
      { cases: three },
    );
    expect(outcome(results)).toEqual([true, false, true]);
    expect(results[1].errors.y).toBeGreaterThan(0.01);
    // The gradient has a kernel of its own, which is right.
    expect(results[1].errors.d_x).toBeLessThan(1e-6);
  });

  it('fails the case whose kernel does not compile, names the place, and goes on', async () => {
    const { results } = await runSuite(
      withKernel((text) => `${text}\nfn broken() -> f32 { return nowhere; }`),
      { cases: three },
    );
    expect(outcome(results)).toEqual([true, false, true]);
    expect(results[1].message).toMatch(/nowhere/);
  });

  it('fails the case in which the device goes away, and opens another for the next', async () => {
    const devices: GpuDevice[] = [];
    const open = async () => {
      devices.push(await GpuDevice.open());
      return devices[devices.length - 1];
    };
    const loses = plain('loses the device', {
      build: ({ x }) => {
        devices[0].destroy();
        return { y: copy(x) };
      },
    });
    const cases = [plain('before'), loses, plain('after')].map((c) => ({ file: 'own', c }));
    const { results } = await runSuite(open, { cases });
    expect(outcome(results)).toEqual([true, false, true]);
    expect(devices.length).toBe(2);
  });

  it('fails a case that needs a feature which the committed list does not excuse', async () => {
    const cases = [plain('needs', { needs: ['no-such-feature'] })].map((c) => ({ file: 'own', c }));
    const { results, cellsRun, cellsPossible } = await runSuite(() => GpuDevice.open(), { cases });
    expect(results[0].ok).toBe(false);
    expect(results[0].message).toMatch(/no-such-feature.*skips\.ts/);
    expect([cellsRun, cellsPossible]).toEqual([0, 1]);
  });

  it('counts NaN, infinity and a result where zero is due as infinite error', () => {
    expect(normError([1, Number.NaN], [1, 2])).toBe(Number.POSITIVE_INFINITY);
    expect(normError([1, Number.POSITIVE_INFINITY], [1, 2])).toBe(Number.POSITIVE_INFINITY);
    expect(normError([0, 1e-30], [0, 0])).toBe(Number.POSITIVE_INFINITY);
    expect(normError([0, 0], [0, 0])).toBe(0);
    expect(normError([3, 4.5], [3, 4])).toBeCloseTo(0.1, 12);
  });
});
