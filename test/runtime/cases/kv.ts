/** Cases of kv_write: scattered and skipped slots, vector and scalar widths, an f16 cache of f32 tokens. */
import { copy } from '../../../src/tensor/ops/copy.ts';
import { kvWrite } from '../../../src/tensor/ops/kv.ts';
import type { OpCase } from '../case.ts';

export const cases: OpCase[] = [];
for (const [dtype, cacheType] of [
  ['f32', 'f32'],
  ['f32', 'f16'],
  ['f16', 'f16'],
] as const) {
  for (const [B, T, C, heads, kvHeads, headSize] of [
    [1, 1, 5, 1, 1, 8],
    [2, 5, 40, 4, 2, 16],
    [3, 7, 9, 3, 3, 10],
  ] as const) {
    // Distinct slots within a row; one token of each longer row is skipped.
    const slots = Array.from({ length: B * T }, (_, i) => (i % T === 2 ? 0xffffffff : (i * 3 + Math.floor(i / T)) % T));
    for (let b = 0; b < B; b++) if (new Set(slots.slice(b * T, (b + 1) * T)).size !== T) throw new Error('slots of one row must differ');
    cases.push({
      op: 'kv_write',
      name: `kv_write ${dtype} into ${cacheType} B ${B} T ${T} C ${C} size ${headSize}`,
      dtype: cacheType === 'f16' ? 'f16' : dtype,
      inputs: {
        old: { shape: [B, C, 2 * kvHeads * headSize], dtype: cacheType, fill: 'normal' },
        qkv: { shape: [B, T, (heads + 2 * kvHeads) * headSize], dtype, fill: 'normal' },
        slots: { shape: [B, T], dtype: 'u32', fill: { values: slots } },
      },
      build: ({ old, qkv, slots }) => ({ cache: kvWrite(copy(old), qkv, slots, { heads, kvHeads, headSize }) }),
    });
  }
}
