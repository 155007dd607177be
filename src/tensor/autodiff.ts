/**
 * Reverse-mode differentiation over the graph. Adjoints are graph values; where several consumers
 * contribute, the later kernel adds in place to what the earlier one wrote, so no `add` nodes and
 * no extra buffers appear. Gradients of parameters add straight into their gradient states.
 */
import { ScionError } from '../base/errors.ts';
import { type Graph, isLeaf, type Node, type Value } from './graph.ts';
import type { GradContext } from './op.ts';
import { copy } from './ops/copy.ts';
import { sizeOf, typeName } from './types.ts';

/** A value to differentiate and the adjoint that seeds it (same shape). */
export interface Seed {
  readonly value: Value;
  readonly adjoint: Value;
}

/**
 * Adds the backward nodes of `seeds` to the graph.
 * @param targets leaves to differentiate by; a state given as target value receives the sum in place, null asks for a fresh tensor.
 * @returns the adjoint of each target, in order; null where the seeds do not depend on it.
 */
export function differentiate(graph: Graph, seeds: readonly Seed[], targets: readonly { by: Value; into: Value | null }[]): (Value | null)[] {
  const forward = [...graph.nodes];
  const into = new Map<number, Value>();
  const needed = new Set<number>();
  for (const target of targets) {
    needed.add(target.by.id);
    if (target.into) into.set(target.by.id, target.into);
  }
  // Which values lead from a target: only these get adjoints.
  for (const node of forward) {
    if (isLeaf(node) || !node.inputs.some((i) => needed.has(i.id))) continue;
    for (const output of node.outputs) needed.add(output.id);
  }
  const adjoints = new Map<number, Value>();
  for (const seed of seeds) {
    if (sizeOf(seed.value.shape) !== sizeOf(seed.adjoint.shape)) {
      throw new ScionError('plan', `differentiate: the seed of ${typeName(seed.value)} has the shape of ${typeName(seed.adjoint)}`);
    }
    adjoints.set(seed.value.id, seed.adjoint);
  }
  graph.phase('backward', () => {
    for (let i = forward.length - 1; i >= 0; i--) {
      const node = forward[i];
      if (isLeaf(node) || !node.outputs.some((o) => adjoints.has(o.id)) || !node.inputs.some((v) => needed.has(v.id))) continue;
      if (!node.op.grad) throw new ScionError('plan', `${node.op.name} has no gradient, but a differentiated value depends on it`);
      const op = node.op;
      graph.segment(node.segment, () => op.grad?.(context(node, adjoints, needed, into), node));
      for (const output of node.outputs) adjoints.delete(output.id);
    }
  });
  return targets.map((t) => adjoints.get(t.by.id) ?? null);
}

function context(node: Node, adjoints: Map<number, Value>, needed: Set<number>, targets: Map<number, Value>): GradContext {
  const own = node.outputs.map((o) => adjoints.get(o.id) ?? null);
  return {
    adjoint: (index) => own[index],
    adjointInto(index) {
      const sofar = own[index];
      if (!sofar) return null;
      // Fed or constant seeds stay as they are; so does what another value holds.
      const held = [...adjoints].some(([other, a]) => a === sofar && other !== node.outputs[index].id);
      return held || isLeaf(sofar.node) ? copy(sofar) : sofar;
    },
    wants: (index) => needed.has(node.inputs[index].id),
    contribute(inputs, make) {
      const bases = inputs.map((index) => {
        const id = node.inputs[index].id;
        const sofar = adjoints.get(id);
        if (!sofar) return targets.get(id) ?? null;
        // One adjoint may stand for several values (an addition passes it on): adding to it in place is
        // only right where no other pending value holds it and this node does not read it.
        const held = [...adjoints].some(([other, a]) => a === sofar && other !== id && !node.outputs.some((o) => o.id === other));
        return held || own.includes(sofar) || isLeaf(sofar.node) ? copy(sofar) : sofar;
      });
      const made = make(bases);
      inputs.forEach((index, k) => {
        adjoints.set(node.inputs[index].id, made[k]);
      });
    },
  };
}
