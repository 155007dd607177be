/** Cases of the pointwise functions: each in f32 and f16 at an odd size, step scalars, aliased operands, large arguments. */

import type { Value } from '../../../src/tensor/graph.ts';
import * as e from '../../../src/tensor/ops/elementwise.ts';
import type { Fill, OpCase } from '../case.ts';

const positive: Fill = { uniform: [0.5, 4] };
const unary: readonly { name: string; f: (x: Value) => Value; fill: Fill }[] = [
  { name: 'neg', f: e.neg, fill: 'normal' },
  { name: 'exp', f: e.exp, fill: 'normal' },
  { name: 'log', f: e.log, fill: positive },
  { name: 'sqrt', f: e.sqrt, fill: positive },
  { name: 'tanh', f: e.tanh, fill: 'normal' },
  { name: 'silu', f: e.silu, fill: 'normal' },
  { name: 'gelu', f: e.gelu, fill: 'normal' },
  { name: 'relu', f: e.relu, fill: 'normal' },
  { name: 'square', f: e.square, fill: 'normal' },
  { name: 'addScalar', f: (x) => e.addScalar(x, { step: 'c' }), fill: 'normal' },
  { name: 'mulScalar', f: (x) => e.mulScalar(x, { step: 'c' }), fill: 'normal' },
];
const binary: readonly { name: string; f: (a: Value, b: Value) => Value; fill: Fill }[] = [
  { name: 'add', f: e.add, fill: 'normal' },
  { name: 'sub', f: e.sub, fill: 'normal' },
  { name: 'mul', f: e.mul, fill: 'normal' },
  { name: 'div', f: e.div, fill: positive },
  { name: 'x times x', f: (a, b) => e.add(e.mul(a, a), e.sub(e.mul(b, a), e.add(b, b))), fill: 'normal' },
];

export const cases: OpCase[] = [];
for (const dtype of ['f32', 'f16'] as const) {
  for (const { name, f, fill } of unary) {
    // In f16 a kernel differs by loads and stores only: a few stand for all.
    if (dtype === 'f16' && !['exp', 'silu', 'addScalar'].includes(name)) continue;
    cases.push({
      op: 'elementwise',
      name: `${name} ${dtype} 3x7x5`,
      dtype,
      inputs: { x: { shape: [3, 7, 5], dtype, fill } },
      build: ({ x }) => ({ y: f(x) }),
      wrt: ['x'],
      scalars: { c: -1.5 },
    });
  }
  for (const { name, f, fill } of binary) {
    if (dtype === 'f16' && !['add', 'mul'].includes(name)) continue;
    cases.push({
      op: 'elementwise',
      name: `${name} ${dtype} 7x13`,
      dtype,
      inputs: { a: { shape: [7, 13], dtype, fill }, b: { shape: [7, 13], dtype, fill } },
      build: ({ a, b }) => ({ y: f(a, b) }),
      wrt: ['a', 'b'],
    });
  }
}
for (const [name, f] of Object.entries({ tanh: e.tanh, silu: e.silu, gelu: e.gelu })) {
  cases.push({
    op: 'elementwise',
    name: `${name} f32 arguments of hundreds`,
    dtype: 'f32',
    inputs: { x: { shape: [67], dtype: 'f32', fill: { normal: 200 } } },
    build: ({ x }) => ({ y: f(x) }),
    wrt: ['x'],
  });
}
