/** Cases of the collectives on an axis of one rank: identities forward and backward, in place and not, and their adjoints' sums. */
import * as c from '../../../src/tensor/ops/collective.ts';
import { add, silu } from '../../../src/tensor/ops/elementwise.ts';
import type { OpCase } from '../case.ts';

const mesh = { axis: 'tp', ranks: 1 };

export const cases: OpCase[] = (['f32', 'f16'] as const).map((dtype) => ({
  op: 'collective',
  name: `collective ${dtype} one rank`,
  dtype,
  inputs: { x: { shape: [5, 14], dtype, fill: 'normal' } },
  build: ({ x }) => {
    const entered = c.enterWait(c.enterStart(x, mesh));
    const gathered = c.allGatherWait(c.allGatherStart(silu(entered), mesh, 1));
    const scattered = c.reduceScatterWait(c.reduceScatterStart(add(gathered, entered), mesh, 0));
    return { y: c.allReduceWait(c.allReduceStart(scattered, mesh)) };
  },
  wrt: ['x'],
}));
