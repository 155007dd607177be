/**
 * One op case: plain data and a graph builder, run the same way on every host. The oracle is the
 * op's float64 reference for the forward pass; for gradients the float64 references of the backward
 * graph, which are themselves held to central differences of the forward reference here, in every run.
 */

import { fromHalfBits, toHalfBits } from '../../src/base/half.ts';
import { Random } from '../../src/base/random.ts';
import type { GpuDevice } from '../../src/gpu/device.ts';
import type { DeviceFacts, DeviceLimits, Profile } from '../../src/gpu/facts.ts';
import { differentiate } from '../../src/tensor/autodiff.ts';
import { runOnce } from '../../src/tensor/eager.ts';
import { Graph, type Value } from '../../src/tensor/graph.ts';
import { evaluateReference, type RefFeeds } from '../../src/tensor/reference.ts';
import { type DType, type Shape, sizeOf } from '../../src/tensor/types.ts';

/** How an input's numbers are made; always from the case's seed. */
export type Fill =
  | 'normal'
  | { readonly normal: number }
  | { readonly uniform: readonly [number, number] }
  | { readonly ints: readonly [number, number] }
  | { readonly values: readonly number[] };

/** A case. Norm-wise tolerance ‖out−ref‖/‖ref‖ per output and gradient; a looser one than the default says why. */
export interface OpCase {
  /** The stem of the op. */
  readonly op: string;
  readonly name: string;
  /** The storage dtype the case is about. */
  readonly dtype: 'f32' | 'f16';
  readonly inputs: Readonly<Record<string, { readonly shape: Shape; readonly dtype: DType; readonly fill: Fill }>>;
  /** Builds the graph from data leaves named as the inputs; gives named outputs. */
  readonly build: (v: Readonly<Record<string, Value>>, g: Graph) => Readonly<Record<string, Value>>;
  /** Inputs to differentiate by; the seeds are random, one for each float output listed in `seeds` (default: all outputs). */
  readonly wrt?: readonly string[];
  readonly seeds?: readonly string[];
  readonly scalars?: Readonly<Record<string, number>>;
  readonly tolerance?: { readonly value: number; readonly reason: string };
  /** Planning overrides: forced kernels, tiny binding limits, profile. */
  readonly limits?: Partial<DeviceLimits>;
  readonly choices?: Readonly<Record<string, string>>;
  readonly profile?: Profile;
  /** Device features without which the case is skipped (listed in `test/runtime/skips.ts`). */
  readonly needs?: readonly string[];
  /** Set where the op has no smooth float64 forward to difference (random numbers, integer results). */
  readonly noDifferences?: string;
}

/** What a case found. */
export interface CaseResult {
  readonly case: string;
  readonly op: string;
  readonly dtype: string;
  readonly ok: boolean;
  readonly skipped?: string;
  /** Norm-wise error of each output and gradient. */
  readonly errors: Readonly<Record<string, number>>;
  readonly tolerance: number;
  readonly message: string;
}

/** f32 sums of up to a few hundred terms of both signs stay near 1e-6 norm-wise; 1e-5 is the bound. */
export const F32_TOLERANCE = 1e-5;
/** One rounding to nearest even is at most 2^-11 of each element; two meet where a stored input is rounded too. */
export const F16_TOLERANCE = 1e-3;

/** Makes an input's numbers; f16 inputs are rounded first, so device and reference see equal values. */
export function fillInput(random: Random, shape: Shape, dtype: DType, fill: Fill): Float32Array | Uint32Array | Int32Array {
  const n = sizeOf(shape);
  const out = dtype === 'u32' ? new Uint32Array(n) : dtype === 'i32' ? new Int32Array(n) : new Float32Array(n);
  for (let i = 0; i < n; i++) {
    let x: number;
    if (fill === 'normal') x = random.normal();
    else if ('normal' in fill) x = fill.normal * random.normal();
    else if ('uniform' in fill) x = fill.uniform[0] + (fill.uniform[1] - fill.uniform[0]) * random.uniform();
    else if ('ints' in fill) x = fill.ints[0] + random.below(fill.ints[1] - fill.ints[0]);
    else x = fill.values[i % fill.values.length];
    out[i] = dtype === 'f16' ? fromHalfBits(toHalfBits(x)) : x;
  }
  return out;
}

/** ‖a − b‖ / ‖b‖, with NaN and infinity counted as infinite error; an all-zero reference asks for exact zeros. */
export function normError(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < wanted.length; i++) {
    if (!Number.isFinite(found[i])) return Number.POSITIVE_INFINITY;
    difference += (found[i] - wanted[i]) ** 2;
    norm += wanted[i] ** 2;
  }
  if (norm === 0) return difference === 0 ? 0 : Number.POSITIVE_INFINITY;
  return Math.sqrt(difference / norm);
}

/** First five mismatches, NaN and infinity apart, for a failure's message. */
export function describeMismatch(name: string, found: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): string {
  let scale = 0;
  for (let i = 0; i < wanted.length; i++) scale = Math.max(scale, Math.abs(wanted[i]));
  const bad: string[] = [];
  let nan = 0;
  let count = 0;
  for (let i = 0; i < wanted.length; i++) {
    if (Number.isNaN(found[i])) nan++;
    else if (Math.abs(found[i] - wanted[i]) > tolerance * scale) {
      count++;
      if (bad.length < 5) bad.push(`[${i}] ${found[i]} instead of ${wanted[i]}`);
    }
  }
  return `${name}: ${count} of ${wanted.length} off, ${nan} NaN; ${bad.join('; ')}`;
}

