/**
 * ZeRO as passes over a traced step: parameters of which this rank holds a part are joined where a layer needs them and let go
 * behind it, again for its backward half; gradients leave as parts of their sum once their layer is through. Collectives begin
 * a layer before (joins) or end a layer after (sums), so that they travel beside the arithmetic. Model code knows nothing of it.
 */
import { invariant } from '../base/errors.ts';
import { type Graph, isLeaf, type Node, STATE, type Value } from '../tensor/graph.ts';
import { blockMask } from '../tensor/ops/block_mask.ts';
import type { RankAxis } from '../tensor/ops/exchange.ts';
import { SHARD_GATHER, SHARD_GATHERED, shardGather, shardReduce } from '../tensor/ops/shard.ts';
import { ZEROS } from '../tensor/ops/zeros.ts';
import { cutOf } from './place.ts';

type Inputs = { inputs: readonly Value[] };

/** Reads of one value in a node, replaced by reads of another. */
function substitute(node: Node, old: number, by: Value): void {
  (node as Inputs).inputs = node.inputs.map((v) => (v.id === old ? { ...by, shape: v.shape } : v));
}

const isCollective = (node: Node): boolean => node.op.name.startsWith('shard_');

/** Joins of parameters: their parts are states. */
const joinsOf = (graph: Graph): Node[] => graph.nodes.filter((n) => n.op === SHARD_GATHERED && n.inputs[0].node.inputs.every((v) => isLeaf(v.node)));

/** The stretch of the step that each node belongs to: neighbours of one segment and phase. Collectives and leaves belong to none. */
function stretches(graph: Graph): Map<Node, number> {
  const out = new Map<Node, number>();
  let number = -1;
  let last = '';
  for (const node of graph.nodes) {
    if (isLeaf(node) || isCollective(node)) continue;
    const name = `${node.phase} ${node.segment}`;
    if (name !== last) number++;
    last = name;
    out.set(node, number);
  }
  return out;
}

/** Puts `moved` (already among the nodes) before `at`; at the end for undefined. */
function moveBefore(graph: Graph, moved: readonly Node[], at: Node | undefined): void {
  const set = new Set(moved);
  const rest = graph.nodes.filter((n) => !set.has(n));
  const index = at ? rest.indexOf(at) : rest.length;
  invariant(index >= 0, 'the place of a collective is in the graph');
  rest.splice(index, 0, ...moved);
  graph.nodes = rest;
}

/**
 * Joins each sharded parameter before its first use in the forward pass traced so far.
 * @returns the joined values by the states' names: what to differentiate by.
 */
export function gatherSharded(graph: Graph, at: RankAxis): Map<string, Value> {
  const out = new Map<string, Value>();
  const { states } = graph;
  if (!states) return out;
  for (const leaf of graph.nodes.filter((n) => n.op === STATE && n.attrs.name !== undefined)) {
    const name = String(leaf.attrs.name);
    if (!states.buffer(states.place(name).buffer)?.sharded) continue;
    const consumers = graph.nodes.filter((n) => n.inputs.some((v) => v.id === leaf.outputs[0].id));
    if (consumers.length === 0) continue;
    const { buffer, at: first, runs } = cutOf(states, name, at.ranks);
    const own = runs.find((r) => r.rank === at.rank);
    const before = graph.nodes.length;
    const part = own ? graph.stateRange(buffer.key, first + own.from, first + own.to) : null;
    const joined = graph.segment(consumers[0].segment, () => shardGather(graph, part, leaf.outputs[0], at, runs));
    moveBefore(graph, graph.nodes.slice(before), consumers[0]);
    for (const c of consumers) substitute(c, leaf.outputs[0].id, joined);
    out.set(name, joined);
  }
  return out;
}

