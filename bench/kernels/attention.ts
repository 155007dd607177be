/**
 * Bench rows of attention, forward and backward: the training shapes of the small models, a longer row, a
 * sliding window, packed documents, and a decode step on a cache. FLOPs count only the pairs that ranges leave:
 * 4 S a pair and head forward, 14 S backward (scores and dP twice, dQ, dK, dV).
 */
import { ATTENTION_GRAD, attention, attentionCached, attentionRanges } from '../../src/tensor/ops/attention.ts';
import { kvWrite } from '../../src/tensor/ops/kv.ts';
import type { BenchRow } from './types.ts';

interface Size {
  readonly name: string;
  readonly B: number;
  readonly T: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly lengths?: readonly number[];
  readonly window?: number;
}

const sizes: Size[] = [
  { name: '4x64 H4 S16', B: 4, T: 64, heads: 4, kvHeads: 4, headSize: 16 },
  { name: '8x128 H4 S64', B: 8, T: 128, heads: 4, kvHeads: 4, headSize: 64 },
  { name: '1x512 H8/2 S64', B: 1, T: 512, heads: 8, kvHeads: 2, headSize: 64 },
  { name: '1x512 H8/2 S64 window 64', B: 1, T: 512, heads: 8, kvHeads: 2, headSize: 64, window: 64 },
  { name: '1x512 H8/2 S64 packed', B: 1, T: 512, heads: 8, kvHeads: 2, headSize: 64, lengths: [100, 200, 80, 120] },
];

const families = {
  naive: { attention: 'naive', attention_grad: 'naive' },
  rows: { attention: 'rows', attention_grad: 'rows' },
};

export const rows: readonly BenchRow[] = (['f32', 'f16'] as const).flatMap((dtype) => [
  ...sizes.flatMap((s): BenchRow[] => {
    const { B, T, heads, kvHeads, headSize } = s;
    const one = attentionRanges(T, s.lengths, s.window);
    let pairs = 0;
    for (let t = 0; t < T; t++) pairs += one[t * 4 + 1] - one[t * 4];
    const work = B * heads * pairs * headSize;
    const qkv = { shape: [B, T, (heads + 2 * kvHeads) * headSize], dtype, fill: 'normal' } as const;
    const out = { shape: [B, T, heads * headSize], dtype, fill: 'normal' } as const;
    const ranges = { shape: [B, T, 4], dtype: 'u32', fill: { values: Array.from(one) } } as const;
    // Large enough for every row's log-sum-exp, so that probabilities stay at most 1.
    const stats = { shape: [B, heads, T], dtype: 'f32', fill: { uniform: [8, 9] } } as const;
    const attrs = { heads, kvHeads, headSize, scale: 1 / Math.sqrt(headSize) };
    return [
      {
        op: 'attention',
        name: `${s.name} ${dtype}`,
        inputs: { qkv, ranges },
        build: (v) => ({ out: attention(v.qkv, v.ranges, attrs).out }),
        flops: 4 * work,
        candidates: families,
      },
      {
        op: 'attention',
        name: `${s.name} ${dtype} gradient`,
        inputs: { dout: out, out, qkv, stats, ranges },
        build: (v, g) => ({ dqkv: g.apply1(ATTENTION_GRAD, [v.dout, v.out, v.qkv, v.stats, v.ranges], attrs) }),
        flops: 14 * work,
        candidates: families,
      },
    ];
  }),
  {
    op: 'attention',
    name: `decode H8/2 S64 C512 ${dtype}`,
    inputs: {
      qkv: { shape: [1, 1, 12 * 64], dtype, fill: 'normal' },
      cache: { shape: [1, 512, 4 * 64], dtype, fill: 'normal' },
      ranges: { shape: [1, 1, 4], dtype: 'u32', fill: { values: [0, 512, 0, 0] } },
      slots: { shape: [1, 1], dtype: 'u32', fill: { values: [511] } },
    },
    build: (v) => {
      const layout = { heads: 8, kvHeads: 2, headSize: 64 };
      return { out: attentionCached(v.qkv, kvWrite(v.cache, v.qkv, v.slots, layout), v.ranges, layout).out };
    },
    flops: 4 * 8 * 512 * 64,
    candidates: families,
  },
]);
