/**
 * How adapters start: A uniform and B zero, so that the model starts where its base stands; or PiSSA, where the adapter takes the
 * largest singular vectors of its matrix and the base keeps what is left. Values are PEFT's, seeded by name; the decomposition
 * runs on the host in float64, once.
 */
import type { LlamaConfig } from './config.ts';
import { type LoraModule, type LoraSpec, listLora, loraScale } from './lora.ts';
import { initialValues, type Parameter } from './parameters.ts';
import { topSingular } from './svd.ts';

/** A parameter's adapters, and the base they stand beside. */
export interface StartedAdapters {
  readonly base: Float32Array;
  readonly adapters: readonly (readonly [name: string, values: Float32Array])[];
}

/**
 * The adapters on parameter `p` whose values are `values`.
 * @param read reads adapters that exist already, by name; then the base is left alone.
 */
export async function startAdapters(
  c: LlamaConfig,
  spec: LoraSpec,
  p: Parameter,
  values: Float32Array,
  seed: number,
  read?: (name: string) => Promise<Float32Array>,
): Promise<StartedAdapters> {
  let base = values;
  const adapters: (readonly [string, Float32Array])[] = [];
  for (const m of listLora(c, spec).filter((x) => x.parameter === p.name)) {
    if (read) {
      for (const x of [m.a, m.b]) adapters.push([x.name, await read(x.name)]);
      continue;
    }
    const a = initialValues(m.a, seed);
    const b = initialValues(m.b, seed);
    if (spec.init === 'pissa' && m.name !== 'embed') base = principal(m, spec, base, a, b, seed);
    adapters.push([m.a.name, a], [m.b.name, b]);
  }
  return { base, adapters };
}

/**
 * Fills A and B with each view's top singular vectors, sqrt(S / scale) on either side, and gives the residual W - scale B A
 * (Meng et al. 2024, as PEFT's `pissa_init`). With a tied head the embedding's own rows become the residual.
 */
function principal(m: LoraModule, spec: LoraSpec, w: Float32Array, a: Float32Array, b: Float32Array, seed: number): Float32Array {
  const scale = loraScale(spec);
  const [R, width] = m.a.shape;
  const residual = w.slice();
  a.fill(0);
  b.fill(0);
  m.views.forEach((view, j) => {
    const rows = view.shape[0];
    const part = w.subarray(view.row * width, (view.row + rows) * width);
    const { u, s, v } = topSingular(part, rows, width, spec.rank, seed + j);
    s.forEach((value, k) => {
      const half = Math.sqrt(value / scale);
      const column = j * spec.rank + k;
      for (let c = 0; c < width; c++) a[column * width + c] = half * v[k][c];
      for (let r = 0; r < rows; r++) b[(view.row + r) * R + column] = half * u[k][r];
    });
    // From the f32 values that are stored, so that base and adapter add up to W again to rounding.
    for (let r = 0; r < rows; r++) {
      const row = view.row + r;
      for (let k = 0; k < s.length; k++) {
        const column = j * spec.rank + k;
        const factor = scale * b[row * R + column];
        if (factor === 0) continue;
        for (let c = 0; c < width; c++) residual[row * width + c] -= factor * a[column * width + c];
      }
    }
  });
  return residual;
}
