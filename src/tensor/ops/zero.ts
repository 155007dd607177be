/**
 * Zeroes a state: how a step leaves its gradients. A clear command, not a kernel; whatever was there
 * (NaN included) is gone, which multiplying by zero would not achieve.
 */
import type { Value } from '../graph.ts';
import type { Op } from '../op.ts';
import { byteSize, sizeOf } from '../types.ts';

export const ZERO: Op = {
  name: 'zero',
  updates: [[0, 0]],
  infer: (inputs) => [inputs[0]],
  lower: (l, node) => l.clear(node.inputs[0]),
  cost: (node) => ({ flops: 0, bytes: byteSize(node.inputs[0]) }),
  place: { rule: 'elementwise' },
  reference: ([x]) => [new Float64Array(sizeOf(x.shape))],
};

/** The state, zeroed in place. */
export function zero(state: Value): Value {
  return state.node.graph.apply1(ZERO, [state]);
}
