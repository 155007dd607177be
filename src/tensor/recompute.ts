/**
 * Gradient checkpointing as a pass over the graph: forward values that only the backward half of
 * their own segment (a layer) needs are made again there instead of being kept. The model knows nothing of it.
 * Trades up to one more forward pass for activations that live for one layer at a time.
 */
import { type Graph, isLeaf, type Node, type Value } from './graph.ts';

/**
 * `none` keeps everything; `layer` keeps only what crosses a segment's border; `selective` makes again
 * what is cheap beside its size (norms, activations) and keeps matmul and attention results.
 */
export type RecomputePolicy = 'none' | 'layer' | 'selective';

/** Rewrites the backward nodes of `graph` in place. Call after differentiation, before planning. */
export function recompute(graph: Graph, policy: RecomputePolicy): void {
  if (policy === 'none') return;
  const segments = new Set(graph.nodes.filter((n) => n.segment !== '' && n.phase === 'forward' && !isLeaf(n)).map((n) => n.segment));
  for (const segment of segments) recomputeSegment(graph, segment, policy);
}

function recomputeSegment(graph: Graph, segment: string, policy: 'layer' | 'selective'): void {
  const forward = new Set<Node>();
  const backward: Node[] = [];
  const kept = new Set<number>();
  for (const node of graph.nodes) {
    if (isLeaf(node)) continue;
    if (node.segment === segment && node.phase === 'forward') forward.add(node);
    else if (node.segment === segment && node.phase === 'backward') backward.push(node);
    else for (const v of [...node.inputs, ...node.into.filter((b) => b !== null)]) kept.add(v.id);
  }
  const mayRemake = (v: Value): boolean => {
    const { node } = v;
    if (!forward.has(node) || kept.has(v.id) || node.op.updates !== undefined) return false;
    return policy === 'layer' || (node.op.cheap === true && node.op.inPlace === undefined);
  };
  const clones: Node[] = [];
  const remade = new Map<number, Value>();
  const remake = (v: Value): Value => {
    if (!mayRemake(v)) return v;
    const known = remade.get(v.id);
    // A view of a value has its id but another shape.
    if (known) return { ...known, shape: v.shape };
    const twin = graph.clone(v.node, v.node.inputs.map(remake), 'backward');
    clones.push(twin);
    v.node.outputs.forEach((o, i) => {
      remade.set(o.id, twin.outputs[i]);
    });
    return { ...twin.outputs[v.index], shape: v.shape };
  };
  for (const node of backward) (node as { inputs: readonly Value[] }).inputs = node.inputs.map(remake);
  if (clones.length === 0) return;
  const at = graph.nodes.indexOf(backward[0]);
  graph.nodes.splice(at, 0, ...clones);
}
