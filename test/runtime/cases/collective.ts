/** Cases of the collectives on an axis of one rank: identities forward and backward, in place and not, and their adjoints' sums; columns in every unit. */
import * as c from '../../../src/tensor/ops/collective.ts';
import { add, silu } from '../../../src/tensor/ops/elementwise.ts';
import { toHeads, toTokens } from '../../../src/tensor/ops/head_exchange.ts';
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

for (const dtype of ['f32', 'f16'] as const) {
  // Sections in units of four, two, and two that begin at odd pairs.
  for (const sections of [
    [8, 4, 4],
    [6, 2, 2],
    [10, 4, 6],
  ]) {
    const width = sections.reduce((a, b) => a + b, 0);
    const one = { axis: 'sp', ranks: 1, rank: 0 };
    cases.push({
      op: 'head_exchange',
      name: `head_exchange ${dtype} sections ${sections.join(' ')}`,
      dtype,
      inputs: { x: { shape: [3, 7, width], dtype, fill: 'normal' } },
      build: ({ x }) => ({ heads: toHeads(x, one, sections), y: add(toTokens(silu(x), one, sections), x) }),
      wrt: ['x'],
    });
  }
}
