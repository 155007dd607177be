/**
 * Cases of attention: causal, windowed, packed and padded rows, grouped-query ratios 1 to 8, head sizes
 * 8 to 256 and odd ones, one to 65 tokens, large scores, sums into an existing gradient, a cache; all in
 * both profiles and both dtypes. Ranges are made here and by `attentionRanges`; the oracle is float64.
 */
import type { Value } from '../../../src/tensor/graph.ts';
import { attention, attentionCached, attentionRanges } from '../../../src/tensor/ops/attention.ts';
import { attentionMerge } from '../../../src/tensor/ops/attention_merge.ts';
import { ringAttention } from '../../../src/tensor/ops/ring_attention.ts';
import type { OpCase } from '../case.ts';

interface Setting {
  readonly name: string;
  readonly B: number;
  readonly T: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Documents of each batch row; the rest is padding. */
  readonly lengths?: readonly (readonly number[])[];
  readonly window?: number;
  readonly scale?: number;
  /** Spread of qkv; default 1. */
  readonly spread?: number;
}

const settings: Setting[] = [
  { name: 'one token', B: 1, T: 1, heads: 1, kvHeads: 1, headSize: 8 },
  { name: 'two tokens', B: 3, T: 2, heads: 2, kvHeads: 1, headSize: 16 },
  { name: 'causal', B: 2, T: 33, heads: 4, kvHeads: 2, headSize: 16 },
  { name: 'causal, ratio 8', B: 1, T: 65, heads: 8, kvHeads: 1, headSize: 8 },
  { name: 'window 9, ratio 4', B: 2, T: 65, heads: 4, kvHeads: 1, headSize: 8, window: 9 },
  { name: 'window 3', B: 1, T: 33, heads: 1, kvHeads: 1, headSize: 16, window: 3 },
  { name: 'packed and padded', B: 3, T: 65, heads: 2, kvHeads: 1, headSize: 16, lengths: [[20, 1, 30], [65], []] },
  {
    name: 'packed, window 5',
    B: 2,
    T: 33,
    heads: 2,
    kvHeads: 2,
    headSize: 8,
    lengths: [
      [7, 25],
      [3, 3, 3],
    ],
    window: 5,
  },
  { name: 'odd head size', B: 2, T: 7, heads: 3, kvHeads: 3, headSize: 10, lengths: [[7], [2, 3]] },
  { name: 'odd odd head size', B: 1, T: 7, heads: 3, kvHeads: 1, headSize: 9 },
  { name: 'head size 20', B: 1, T: 33, heads: 2, kvHeads: 1, headSize: 20 },
  { name: 'head size 64', B: 1, T: 33, heads: 2, kvHeads: 1, headSize: 64 },
  { name: 'head size 80', B: 1, T: 17, heads: 2, kvHeads: 2, headSize: 80 },
  { name: 'head size 128', B: 1, T: 33, heads: 2, kvHeads: 1, headSize: 128 },
  { name: 'head size 256', B: 1, T: 7, heads: 1, kvHeads: 1, headSize: 256 },
  { name: 'own scale', B: 1, T: 7, heads: 2, kvHeads: 2, headSize: 8, scale: 1.5 },
];

const rangesOf = (s: Setting): number[] => {
  const all: number[] = [];
  for (let b = 0; b < s.B; b++) all.push(...attentionRanges(s.T, s.lengths?.[b], s.window));
  return all;
};

const inputsOf = (s: Setting, dtype: 'f32' | 'f16'): OpCase['inputs'] => ({
  qkv: { shape: [s.B, s.T, (s.heads + 2 * s.kvHeads) * s.headSize], dtype, fill: { normal: s.spread ?? 1 } },
  ranges: { shape: [s.B, s.T, 4], dtype: 'u32', fill: { values: rangesOf(s) } },
});

/** D = rowsum(dO O) reads the stored output, rounded to 2^-11 in f16, and dS is a difference of near-equal sums. */
const f16Grad = { value: 2e-3, reason: 'the stored f16 output and gradient are rounded, and dP - D cancels' };

