/**
 * Zeroes a state, or a run of its elements: how a step leaves its gradients, and how gradients of rows that do not learn are
 * dropped. A clear command, not a kernel; whatever was there (NaN included) is gone, which multiplying by zero would not achieve.
 */
import type { Value } from '../graph.ts';
import type { Op } from '../op.ts';
import { byteSize, dtypeBytes, require_, sizeOf } from '../types.ts';

export const ZERO: Op = {
  name: 'zero',
  updates: [[0, 0]],
  infer(inputs, attrs) {
    const { from = 0, to = sizeOf(inputs[0].shape) } = attrs as { from?: number; to?: number };
    require_('zero', from >= 0 && from < to && to <= sizeOf(inputs[0].shape), `a run inside ${sizeOf(inputs[0].shape)} elements`, `${from} to ${to}`);
    require_('zero', attrs.from === undefined || dtypeBytes(inputs[0].dtype) === 4, 'runs are cut from 32-bit states only', inputs);
    return [inputs[0]];
  },
  lower(l, node) {
    const { from, to } = node.attrs as { from?: number; to?: number };
    l.clear(node.inputs[0], from === undefined || to === undefined ? undefined : { offset: from * 4, bytes: (to - from) * 4 });
  },
  cost: (node) => ({ flops: 0, bytes: byteSize(node.inputs[0]) }),
  place: { rule: 'elementwise' },
  reference([x], attrs) {
    const { from = 0, to = x.data.length } = attrs as { from?: number; to?: number };
    return [x.data.slice().fill(0, from, to)];
  },
};

/** The state, zeroed in place; with `run` only the elements from <= i < to. */
export function zero(state: Value, run?: { readonly from: number; readonly to: number }): Value {
  return state.node.graph.apply1(ZERO, [state], run ? { from: run.from, to: run.to } : {});
}
