/**
 * The choice of a matmul kernel, and the tensor-core variant, which no CPU adapter can run: it is
 * compiled on the null backend, which validates WGSL with every feature switched on.
 */
import { describe, expect, it } from 'vitest';
import { ScionError } from '../../base/errors.ts';
import { expandKernel, type Switches } from '../../gpu/expand.ts';
import { assumedFacts } from '../../gpu/facts.ts';
import { host } from '../../host/index.ts';
import { chooseMatmul, type MatmulProblem } from './choose_matmul.ts';

const problem = (p: Partial<MatmulProblem>): MatmulProblem => ({
  z: 1,
  m: 512,
  n: 512,
  k: 512,
  ta: false,
  tb: true,
  dtypes: { a: 'f32', b: 'f32', c: 'f32' },
  alignedK: true,
  flatC: true,
  ...p,
});

describe('chooseMatmul', () => {
  const generic = assumedFacts();
  const gpu = assumedFacts({ profile: 'specialised', limits: { maxComputeWorkgroupStorageSize: 32768 } });

  it('takes the barrier-free kernel on CPU adapters and matvec for few rows', () => {
    expect(chooseMatmul(problem({}), generic).kernel).toBe('generic');
    expect(chooseMatmul(problem({ m: 1 }), generic)).toEqual({ kernel: 'matvec', split: 1 });
    expect(chooseMatmul(problem({ m: 1, alignedK: false }), generic).kernel).toBe('generic');
    expect(chooseMatmul(problem({ m: 1, tb: false }), generic).kernel).toBe('generic');
    // Eight rows only against a quantised matrix, and only on GPUs.
    const quant = (m: number, facts = gpu) => chooseMatmul(problem({ m, quant: true }), facts).kernel;
    expect([quant(8), quant(9), quant(8, generic), quant(4, generic)]).toEqual(['matvec', 'tiled', 'generic', 'matvec']);
    expect(chooseMatmul(problem({ m: 8 }), gpu).kernel).toBe('tiled');
  });

  it('hands rows around in subgroups where a CPU adapter has them in one known width', () => {
    const of = (min: number, max: number) => assumedFacts({ subgroups: { min, max } });
    expect(chooseMatmul(problem({}), of(8, 8))).toEqual({ kernel: 'lanes', rows: 24, cols: 1, width: 8 });
    expect(chooseMatmul(problem({ m: 8 }), of(8, 8))).toEqual({ kernel: 'lanes', rows: 8, cols: 1, width: 8 });
    expect(chooseMatmul(problem({}), of(16, 16))).toEqual({ kernel: 'lanes', rows: 32, cols: 1, width: 16 });
    for (const [min, max] of [
      [4, 8],
      [32, 32],
    ]) {
      expect(chooseMatmul(problem({}), of(min, max)).kernel).toBe('generic');
    }
  });

  it('takes large tiles only where they fill a GPU, and splits a long K where tiles are few', () => {
    expect(chooseMatmul(problem({ m: 4096, n: 4096 }), gpu)).toEqual({ kernel: 'tiled', tm: 128, tn: 128, kt: 16, parts: 1 });
    expect(chooseMatmul(problem({}), gpu)).toEqual({ kernel: 'tiled', tm: 64, tn: 64, kt: 16, parts: 1 });
    const split = chooseMatmul(problem({ m: 64, n: 64, k: 8192, ta: true, tb: false }), gpu);
    expect(split).toEqual({ kernel: 'tiled', tm: 64, tn: 64, kt: 16, parts: 16 });
    expect(chooseMatmul(problem({ m: 64, n: 64, k: 8192, flatC: false }), gpu)).toMatchObject({ parts: 1 });
  });

  it('stays within the workgroup memory of the device', () => {
    const small = assumedFacts({ profile: 'specialised' });
    expect(chooseMatmul(problem({ m: 4096, n: 4096 }), small)).toEqual({ kernel: 'tiled', tm: 128, tn: 128, kt: 8, parts: 1 });
  });

  it('obeys a forced choice where it is legal and names the legal ones where it is unknown', () => {
    const forced = (matmul: string) => assumedFacts({ choices: { matmul } });
    expect(chooseMatmul(problem({}), forced('naive'))).toEqual({ kernel: 'naive' });
    expect(chooseMatmul(problem({}), forced('generic/4x1x16'))).toEqual({ kernel: 'generic', rows: 4, cols: 1, lanes: 16, high: 1 });
    expect(chooseMatmul(problem({}), forced('lanes/24x1x8')).kernel).toBe('generic');
    expect(chooseMatmul(problem({}), forced('subgroup_matrix/64')).kernel).toBe('generic');
    for (const bad of [
      'fast',
      'generic/3x1x8',
      'generic/8x1x9x2',
      'tiled/32x32x8',
      'matvec/3',
      'tiled/64x64x16x65',
      'naive/1',
      'lanes/12x1x8',
      'lanes/32x1x32',
    ]) {
      expect(() => chooseMatmul(problem({}), forced(bad))).toThrow(ScionError);
    }
  });
});

describe('matmul_subgroup_matrix', () => {
  const names = ['shader-f16', 'subgroups', 'subgroup-size-control', 'chromium-experimental-subgroup-matrix'];
  const variants: Switches[] = [false, true].flatMap((TA): Switches[] =>
    [false, true].flatMap((TB) =>
      (
        [
          { AVEC: 4, BVEC: 4, A_F16: true, B_F16: true, C_F16: true, D_F16: true, ADD: true },
          { AVEC: 1, BVEC: 1 },
          // A quantised matrix is never beside a transposed A.
          ...(TA ? [] : [8, 4].map((bits) => ({ AVEC: 4, BVEC: 4, B_QUANT: bits }))),
        ] as Switches[]
      ).flatMap((rest) => [64, 128].map((tile) => ({ TA, TB, TILE: tile, LANES: 2 * tile, ...rest }))),
    ),
  );

  it('compiles in every layout on the null backend', async () => {
    const gpu = await (await host()).gpu({ backend: 'null' });
    const adapter = await gpu.requestAdapter();
    expect(adapter).not.toBeNull();
    if (!adapter) return;
    // The null backend offers every feature; were one gone, this test would check nothing.
    expect(names.filter((n) => !adapter.features.has(n))).toEqual([]);
    const device = await adapter.requestDevice({
      requiredFeatures: names as GPUFeatureName[],
      requiredLimits: { maxComputeWorkgroupStorageSize: adapter.limits.maxComputeWorkgroupStorageSize },
    });
    const failures: string[] = [];
    for (const switches of variants) {
      const kernel = expandKernel('matmul/matmul_subgroup_matrix', switches);
      const module = device.createShaderModule({ code: kernel.code });
      const info = await module.getCompilationInfo();
      for (const m of info.messages) failures.push(`${JSON.stringify(switches)} ${m.type} ${m.lineNum}: ${m.message}`);
      // The null backend has 16 KiB of workgroup memory: the large tile ends at the module there.
      if (switches.TILE === 64)
        await device
          .createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } })
          .catch((error: unknown) => failures.push(String(error)));
    }
    expect(failures).toEqual([]);
    device.destroy();
  });
});
