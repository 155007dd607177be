/**
 * Tensor parallel as a pass over the forward graph, before it is differentiated. The model is traced with one rank's heads, hidden units and rows;
 * this pass adds what ranks must say to each other: sums behind the embedding, o and down, the other way round (an identity whose adjoint is
 * a sum) before qkv, gate and up and the head, and a cross-entropy over the split vocabulary. Model code knows nothing of it.
 */
import { ScionError } from '../base/errors.ts';
import { weightName } from '../nn/parameters.ts';
import { type Graph, type Node, STATE, type Value, view } from '../tensor/graph.ts';
import { allReduceStart, allReduceWait, enterStart, enterWait } from '../tensor/ops/collective.ts';
import { add } from '../tensor/ops/elementwise.ts';
import { EMBED } from '../tensor/ops/embed.ts';
import type { RankAxis } from '../tensor/ops/exchange.ts';
import { HEADNORM } from '../tensor/ops/headnorm.ts';
import { LINEAR_CROSS_ENTROPY } from '../tensor/ops/linear_cross_entropy.ts';
import { MATMUL } from '../tensor/ops/matmul.ts';
import { shardGather } from '../tensor/ops/shard.ts';
import { vocabCrossEntropy, vocabStats } from '../tensor/ops/vocab_cross_entropy.ts';
import { sizeOf } from '../tensor/types.ts';
import { rewriteForward } from './rewrite.ts';
import { kindOf } from './split.ts';

/** The parameter that a node multiplies with; null for other values. */
function parameterOf(v: Value): string | null {
  if (v.node.op !== STATE || v.node.attrs.name === undefined) return null;
  const name = String(v.node.attrs.name);
  const prefix = weightName('');
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

/**
 * Splits a forward graph over the ranks of an axis, in place.
 * @param wanted values of the graph that the caller goes on with; given back as they are now.
 */
export function splitTensors(graph: Graph, axis: RankAxis, wanted: readonly Value[]): Value[] {
  const mesh = { axis: axis.axis, ranks: axis.ranks };
  const enter = (v: Value): Value => enterWait(enterStart(v, mesh));
  const sum = (v: Value): Value => allReduceWait(allReduceStart(v, mesh));
  return rewriteForward(graph, split, wanted);

  /** What a node becomes; null where it stays. */
  function split(node: Node): Value[] | null {
    const { inputs, attrs } = node;
    if (node.op === EMBED) {
      graph.nodes.push(node);
      const whole = sum(node.outputs[0]);
      // The sum reads the node's own output, which must not be replaced there.
      return [whole];
    }
    if (node.op === MATMUL) {
      const kind = kindOf(parameterOf(inputs[1]) ?? '');
      if (kind === 'qkv' || kind === 'gate_up') return [graph.apply1(MATMUL, [enter(inputs[0]), ...inputs.slice(1)], attrs)];
      if (kind !== 'o' && kind !== 'down') return null;
      const whole = sum(graph.apply1(MATMUL, inputs.slice(0, 2), attrs));
      return [inputs[2] ? add(whole, view(inputs[2], whole.shape)) : whole];
    }
    // Weights that all ranks have alike, used on each one's own heads: their gradients are shares of a sum.
    if (node.op === HEADNORM) return graph.apply(HEADNORM, [inputs[0], enter(inputs[1]), enter(inputs[2])], attrs);
    if (node.op !== LINEAR_CROSS_ENTROPY) return null;
    if (attrs.term)
      throw new ScionError('usage', 'a head with an adapter is not split over ranks; leave lm_head out of the adapter’s targets, or train without tp');
    const x = enter(inputs[0]);
    const [, w, labels] = inputs;
    const own = vocabStats(x, w, labels);
    const each = sizeOf(own.shape);
    const runs = Array.from({ length: axis.ranks }, (_, rank) => ({ rank, from: rank * each, to: (rank + 1) * each }));
    const stats = shardGather(graph, own, { shape: [axis.ranks, ...own.shape], dtype: 'f32' }, axis, runs);
    const { loss, nll } = vocabCrossEntropy(x, w, labels, stats, { zLoss: attrs.zLoss as number });
    return [loss, nll];
  }
}