/** A case as a graph: what `planGraph` takes, with the numbers that are fed. */
export interface BuiltCase {
  readonly outputs: Readonly<Record<string, Value>>;
  /** Float outputs whose adjoints are fed as `seed_<name>`. */
  readonly seeded: readonly string[];
  /** Outputs and, as `d_<input>`, the gradients. */
  readonly wanted: Readonly<Record<string, Value>>;
  readonly feeds: Readonly<Record<string, Float32Array | Uint32Array | Int32Array>>;
  /** The case's numbers, drawn so far. */
  readonly random: Random;
}

/** Builds a case's graph, gradients included, and draws its inputs. */
export function buildCase(c: OpCase): BuiltCase {
  let seed = 17;
  for (const ch of c.name) seed = (Math.imul(seed, 31) + ch.charCodeAt(0)) >>> 0;
  const random = new Random(seed);
  const g = new Graph();
  const values: Record<string, Value> = {};
  const feeds: Record<string, Float32Array | Uint32Array | Int32Array> = {};
  for (const [name, input] of Object.entries(c.inputs)) {
    values[name] = g.data(name, input.shape, input.dtype);
    feeds[name] = fillInput(random, input.shape, input.dtype, input.fill);
  }
  const outputs = c.build(values, g);
  const wrt = c.wrt ?? [];
  const seeded = (c.seeds ?? Object.keys(outputs)).filter((name) => outputs[name].dtype === 'f32' || outputs[name].dtype === 'f16');
  const wanted: Record<string, Value> = { ...outputs };
  if (wrt.length > 0) {
    const seeds = seeded.map((name) => {
      const { shape, dtype } = outputs[name];
      const adjoint = g.data(`seed_${name}`, shape, dtype);
      feeds[`seed_${name}`] = fillInput(random, shape, dtype, 'normal');
      return { value: outputs[name], adjoint };
    });
    const grads = differentiate(
      g,
      seeds,
      wrt.map((name) => ({ by: values[name], into: null })),
    );
    wrt.forEach((name, i) => {
      const grad = grads[i];
      if (!grad) throw new Error(`${c.name}: no gradient for ${name}`);
      wanted[`d_${name}`] = grad;
    });
  }
  return { outputs, seeded, wanted, feeds, random };
}

/** The facts a case is planned with: the device's, under the case's overrides. */
export function factsOfCase(facts: DeviceFacts, c: OpCase): DeviceFacts {
  return { ...facts, profile: c.profile ?? facts.profile, choices: { ...facts.choices, ...c.choices }, limits: { ...facts.limits, ...c.limits } };
}

/** Runs a case on a device. Never throws for a wrong number; throws where the device or the graph refuses. */
export async function runCase(device: GpuDevice, c: OpCase): Promise<CaseResult> {
  const tolerance = c.tolerance?.value ?? (c.dtype === 'f16' ? F16_TOLERANCE : F32_TOLERANCE);
  const base = { case: c.name, op: c.op, dtype: c.dtype, tolerance };
  const missing = (c.needs ?? []).filter((f) => !device.facts.features.includes(f));
  if (missing.length > 0) return { ...base, ok: true, skipped: `device lacks ${missing.join(', ')}`, errors: {}, message: '' };
  const { outputs, seeded, wanted, feeds, random } = buildCase(c);
  const wrt = c.wrt ?? [];
  const names = Object.keys(wanted);
  const reference = evaluateReference(Object.values(wanted), feeds as RefFeeds, c.scalars);
  const ref = Object.fromEntries(names.map((n, i) => [n, reference[i].data]));
  let message = '';
  if (wrt.length > 0 && c.noDifferences === undefined) message = checkDifferences(c, outputs, seeded, wrt, feeds, ref, random);
  const found = await runOnce(device, wanted, feeds, { scalars: c.scalars, facts: factsOfCase(device.facts, c) });
  const errors: Record<string, number> = {};
  for (const name of names) {
    errors[name] = normError(found[name], ref[name]);
    if (!(errors[name] <= tolerance)) message ||= describeMismatch(name, found[name], ref[name], tolerance);
  }
  return { ...base, ok: message === '', errors, message };
}

/** Holds the float64 gradients to central differences of the float64 forward along random directions. */
function checkDifferences(
  c: OpCase,
  outputs: Readonly<Record<string, Value>>,
  seeded: readonly string[],
  wrt: readonly string[],
  feeds: Readonly<Record<string, ArrayLike<number>>>,
  ref: Readonly<Record<string, Float64Array>>,
  random: Random,
): string {
  const h = 1e-5;
  for (const name of wrt) {
    const at = Float64Array.from(feeds[name]);
    const direction = Float64Array.from({ length: at.length }, () => random.normal());
    const loss = (sign: number): number => {
      const moved = at.map((x, i) => x + sign * h * direction[i]);
      const out = evaluateReference(
        seeded.map((s) => outputs[s]),
        { ...feeds, [name]: moved },
        c.scalars,
      );
      let sum = 0;
      seeded.forEach((s, k) => {
        const seedValues = feeds[`seed_${s}`];
        for (let i = 0; i < seedValues.length; i++) sum += seedValues[i] * out[k].data[i];
      });
      return sum;
    };
    const numeric = (loss(1) - loss(-1)) / (2 * h);
    const grad = ref[`d_${name}`];
    let analytic = 0;
    let scale = 0;
    for (let i = 0; i < at.length; i++) {
      analytic += grad[i] * direction[i];
      scale += (grad[i] * direction[i]) ** 2;
    }
    // Central differences in float64 at h = 1e-5: truncation about 1e-10, rounding about 1e-11 / h; 1e-5 leaves room.
    const allowed = 1e-5 * Math.max(Math.sqrt(scale), Math.abs(analytic), 1e-3);
    if (!(Math.abs(numeric - analytic) <= allowed)) return `d_${name}: float64 reference gradient ${analytic} differs from central differences ${numeric}`;
  }
  return '';
}
