/**
 * One op case: plain data and a graph builder. Tests (`test/runtime`) and the kernel playground (`trials/`) are made of them, so both ask the same
 * oracle: the op's float64 reference for the forward pass, the float64 references of the backward graph for gradients, and central
 * differences of the forward reference for those. Nothing of the training core imports it.
 */
import { ScionError } from '../base/errors.ts';
import { fromHalfBits, toHalfBits } from '../base/half.ts';
import { Random } from '../base/random.ts';
import type { DeviceFacts, DeviceLimits, Profile } from '../gpu/facts.ts';
import { differentiate } from './autodiff.ts';
import { Graph, type Value } from './graph.ts';
import { evaluateReference } from './reference.ts';
import { type DType, type Shape, sizeOf } from './types.ts';

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
  /** Device features without which the case cannot run. */
  readonly needs?: readonly string[];
  /** Set where the op has no smooth float64 forward to difference (random numbers, integer results). */
  readonly noDifferences?: string;
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

/** A case as a graph: what `planGraph` takes. */
export interface CaseGraph {
  readonly graph: Graph;
  readonly outputs: Readonly<Record<string, Value>>;
  /** Float outputs whose adjoints are fed as `seed_<name>`. */
  readonly seeded: readonly string[];
  /** Outputs and, as `d_<input>`, the gradients. */
  readonly wanted: Readonly<Record<string, Value>>;
  /** What is fed, in the order in which numbers are drawn. */
  readonly leaves: readonly { readonly name: string; readonly shape: Shape; readonly dtype: DType; readonly fill: Fill }[];
}

/** A case's graph with the numbers that are fed. */
export interface BuiltCase extends CaseGraph {
  readonly feeds: Readonly<Record<string, Float32Array | Uint32Array | Int32Array>>;
  /** The case's numbers, drawn so far. */
  readonly random: Random;
}

/** Builds a case's graph, gradients included; no numbers yet, so that one too large can still be refused. */
export function graphOfCase(c: OpCase): CaseGraph {
  const graph = new Graph();
  const values: Record<string, Value> = {};
  const leaves: CaseGraph['leaves'][number][] = [];
  for (const [name, input] of Object.entries(c.inputs)) {
    values[name] = graph.data(name, input.shape, input.dtype);
    leaves.push({ name, ...input });
  }
  const outputs = c.build(values, graph);
  const wrt = c.wrt ?? [];
  const seeded = (c.seeds ?? Object.keys(outputs)).filter((name) => outputs[name].dtype === 'f32' || outputs[name].dtype === 'f16');
  const wanted: Record<string, Value> = { ...outputs };
  if (wrt.length > 0) {
    const seeds = seeded.map((name) => {
      const { shape, dtype } = outputs[name];
      leaves.push({ name: `seed_${name}`, shape, dtype, fill: 'normal' });
      return { value: outputs[name], adjoint: graph.data(`seed_${name}`, shape, dtype) };
    });
    const grads = differentiate(
      graph,
      seeds,
      wrt.map((name) => ({ by: values[name], into: null })),
    );
    wrt.forEach((name, i) => {
      const grad = grads[i];
      if (!grad) throw new ScionError('internal', `${c.name}: no gradient for ${name}`);
      wanted[`d_${name}`] = grad;
    });
  }
  return { graph, outputs, seeded, wanted, leaves };
}

/** Builds a case's graph, gradients included, and draws its inputs. */
export function buildCase(c: OpCase): BuiltCase {
  let seed = 17;
  for (const ch of c.name) seed = (Math.imul(seed, 31) + ch.charCodeAt(0)) >>> 0;
  const random = new Random(seed);
  const built = graphOfCase(c);
  const feeds = Object.fromEntries(built.leaves.map(({ name, shape, dtype, fill }) => [name, fillInput(random, shape, dtype, fill)]));
  return { ...built, feeds, random };
}

/** The facts a case is planned with: the device's, under the case's overrides. */
export function factsOfCase(facts: DeviceFacts, c: OpCase): DeviceFacts {
  return { ...facts, profile: c.profile ?? facts.profile, choices: { ...facts.choices, ...c.choices }, limits: { ...facts.limits, ...c.limits } };
}

/** Holds the float64 gradients to central differences of the float64 forward along random directions. */
export function checkDifferences(
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
