/**
 * Exponential moving average of parameters, over a whole state buffer, in the program that updated them. A skipped step moves
 * nothing. Costs as many bytes as the parameters and one read of both a step.
 */
import type { Value } from '../graph.ts';
import { foldGrid, type Op } from '../op.ts';
import { require_, sizeOf } from '../types.ts';
import { STEP } from './step_state.ts';

/** Inputs: average, parameter, step; the average is updated in place. */
export const EMA: Op = {
  name: 'ema',
  updates: [[0, 0]],
  infer(inputs, attrs) {
    const [e, w] = inputs;
    const decay = attrs.decay as number;
    require_('ema', e.dtype === 'f32' && w.dtype === 'f32' && sizeOf(e.shape) === sizeOf(w.shape), 'average and parameter must be f32 of one size', inputs);
    require_('ema', decay >= 0 && decay < 1, 'decay must be from 0 to below 1', `${decay}`);
    return [e];
  },
  lower(l, node) {
    const [e, w, step] = node.inputs;
    const windows = l.windows(e);
    for (const win of windows) {
      const part = (v: Value) => (windows.length === 1 ? v : l.rows(v, 4, win.row, win.rows));
      const n4 = Math.ceil(win.rows / 4);
      l.dispatch({
        kernel: 'optim/ema',
        bind: { E: part(e), W: part(w), STEP: step },
        params: { n4, rate: 1 - (node.attrs.decay as number) },
        grid: foldGrid(Math.ceil(n4 / 64)),
      });
    }
  },
  cost: (node) => ({ flops: 3 * sizeOf(node.inputs[0].shape), bytes: 12 * sizeOf(node.inputs[0].shape) }),
  place: { rule: 'elementwise' },
  reference([e, w, step], attrs) {
    if (step.data[STEP.foundInf] !== 0) return [e.data.slice()];
    const rate = 1 - (attrs.decay as number);
    return [e.data.map((x, i) => x + rate * (w.data[i] - x))];
  },
};

/** average + (1 - decay) (parameter - average), in place. Flat f32 of one size. */
export function ema(average: Value, parameter: Value, step: Value, decay: number): Value {
  return average.node.graph.apply1(EMA, [average, parameter, step], { decay });
}
