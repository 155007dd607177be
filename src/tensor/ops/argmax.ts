/**
 * Index of the largest element over the last axis: greedy decoding reads back 4 bytes a sequence instead
 * of a row of logits. Exact and deterministic: the least index of equals, and D (no index) for a row
 * with a NaN, so that broken weights are told apart from a choice. One thread a row on CPU adapters:
 * beside the head's product a scan of V numbers is nothing.
 */
import type { Value } from '../graph.ts';
import { foldGrid, type Op } from '../op.ts';
import { byteSize, require_, rowsOf } from '../types.ts';

/** x [..., D] -> u32 [...]. `facts.choices.argmax` forces `lanes` or `tree`. */
export const ARGMAX: Op = {
  name: 'argmax',
  infer(inputs) {
    const [x] = inputs;
    const float = inputs.length === 1 && (x.dtype === 'f32' || x.dtype === 'f16');
    require_(
      'argmax',
      float && x.shape.length >= 1 && x.shape[x.shape.length - 1] >= 1,
      'one f32 or f16 input with a last axis of at least one element',
      inputs,
    );
    return [{ shape: x.shape.slice(0, -1), dtype: 'u32' }];
  },
  lower(l, node) {
    const [x] = node.inputs;
    const { rows, width } = rowsOf(x.shape);
    const forced = l.facts.choices.argmax;
    const TREE = forced === 'tree' || (forced !== 'lanes' && l.facts.profile === 'specialised');
    l.dispatch({
      kernel: 'reduce/argmax',
      switches: { TREE },
      bind: { X: x, Y: node.outputs[0] },
      params: { rows, width, half: 128 },
      grid: foldGrid(TREE ? rows : Math.ceil(rows / 64)),
    });
  },
  cost: (node) => ({ flops: 0, bytes: byteSize(node.inputs[0]) + byteSize(node.outputs[0]) }),
  place: { rule: 'rows', rows: [0] },
  reference([x]) {
    const { rows, width } = rowsOf(x.shape);
    return [
      Float64Array.from({ length: rows }, (_, n) => {
        const row = x.data.subarray(n * width, (n + 1) * width);
        if (row.some(Number.isNaN)) return width;
        let best = 0;
        for (let c = 1; c < width; c++) if (row[c] > row[best]) best = c;
        return best;
      }),
    ];
  },
};

/** The index of the largest element of each row of x [..., D]: u32 [...]; the least of equals, D where the row holds a NaN. */
export function argmax(x: Value): Value {
  return x.node.graph.apply1(ARGMAX, [x]);
}