/** Joins again where a parameter is used in another stretch of the step (its backward half, a tied head), instead of keeping it. */
export function gatherAgain(graph: Graph): void {
  const stretch = stretches(graph);
  for (const wait of joinsOf(graph)) {
    const consumers = graph.nodes.filter((n) => n.inputs.some((v) => v.id === wait.outputs[0].id));
    const start = wait.inputs[0].node;
    const home = consumers.length > 0 ? stretch.get(consumers[0]) : undefined;
    const elsewhere = new Map<number, Node[]>();
    for (const c of consumers) {
      const s = stretch.get(c) ?? 0;
      if (s !== home) elsewhere.set(s, [...(elsewhere.get(s) ?? []), c]);
    }
    for (const nodes of elsewhere.values()) {
      const startTwin = graph.clone(start, start.inputs, nodes[0].phase);
      const waitTwin = graph.clone(wait, [startTwin.outputs[0], ...wait.inputs.slice(1)], nodes[0].phase);
      graph.nodes.push(startTwin, waitTwin);
      moveBefore(graph, [startTwin, waitTwin], nodes[0]);
      for (const n of nodes) substitute(n, wait.outputs[0].id, waitTwin.outputs[0]);
    }
  }
}

/** Begins each join at the start of the stretch before the one that needs it: a layer ahead. */
export function gatherAhead(graph: Graph): void {
  const stretch = stretches(graph);
  const firstOf = new Map<number, Node>();
  for (const [node, s] of stretch) if (!firstOf.has(s)) firstOf.set(s, node);
  for (const wait of joinsOf(graph)) {
    const user = graph.nodes.find((n) => n.inputs.some((v) => v.id === wait.outputs[0].id));
    const s = user && stretch.get(user);
    const start = wait.inputs[0].node;
    if (s !== undefined && s > 0 && start.op === SHARD_GATHER) moveBefore(graph, [start], firstOf.get(s - 1));
  }
}

/** A gradient on its way to its state: fresh in the micro, added as a part of the ranks' sum. */
export interface GradientCut {
  /** The gradient's state. */
  readonly state: string;
  readonly gradient: Value;
  /** Rows of a fused adapter's blocks, whose rest must not count. */
  readonly mask?: { readonly rank: number; readonly blocks: readonly { readonly from: number; readonly to: number }[] };
}

/** A tensor for a gradient whose parameter is stored in another dtype: f32 zeros to add to. */
export const zeros = (graph: Graph, shape: readonly number[]): Value => graph.apply1(ZEROS, [], { shape });

/** Sends each gradient off behind the stretch that ends it, and takes its part in behind the stretch after that. */
export function reduceSharded(graph: Graph, cuts: readonly GradientCut[], at: RankAxis): void {
  const { states } = graph;
  invariant(states, 'gradients have states');
  const stretch = stretches(graph);
  const lastOf = new Map<number, Node>();
  for (const [node, s] of stretch) lastOf.set(s, node);
  const groups = new Map<number, { begin: Node[]; end: Node[] }>();
  for (const { state, gradient, mask } of cuts) {
    const s = stretch.get(gradient.node);
    invariant(s !== undefined, `the gradient of ${state} is made in the step`);
    const { buffer, at: first, runs } = cutOf(states, state, at.ranks);
    const own = runs.find((r) => r.rank === at.rank);
    const before = graph.nodes.length;
    const into = own ? graph.stateRange(buffer.key, first + own.from, first + own.to) : null;
    graph.phase('backward', () =>
      graph.segment(gradient.node.segment, () => shardReduce(mask ? blockMask(gradient, mask.rank, mask.blocks) : gradient, into, at, runs)),
    );
    const made = graph.nodes.slice(before);
    const group = groups.get(s) ?? { begin: [], end: [] };
    groups.set(s, group);
    group.begin.push(...made.slice(0, -1));
    group.end.push(...made.slice(-1));
  }
  const order = [...groups.keys()].sort((a, b) => a - b);
  let waiting: Node[] = [];
  for (const s of order) {
    const group = groups.get(s) as { begin: Node[]; end: Node[] };
    const index = graph.nodes.indexOf(lastOf.get(s) as Node);
    moveBefore(graph, [...waiting, ...group.begin], graph.nodes[index + 1]);
    waiting = group.end;
  }
  moveBefore(graph, waiting, undefined);
  // What is added to is cleared right before it is first added to, not at the start of the step.
  for (const node of graph.nodes.filter((n) => n.op === ZEROS)) {
    const user = graph.nodes.find((n) => n !== node && [...n.inputs, ...n.into].some((v) => v?.id === node.outputs[0].id));
    if (user) moveBefore(graph, [node], user);
  }
}
