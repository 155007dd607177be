/** Passes over a forward graph, before it is differentiated: nodes are replaced one by one, and what reads them reads what came instead. */
import { type Graph, type Node, type Value, view } from '../tensor/graph.ts';

/**
 * Rewrites a graph in place.
 * @param replace what a node becomes, its outputs in order (new nodes may be made on its inputs); null where it stays.
 * @param wanted values of the graph that the caller goes on with; given back as they are now.
 */
export function rewriteForward(graph: Graph, replace: (node: Node) => Value[] | null, wanted: readonly Value[]): Value[] {
  const now = new Map<number, Value>();
  const current = (v: Value): Value => {
    const replaced = now.get(v.id);
    return replaced ? view(replaced, v.shape) : v;
  };
  const nodes = graph.nodes;
  graph.nodes = [];
  for (const node of nodes) {
    (node as { inputs: readonly Value[] }).inputs = node.inputs.map(current);
    const outputs = graph.segment(node.segment, () => graph.phase(node.phase, () => replace(node)));
    if (outputs) {
      node.outputs.forEach((o, i) => {
        now.set(o.id, outputs[i]);
      });
    } else graph.nodes.push(node);
  }
  return wanted.map(current);
}
