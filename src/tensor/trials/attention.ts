/** Trials of attention: three families (naive, rows, tile), forward and both gradients, packed documents or a window; joining two sets of keys; the write into a key-value cache. */
import { ScionError } from '../../base/errors.ts';
import { attention, attentionRanges } from '../ops/attention.ts';
import { attentionMerge } from '../ops/attention_merge.ts';
import { copy } from '../ops/copy.ts';
import { kvWrite } from '../ops/kv.ts';
import { requireRows, type Setting, type Trial } from './types.ts';

const SIZES = { B: [1, 2], T: [128, 33], H: [4, 4], K: [2, 1], S: [32, 9] } as const;
const OPTIONS = { mask: ['causal', 'window of 9', 'packed'] };

/** D = rowsum(dO O) reads the stored output, rounded to 2^-11 in f16, and dS is a difference of near-equal sums. */
const F16_GRAD = { value: 2e-3, reason: 'the stored f16 output and gradient are rounded, and dP - D cancels' };

function attentionCase(
  { sizes: { B, T, H, K, S }, options: { mask = 'causal' }, dtype }: Setting,
  family: string,
  gradient: boolean,
): ReturnType<Trial['make']> {
  requireRows(B * T);
  const third = Math.floor(T / 3);
  const row = mask === 'packed' && third > 0 ? attentionRanges(T, [third, T - 2 * third]) : attentionRanges(T, [T], mask === 'causal' ? 0 : 9);
  const values = Array.from({ length: B }, () => [...row]).flat();
  return {
    op: 'attention',
    inputs: {
      qkv: { shape: [B, T, (H + 2 * K) * S], dtype, fill: 'normal' },
      ranges: { shape: [B, T, 4], dtype: 'u32', fill: { values } },
    },
    build: ({ qkv, ranges }) => ({ out: attention(qkv, ranges, { heads: H, kvHeads: K, headSize: S }).out }),
    choices: { attention: family, attention_grad: family },
    profile: family === 'tile' ? 'specialised' : 'generic',
    ...(gradient ? { wrt: ['qkv'], ...(dtype === 'f16' ? { tolerance: F16_GRAD } : {}) } : {}),
  };
}

const FAMILIES = ['naive', 'rows', 'tile'] as const;

export const attentionTrials: readonly Trial[] = [
  ...FAMILIES.map(
    (family): Trial => ({ kernel: `attention/attention_${family}`, sizes: SIZES, options: OPTIONS, make: (s) => attentionCase(s, family, false) }),
  ),
  ...(['q', 'kv'] as const).flatMap((by) =>
    FAMILIES.map(
      (family): Trial => ({ kernel: `attention/attention_grad_${by}_${family}`, sizes: SIZES, options: OPTIONS, make: (s) => attentionCase(s, family, true) }),
    ),
  ),
  { kernel: 'attention/attention_grad_dot', sizes: SIZES, options: OPTIONS, make: (s) => attentionCase(s, 'rows', true) },
  {
    kernel: 'attention/attention_merge',
    sizes: { B: [2, 2], T: [128, 67], H: [8, 3], S: [64, 9] },
    make: ({ sizes: { B, T, H, S }, dtype }) => {
      requireRows(B * T);
      const out = { shape: [B, T, H * S], dtype, fill: 'normal' } as const;
      const stats = { shape: [B, H, T], dtype: 'f32', fill: { normal: 20 } } as const;
      // Every third query sees nothing of the second set.
      const ranges = Array.from({ length: B * T }, (_, i) => (i % 3 === 1 ? [5, 5, 0, 0] : [i % 2, 7, 0, 0])).flat();
      return {
        op: 'attention_merge',
        inputs: { out, stats, more: out, moreStats: stats, ranges: { shape: [B, T, 4], dtype: 'u32', fill: { values: ranges } } },
        build: (v) => ({
          ...attentionMerge({ out: v.out, stats: v.stats }, { out: v.more, stats: v.moreStats }, v.ranges, { heads: H, kvHeads: H, headSize: S }),
        }),
      };
    },
  },
  {
    kernel: 'attention/kv',
    sizes: { B: [4, 2], T: [128, 5], C: [512, 40], H: [8, 4], K: [4, 2], S: [64, 10] },
    make: ({ sizes: { B, T, C, H, K, S }, dtype }) => {
      requireRows(B * T);
      if (T > C) throw new ScionError('input', `a cache of C = ${C} slots cannot take T = ${T} tokens`);
      // Slots of a row in turn, from another one in each; every eighth token is skipped.
      const slots = Array.from({ length: B * T }, (_, i) => (i % 8 === 2 ? 0xffffffff : ((i % T) + Math.floor(i / T)) % C));
      return {
        op: 'kv_write',
        inputs: {
          old: { shape: [B, C, 2 * K * S], dtype, fill: 'normal' },
          qkv: { shape: [B, T, (H + 2 * K) * S], dtype, fill: 'normal' },
          slots: { shape: [B, T], dtype: 'u32', fill: { values: slots } },
        },
        build: (v) => ({ cache: kvWrite(copy(v.old), v.qkv, v.slots, { heads: H, kvHeads: K, headSize: S }) }),
      };
    },
  },
];
