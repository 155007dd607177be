/** The split head against the whole one, in float64: losses, and each part's gradients, for uneven parts, ignored labels and a z-loss. */
import { expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { differentiate } from '../autodiff.ts';
import { Graph, type Value } from '../graph.ts';
import { evaluateReference } from '../reference.ts';
import { linearCrossEntropy } from './linear_cross_entropy.ts';
import { vocabCrossEntropy, vocabStats } from './vocab_cross_entropy.ts';

const [N, V, D, Z] = [7, 13, 5, 0.01];
const BOUNDS = [0, 1, 6, 13];

const random = new Random(3);
const normal = (n: number) => Float64Array.from({ length: n }, () => random.normal());
const x = normal(N * D);
const w = normal(V * D);
const labels = [0, 12, -100, 5, 6, 3, 1];
const dloss = normal(N);

function graphOf(v: number, build: (x: Value, w: Value, labels: Value, g: Graph) => { loss: Value; nll: Value }) {
  const g = new Graph();
  const leaves = [g.data('x', [N, D], 'f32'), g.data('w', [v, D], 'f32'), g.data('labels', [N], 'i32')] as const;
  const { loss, nll } = build(...leaves, g);
  const grads = differentiate(
    g,
    [{ value: loss, adjoint: g.data('dloss', [N], 'f32') }],
    leaves.slice(0, 2).map((by) => ({ by, into: null })),
  ) as Value[];
  return [loss, nll, ...grads];
}

it('parts of a vocabulary give the losses of the whole, and their gradients are its', () => {
  const whole = evaluateReference(
    graphOf(V, (a, b, c) => linearCrossEntropy(a, b, c, { zLoss: Z })),
    { x, w, labels, dloss },
  ).map((t) => t.data);
  const parts = BOUNDS.slice(1).map((to, r) => ({ from: BOUNDS[r], count: to - BOUNDS[r], w: w.slice(BOUNDS[r] * D, to * D) }));
  const local = ({ from, count }: { from: number; count: number }) => labels.map((l) => (l < 0 ? l : l >= from && l < from + count ? l - from : count));
  const stats = parts.flatMap((part) => {
    const g = new Graph();
    const made = vocabStats(g.data('x', [N, D], 'f32'), g.data('w', [part.count, D], 'f32'), g.data('labels', [N], 'i32'));
    return [...evaluateReference([made], { x, w: part.w, labels: local(part) })[0].data];
  });
  const dx = new Float64Array(N * D);
  for (const part of parts) {
    const found = evaluateReference(
      graphOf(part.count, (a, b, c, g) => vocabCrossEntropy(a, b, c, g.data('stats', [parts.length, N, 2], 'f32'), { zLoss: Z })),
      { x, w: part.w, labels: local(part), dloss, stats },
    ).map((t) => t.data);
    // Float64 on both sides: sums in another order, a few 1e-16 of values near 1.
    const close = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (v, i) => Math.abs(v - b[i])));
    expect(close(found[0], whole[0])).toBeLessThan(1e-13);
    expect(close(found[1], whole[1])).toBeLessThan(1e-13);
    expect(close(found[3], whole[3].subarray(part.from * D, (part.from + part.count) * D))).toBeLessThan(1e-13);
    found[2].forEach((v, i) => {
      dx[i] += v;
    });
  }
  expect(Math.max(...dx.map((v, i) => Math.abs(v - whole[2][i])))).toBeLessThan(1e-13);
});