export const cases: OpCase[] = [];
for (const [family, profile] of [
  ['naive', 'generic'],
  ['rows', 'generic'],
  ['tile', 'specialised'],
] as const) {
  const choices = { attention: family, attention_grad: family };
  for (const dtype of ['f32', 'f16'] as const) {
    for (const s of settings) {
      // Long heads compile long: each family runs them where they make another kernel, and in f16 the short ones say enough.
      const longest = dtype === 'f16' || family === 'naive' ? 32 : 256;
      if (s.headSize > longest || (family === 'tile' && (s.headSize === 64 || s.headSize === 256))) continue;
      cases.push({
        op: 'attention',
        name: `attention ${dtype} ${family} ${s.name}`,
        dtype,
        profile,
        choices,
        inputs: inputsOf(s, dtype),
        build: ({ qkv, ranges }) => ({ ...attention(qkv, ranges, s) }),
        wrt: ['qkv'],
        seeds: ['out'],
        ...(dtype === 'f16' ? { tolerance: f16Grad } : {}),
      });
    }
    const shared: Setting = { name: 'used twice', B: 2, T: 33, heads: 4, kvHeads: 2, headSize: 16, lengths: [[10, 12], [33]] };
    cases.push({
      op: 'attention',
      name: `attention ${dtype} ${family} gradient added to another`,
      dtype,
      profile,
      choices,
      inputs: inputsOf(shared, dtype),
      build: ({ qkv, ranges }) => ({ out: attention(qkv, ranges, shared).out, other: attention(qkv, ranges, { ...shared, scale: 0.1 }).out }),
      wrt: ['qkv'],
      ...(dtype === 'f16' ? { tolerance: f16Grad } : {}),
    });
    const large: Setting = { name: 'large scores', B: 1, T: 33, heads: 2, kvHeads: 1, headSize: 16, spread: 50 };
    cases.push({
      op: 'attention',
      name: `attention ${dtype} ${family} scores of 1e4`,
      dtype,
      profile,
      choices,
      inputs: inputsOf(large, dtype),
      build: ({ qkv, ranges }) => ({ ...attention(qkv, ranges, { ...large, scale: 1 }) }),
      wrt: ['qkv'],
      seeds: ['out'],
      tolerance:
        dtype === 'f32'
          ? { value: 5e-3, reason: 'a score of 1e4 carries an f32 rounding of 1e-3, which is the relative error of its probability' }
          : { value: 5e-3, reason: 'rows are one-hot: dS is P (dP - D) with dP = D up to the f16 rounding of the stored output; 9e-4 seen on three hosts' },
      noDifferences: 'softmax of scores of 1e4 is a step at any usable difference',
    });
    for (const [T, ratio, runs] of [
      [1, 2, 1],
      [5, 4, 1],
      [1, 2, 2],
      [37, 2, 2],
    ] as const) {
      const [B, C, kvHeads, headSize] = [2, runs === 1 ? 40 : 71, 2, 16];
      const heads = kvHeads * ratio;
      // Row b holds 31 - 7b old keys, then the new ones; the first is behind a window in the second row.
      // Of two runs, queries take turns at a prefix before or behind their own keys, at own keys alone, a prefix alone, and nothing.
      const own = (i: number): readonly [number, number] => [13 + (i % 3), 15 + (i % T) + Math.floor(i / T)];
      const two = (i: number): readonly number[] =>
        i % 5 === 3
          ? [2, 9, 0, 0]
          : i % 5 === 4
            ? [0, 0, 0, 0]
            : [
                ...(
                  [
                    [0, 7],
                    [0, 0],
                    [61 + (i % 2), 70],
                  ] as const
                )[i % 3],
                ...own(i),
              ];
      const one = (i: number): readonly number[] => [i < T ? 0 : 3, 31 - 7 * Math.floor(i / T) + (i % T) + 1, 0, 0];
      const ranges = Array.from({ length: B * T }, (_, i) => (runs === 1 ? one(i) : two(i))).flat();
      for (const cacheType of dtype === 'f32' ? (['f32', 'f16'] as const) : (['f16'] as const)) {
        cases.push({
          op: 'attention_cached',
          name: `attention_cached ${dtype} on ${cacheType} ${family} T ${T}${runs === 2 ? ', two runs' : ''}`,
          dtype,
          profile,
          choices,
          inputs: {
            qkv: { shape: [B, T, (heads + 2 * kvHeads) * headSize], dtype, fill: 'normal' },
            cache: { shape: [B, C, 2 * kvHeads * headSize], dtype: cacheType, fill: 'normal' },
            ranges: { shape: [B, T, 4], dtype: 'u32', fill: { values: ranges } },
          },
          build: ({ qkv, cache, ranges }: Readonly<Record<string, Value>>) => ({ ...attentionCached(qkv, cache, ranges, { heads, kvHeads, headSize }) }),
        });
      }
    }
  }
}

// Two sets of keys: a query sees the second where its range is not empty; without that everything of it must be left alone.
for (const dtype of ['f32', 'f16'] as const) {
  for (const [B, T, heads, headSize] of [
    [1, 1, 1, 8],
    [2, 67, 3, 16],
    [3, 5, 2, 10],
    [2, 7, 1, 9],
  ] as const) {
    const out = { shape: [B, T, heads * headSize], dtype, fill: 'normal' } as const;
    const stats = { shape: [B, heads, T], dtype: 'f32', fill: { normal: 20 } } as const;
    cases.push({
      op: 'attention_merge',
      name: `attention_merge ${dtype} B ${B} T ${T} H ${heads} S ${headSize}`,
      dtype,
      inputs: {
        out,
        stats,
        more: out,
        moreStats: stats,
        ranges: {
          shape: [B, T, 4],
          dtype: 'u32',
          fill: { values: Array.from({ length: B * T }, (_, i) => (i % 3 === 1 ? [5, 5, 0, 0] : [i % 2, 7, 0, 0])).flat() },
        },
      },
      build: (v) => ({ ...attentionMerge({ out: v.out, stats: v.stats }, { out: v.more, stats: v.moreStats }, v.ranges, { heads, kvHeads: heads, headSize }) }),
    });
  }
}
// A ring of one rank; rings of several are held to float64 in test/shard/sp-attention.test.ts.
const alone: Setting = { name: 'one rank', B: 2, T: 33, heads: 4, kvHeads: 2, headSize: 16, lengths: [[10, 12], [33]] };
cases.push({
  op: 'ring_attention',
  name: 'ring_attention f32 one rank',
  dtype: 'f32',
  inputs: inputsOf(alone, 'f32'),
  build: ({ qkv, ranges }) => ({ ...ringAttention(qkv, [ranges], { axis: 'sp', ranks: 1, rank: 0 }, alone) }),
  wrt: ['qkv'],
  seeds: ['out'],
});
