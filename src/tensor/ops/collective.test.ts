/** Collectives in the graph: shapes and adjoint pairs, and the refusal of axes that need communication. */
import { describe, expect, it } from 'vitest';
import { assumedFacts } from '../../gpu/facts.ts';
import { differentiate } from '../autodiff.ts';
import { Graph } from '../graph.ts';
import { planGraph } from '../plan.ts';
import { allGatherStart, allGatherWait, allReduceStart, allReduceWait, reduceScatterStart, reduceScatterWait } from './collective.ts';
import { silu } from './elementwise.ts';

const mesh = { axis: 'tp', ranks: 4 };

describe('collectives', () => {
  it('give each its adjoint, started before it is waited for', () => {
    const g = new Graph();
    const x = g.data('x', [8, 6], 'f32');
    const y = reduceScatterWait(reduceScatterStart(allGatherWait(allGatherStart(x, mesh, 1)), mesh, 0));
    expect(y.shape).toEqual([2, 24]);
    const before = g.nodes.length;
    const [dx] = differentiate(g, [{ value: y, adjoint: g.data('dy', [2, 24], 'f32') }], [{ by: x, into: null }]);
    expect(dx?.shape).toEqual([8, 6]);
    const made = g.nodes.slice(before).filter((n) => n.op.name.startsWith('collective'));
    expect(made.map((n) => `${n.op.name} ${String(n.attrs.kind)} ${n.outputs[0].shape.join('x')}`)).toEqual([
      'collective_start allGather 8x24',
      'collective_wait allGather 8x24',
      'collective_start reduceScatter 8x6',
      'collective_wait reduceScatter 8x6',
    ]);
  });

  it('cost no launch on one rank where the input is not needed afterwards', () => {
    const g = new Graph();
    const x = g.data('x', [8, 6], 'f32');
    const one = { axis: 'dp', ranks: 1 };
    const plan = planGraph(g, { facts: assumedFacts(), outputs: { y: allReduceWait(allReduceStart(silu(x), one)) } });
    expect(plan.commands).toHaveLength(1);
  });

  it('sums are begun and awaited on more than one rank; joins along a dimension are refused, with axis and size', () => {
    const g = new Graph();
    const y = allReduceWait(allReduceStart(silu(g.data('x', [8], 'f32')), mesh));
    const { commands, exchangeBytes, communicates } = planGraph(g, { facts: assumedFacts(), outputs: { y } });
    expect(commands.map((c) => c.kind)).toEqual(['dispatch', 'exchange', 'await']);
    expect([exchangeBytes, communicates]).toEqual([256, true]);
    const joined = allGatherWait(allGatherStart(g.data('x', [8], 'f32'), mesh, 0));
    expect(() => planGraph(g, { facts: assumedFacts(), outputs: { joined } })).toThrow(/allGather along a dimension over axis "tp" of 4 ranks is not built/);
  });

  it('refuse what does not split', () => {
    const g = new Graph();
    expect(() => reduceScatterStart(g.data('x', [6, 4], 'f32'), mesh, 0)).toThrow(/dimension 0 must split over 4 ranks; got f32\[6, 4\]/);
  });
});
