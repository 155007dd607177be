/**
 * Cases of embed: both dtypes in and out, ids out of range, row windows of a faked small binding limit,
 * gradients from segment tables (sorted by id, as the data loader makes them).
 */
import { add } from '../../../src/tensor/ops/elementwise.ts';
import { embed } from '../../../src/tensor/ops/embed.ts';
import { idsOfBatch } from '../../../src/tensor/trials/pointwise.ts';
import type { OpCase } from '../case.ts';

interface Sizes {
  readonly V: number;
  readonly D: number;
  readonly n: number;
  readonly table: 'f32' | 'f16';
  readonly out: 'f32' | 'f16';
  readonly limit?: number;
  readonly twice?: boolean;
}

const sizes: readonly Sizes[] = [
  { V: 1, D: 1, n: 1, table: 'f32', out: 'f32' },
  { V: 11, D: 7, n: 13, table: 'f32', out: 'f32' },
  { V: 37, D: 20, n: 70, table: 'f32', out: 'f16' },
  { V: 37, D: 31, n: 70, table: 'f16', out: 'f16' },
  // Rows of one number, more than one workgroup of them; and the widest rows that share workgroups, and the narrowest that do not.
  { V: 500, D: 1, n: 900, table: 'f32', out: 'f32' },
  { V: 41, D: 60, n: 70, table: 'f32', out: 'f32' },
  { V: 41, D: 64, n: 70, table: 'f32', out: 'f32' },
  { V: 300, D: 32, n: 45, table: 'f16', out: 'f32' },
  // 4 KiB bindings: 32 rows of 128 bytes a window.
  { V: 101, D: 32, n: 29, table: 'f32', out: 'f32', limit: 4096 },
  { V: 101, D: 32, n: 29, table: 'f16', out: 'f16', limit: 4096 },
  // One id hundreds of times: more than one block of 256.
  { V: 2, D: 4, n: 700, table: 'f32', out: 'f32' },
  // The second use adds to the gradient of the first.
  { V: 23, D: 12, n: 17, table: 'f32', out: 'f32', twice: true },
];

export const cases: OpCase[] = [];
for (const { V, D, n, table, out, limit, twice } of sizes) {
  const b = idsOfBatch(V * 1000 + D, n, V);
  cases.push({
    op: 'embed',
    name: `embed ${table}->${out} V ${V} D ${D} N ${n}${limit ? ` bindings of ${limit}` : ''}${twice ? ' twice' : ''}`,
    dtype: out === 'f16' || table === 'f16' ? 'f16' : 'f32',
    inputs: {
      table: { shape: [V, D], dtype: table, fill: 'normal' },
      ids: { shape: [n], dtype: 'u32', fill: { values: b.ids } },
      order: { shape: [n], dtype: 'u32', fill: { values: b.order } },
      starts: { shape: [n + 1], dtype: 'u32', fill: { values: b.starts } },
      segmentIds: { shape: [n], dtype: 'u32', fill: { values: b.segmentIds } },
    },
    build: ({ table, ids, order, starts, segmentIds }) => {
      const use = () => embed(table, ids, { dtype: out, order, starts, segmentIds });
      return { y: twice ? add(use(), use()) : use() };
    },
    wrt: ['table'],
    scalars: { segments: b.segments },
    limits: limit ? { maxStorageBufferBindingSize: limit } : undefined,
  });
}
for (const limit of [0, 4096]) {
  cases.push({
    op: 'embed',
    name: `embed f32 ids out of range${limit ? ` bindings of ${limit}` : ''}`,
    dtype: 'f32',
    inputs: {
      table: { shape: [70, 32], dtype: 'f32', fill: 'normal' },
      ids: { shape: [2, 4], dtype: 'u32', fill: { values: [69, 70, 0, 4294967295, 31, 32, 71, 64] } },
    },
    build: ({ table, ids }) => ({ y: embed(table, ids) }),
    limits: limit ? { maxStorageBufferBindingSize: limit } : undefined,
  });
}
