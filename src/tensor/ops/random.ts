/**
 * Random tensors by counter: element i of (seed, stream) is the same on every device, in every shape and in
 * `Random` on the host. Seed and stream may be step scalars, so a replayed program draws fresh numbers.
 */
import { philox } from '../../base/random.ts';
import type { Graph, Scalar, Value } from '../graph.ts';
import { foldGrid, type Op } from '../op.ts';
import { scalarParam } from '../reference.ts';
import { byteSize, type DType, require_, type Shape, sizeOf } from '../types.ts';

/** A stream of random numbers; both are u32. */
export interface Stream {
  readonly seed: Scalar;
  readonly stream: Scalar;
}

type Kind = 'bits' | 'uniform' | 'normal';

/** No inputs; attributes kind, shape, dtype, seed, stream, scale, shift. */
export const RANDOM: Op = {
  name: 'random',
  cheap: true,
  infer(_inputs, attrs) {
    const { dtype, kind } = attrs as { dtype: DType; kind: Kind };
    require_('random', kind === 'bits' ? dtype === 'u32' : dtype === 'f32' || dtype === 'f16', 'bits are u32, numbers f32 or f16', dtype);
    return [{ shape: attrs.shape as Shape, dtype }];
  },
  lower(l, node) {
    const { kind, scale, shift } = node.attrs as { kind: Kind; scale: number; shift: number };
    const seed = node.attrs.seed as Scalar;
    const stream = node.attrs.stream as Scalar;
    const n4 = Math.ceil(sizeOf(node.outputs[0].shape) / 4);
    l.dispatch({
      kernel: 'random/random',
      switches: { BITS: kind === 'bits', NORMAL: kind === 'normal' },
      bind: { Y: node.outputs[0] },
      params: { n4, seed: scalarParam(seed), stream: scalarParam(stream), ...(kind === 'bits' ? {} : { scale, shift }) },
      grid: foldGrid(Math.ceil(n4 / 64)),
    });
  },
  cost: (node) => ({ flops: 40 * sizeOf(node.outputs[0].shape), bytes: byteSize(node.outputs[0]) }),
  place: { rule: 'replicated' },
  reference(_inputs, attrs, [out]) {
    const { kind, scale, shift, seed, stream } = attrs as { kind: Kind; scale: number; shift: number; seed: number; stream: number };
    const n = sizeOf(out.shape);
    const words: number[] = [];
    for (let c = 0; words.length < 2 * n; c++) words.push(...philox(c, 0, 0, 0, seed, stream));
    return [
      Float64Array.from({ length: n }, (_, i) => {
        if (kind === 'bits') return words[i];
        if (kind === 'uniform') return shift + scale * (Math.floor(words[i] / 256) / 2 ** 24);
        return shift + scale * Math.sqrt(-2 * Math.log((words[2 * i] + 0.5) / 2 ** 32)) * Math.cos((2 * Math.PI * words[2 * i + 1]) / 2 ** 32);
      }),
    ];
  },
};

/** u32 [...shape]: the words that `Random(seed, stream).u32()` gives, in order. */
export function randomBits(g: Graph, shape: Shape, from: Stream): Value {
  return g.apply1(RANDOM, [], { kind: 'bits', shape, dtype: 'u32', ...from });
}

/** Uniform numbers in [low, high), 24 random bits each: the first 24 of what `Random.uniform()` has. */
export function uniform(g: Graph, shape: Shape, from: Stream & { low?: number; high?: number; dtype?: 'f32' | 'f16' }): Value {
  const { seed, stream, low = 0, high = 1, dtype = 'f32' } = from;
  return g.apply1(RANDOM, [], { kind: 'uniform', shape, dtype, seed, stream, scale: high - low, shift: low });
}

/** Normal numbers of the given mean and deviation: those of `Random.normal()`, to f32 accuracy. */
export function normal(g: Graph, shape: Shape, from: Stream & { mean?: number; deviation?: number; dtype?: 'f32' | 'f16' }): Value {
  const { seed, stream, mean = 0, deviation = 1, dtype = 'f32' } = from;
  return g.apply1(RANDOM, [], { kind: 'normal', shape, dtype, seed, stream, scale: deviation, shift: mean });
}
