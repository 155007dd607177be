/** A fresh tensor of zeros to add to: a clear command, no kernel. For sums whose first summand has no tensor of its own dtype to be written to. */
import type { Op } from '../op.ts';
import { byteSize, sizeOf } from '../types.ts';

/** No input; attribute `shape`; output f32. */
export const ZEROS: Op = {
  name: 'zeros',
  infer: (_, attrs) => [{ shape: attrs.shape as readonly number[], dtype: 'f32' }],
  lower: (l, node) => l.clear(node.outputs[0]),
  cost: (node) => ({ flops: 0, bytes: byteSize(node.outputs[0]) }),
  place: { rule: 'elementwise' },
  reference: (_, attrs) => [new Float64Array(sizeOf(attrs.shape as readonly number[]))],
};
