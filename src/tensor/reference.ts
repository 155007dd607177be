/**
 * The float64 interpreter: runs a graph by the ops' `reference` parts on the CPU. Tests, benches and
 * the playground compare devices with it; it is slow and makes no attempt not to be.
 */
import { ScionError } from '../base/errors.ts';
import { CONSTANT, DATA, isLeaf, type Scalar, STATE, type Value } from './graph.ts';
import type { ParamValue, RefTensor, StepScalars } from './op.ts';
import { sizeOf } from './types.ts';

/** Values for leaves: by data, state or constant name. */
export type RefFeeds = Readonly<Record<string, ArrayLike<number>>>;

/** Evaluates `values` in float64. States that ops update in place are threaded by data flow alone. */
export function evaluateReference(values: readonly Value[], feeds: RefFeeds, scalars: StepScalars = {}): RefTensor[] {
  const done = new Map<number, RefTensor>();
  if (values.length === 0) return [];
  const graph = values[0].node.graph;
  const wanted = new Set<number>();
  const visit = (v: Value): void => {
    if (wanted.has(v.node.id)) return;
    wanted.add(v.node.id);
    for (const i of v.node.inputs) visit(i);
    for (const b of v.node.into) if (b) visit(b);
  };
  for (const v of values) visit(v);
  for (const node of graph.nodes) {
    if (!wanted.has(node.id)) continue;
    if (isLeaf(node)) {
      const [out] = node.outputs;
      const name = String(node.attrs.name ?? node.attrs.buffer);
      const fed = feeds[name] ?? (node.op === CONSTANT ? graph.constants.get(name) : undefined);
      const size = sizeOf(out.shape);
      if (!fed) throw new ScionError('internal', `reference: no values for ${node.op === DATA ? 'data' : node.op === STATE ? 'state' : 'constant'} "${name}"`);
      if (fed.length !== size) throw new ScionError('internal', `reference: "${name}" needs ${size} numbers, got ${fed.length}`);
      done.set(out.id, { shape: out.shape, data: Float64Array.from(fed) });
      continue;
    }
    const inputs = node.inputs.map((v) => ({ shape: v.shape, data: (done.get(v.id) as RefTensor).data }));
    const attrs = Object.fromEntries(
      Object.entries(node.attrs).map(([k, v]) => [k, typeof v === 'object' && !Array.isArray(v) ? resolveScalar(v as Scalar, scalars) : v]),
    );
    const results = node.op.reference(inputs, attrs, node.outputs);
    node.outputs.forEach((output, k) => {
      const base = node.into[k];
      const data = results[k];
      if (base) {
        const sofar = (done.get(base.id) as RefTensor).data;
        for (let i = 0; i < data.length; i++) data[i] += sofar[i];
      }
      done.set(output.id, { shape: output.shape, data });
    });
  }
  return values.map((v) => done.get(v.id) as RefTensor);
}

/** A scalar as a kernel's parameter: the number itself, or looked up at each run. */
export function scalarParam(scalar: Scalar): ParamValue {
  return typeof scalar === 'number' ? scalar : (step) => resolveScalar(scalar, step);
}

/** A scalar's value in this run. */
export function resolveScalar(scalar: Scalar, step: StepScalars): number {
  if (typeof scalar === 'number') return scalar;
  const value = step[scalar.step];
  if (value === undefined) throw new ScionError('internal', `no step scalar "${scalar.step}" was given`);
  return value;
}
