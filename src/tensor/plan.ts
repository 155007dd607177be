/**
 * The planner: from a graph to a flat command list and exact memory, without a device. Order is the
 * order of tracing; tensors that never live together share the arena; ops lower themselves to kernel
 * launches. The runtime allocates exactly what a plan says and is held to it.
 */
import { invariant, ScionError } from '../base/errors.ts';
import { expandKernel, type SourceOf, type Switches } from '../gpu/expand.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import { assignArena, type Interval } from './arena.ts';
import { EXCHANGE_BYTES, type Move, sentRanges } from './exchange.ts';
import { CONSTANT, DATA, type Graph, isLeaf, type Node, rootOf, STATE, type Value } from './graph.ts';
import { LoweringContext } from './lowering.ts';
import type { Grid, ParamValue } from './op.ts';
import type { States } from './states.ts';
import { BINDING_ALIGN, byteSize, type DType, dtypeBytes, roundUp, type Shape, typeName } from './types.ts';

/** Part of a named buffer. */
export interface BufferRef {
  /** `arena/0`, `data`, `constants`, or a state buffer's key. */
  readonly buffer: string;
  readonly offset: number;
  readonly bytes: number;
}

/** One entry of the command list. */
export type Command =
  | {
      readonly kind: 'dispatch';
      readonly kernel: string;
      readonly entry: string;
      readonly switches: Switches;
      readonly constants: Readonly<Record<string, number>>;
      readonly bind: Readonly<Record<string, BufferRef>>;
      readonly params: Readonly<Record<string, ParamValue>>;
      readonly grid: Grid;
      readonly node: string;
      readonly segment: string;
      readonly phase: string;
      readonly flops: number;
      readonly bytes: number;
    }
  | { readonly kind: 'clear'; readonly ref: BufferRef }
  /** Begins a collective beside the commands that follow, up to the `await` of its number. */
  | { readonly kind: 'exchange'; readonly id: number; readonly move: Move<BufferRef>; readonly node: string }
  | { readonly kind: 'await'; readonly id: number };

/** A tensor the host uploads or reads. */
export interface Slot {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly ref: BufferRef;
}

/** A tensor's place in time and memory, for `scion plan --html`. */
export interface Lifetime {
  readonly name: string;
  readonly kind: 'activation' | 'scratch';
  readonly bytes: number;
  readonly page: number;
  readonly offset: number;
  /** First and last node (index in the sequence) that touches it. */
  readonly from: number;
  readonly to: number;
}

/** What a program needs: commands and bytes. Plain data but for step-scalar functions. */
export interface Plan {
  readonly name: string;
  readonly commands: readonly Command[];
  readonly states: States | null;
  readonly data: readonly Slot[];
  readonly outputs: readonly Slot[];
  readonly constants: readonly (Slot & { contents: Float32Array | Uint32Array | Int32Array })[];
  readonly arena: readonly number[];
  readonly dataBytes: number;
  readonly uniformBytes: number;
  readonly stagingBytes: number;
  /** Bytes through which collectives leave the device; shared by the programs of a session. */
  readonly exchangeBytes: number;
  /** It takes part in collectives: every rank runs it equally often, by `runWith`. */
  readonly communicates: boolean;
  readonly lifetimes: readonly Lifetime[];
  readonly sequence: readonly { op: string; segment: string; phase: string }[];
  readonly flops: number;
  readonly facts: DeviceFacts;
}

export interface PlanOptions {
  readonly name?: string;
  readonly facts: DeviceFacts;
  /** Values to read back after a run, by name. */
  readonly outputs?: Readonly<Record<string, Value>>;
  /** Kernel texts other than the built-in ones (the playground). */
  readonly sourceOf?: SourceOf;
}

/** Bytes of a uniform slot: dynamic alignment is 256 on every device. */
export const UNIFORM_STRIDE = 256;

/** Nodes that matter: those leading to outputs, and those that write states. */
function liveNodes(graph: Graph, outputs: readonly Value[]): Node[] {
  const live = new Set<number>();
  const stack: Node[] = [];
  const reach = (node: Node): void => {
    if (live.has(node.id)) return;
    live.add(node.id);
    stack.push(node);
  };
  for (const v of outputs) reach(v.node);
  for (const node of graph.nodes) if (!isLeaf(node) && (node.op.effects || node.outputs.some((o) => rootOf(o).node.op === STATE))) reach(node);
  for (let node = stack.pop(); node; node = stack.pop()) {
    for (const input of node.inputs) reach(input.node);
    for (const base of node.into) if (base) reach(base.node);
  }
  return graph.nodes.filter((n) => live.has(n.id));
}

/** Reading a version of a tensor after a later node overwrote it would be a silent error: refuse it. */
function checkVersions(sequence: readonly Node[]): void {
  const current = new Map<number, number>();
  for (const node of sequence) {
    const reads = [...node.inputs, ...node.into.filter((b) => b !== null)];
    for (const v of reads) {
      const version = current.get(rootOf(v).id);
      if (version !== undefined && version !== v.id) {
        throw new ScionError('internal', `${node.op.name} reads ${typeName(v)} after a later node updated it in place; read the updated value`);
      }
    }
    for (const output of node.outputs) {
      const root = rootOf(output);
      if (root.id !== output.id) current.set(root.id, output.id);
    }
  }
}

/** Plans a graph for a device described by `facts`. */
export function planGraph(graph: Graph, options: PlanOptions): Plan {
  const { facts } = options;
  const outputs = Object.entries(options.outputs ?? {});
  const live = liveNodes(
    graph,
    outputs.map(([, v]) => v),
  );
  const sequence = live.filter((n) => !isLeaf(n));
  checkVersions(sequence);

  // Lifetimes of memory roots. An in-place op takes over its input's memory where that is dead afterwards.
  const last = new Map<number, number>();
  sequence.forEach((node, t) => {
    for (const v of [...node.inputs, ...node.outputs]) last.set(rootOf(v).id, t);
    for (const b of node.into) if (b) last.set(rootOf(b).id, t);
  });
  for (const [, v] of outputs) last.set(rootOf(v).id, sequence.length);
  const alias = new Map<number, number>();
  // What is taken over is a home already, so one look-up ends every chain.
  const homeOf = (v: Value): number => alias.get(rootOf(v).id) ?? rootOf(v).id;
  const roots = new Map<number, Value>();
  const copies = new Map<number, { from: Value; to: Value }[]>();
  sequence.forEach((node, t) => {
    for (const output of node.outputs) {
      const root = rootOf(output);
      if (root.id !== output.id) continue;
      const pair = node.op.inPlace?.find(([o]) => o === output.index);
      if (pair) {
        const input = node.inputs[pair[1]];
        const source = rootOf(input);
        const free =
          !isLeaf(source.node) &&
          last.get(source.id) === t &&
          last.get(homeOf(input)) === t &&
          byteSize(source) === byteSize(output) &&
          source.dtype === output.dtype &&
          node.inputs.filter((v) => homeOf(v) === homeOf(input)).length === 1;
        if (free) {
          const home = homeOf(input);
          alias.set(output.id, home);
          last.set(home, Math.max(last.get(home) ?? t, last.get(output.id) ?? t));
          continue;
        }
        copies.set(node.id, [...(copies.get(node.id) ?? []), { from: input, to: output }]);
      }
      roots.set(output.id, output);
    }
  });

  const lowering = new LoweringContext(facts, homeOf);
  sequence.forEach((node, t) => {
    lowering.lower(node, t, copies.get(node.id) ?? []);
  });

  // The arena: activations by lifetime, scratch for its node only.
  const intervals: (Interval & { name: string; kind: Lifetime['kind']; id: string })[] = [];
  const firstOf = new Map<number, number>();
  sequence.forEach((node, t) => {
    for (const o of node.outputs) if (!firstOf.has(homeOf(o))) firstOf.set(homeOf(o), t);
  });
  for (const [id, value] of roots) {
    const from = firstOf.get(id) ?? 0;
    intervals.push({
      id: `v${id}`,
      name: `${value.node.segment ? `${value.node.segment} ` : ''}${value.node.op.name}${value.node.outputs.length > 1 ? `.${value.index}` : ''}`,
      kind: 'activation',
      bytes: roundUp(Math.max(4, byteSize(value)), BINDING_ALIGN),
      from,
      to: last.get(id) ?? from,
    });
  }
  for (const s of lowering.scratches) {
    intervals.push({ id: `s${s.scratch}`, name: `${s.node} scratch`, kind: 'scratch', bytes: roundUp(s.bytes, BINDING_ALIGN), from: s.at, to: s.at });
  }
  const arena = assignArena(intervals, facts.limits.maxBufferSize);
  const placed = new Map(intervals.map((x, i) => [x.id, arena.places[i]]));

  // Leaves: data and constants each lie in one buffer.
  const data: Slot[] = [];
  const constants: (Slot & { contents: Float32Array | Uint32Array | Int32Array })[] = [];
  let dataBytes = 0;
  let constantBytes = 0;
  const leafRefs = new Map<number, BufferRef>();
  for (const node of live) {
    if (!isLeaf(node)) continue;
    const [v] = node.outputs;
    const name = String(node.attrs.name ?? node.attrs.buffer);
    const bytes = roundUp(Math.max(4, byteSize(v)), BINDING_ALIGN);
    if (node.op === DATA) {
      const ref = { buffer: 'data', offset: dataBytes, bytes: byteSize(v) };
      data.push({ name, shape: v.shape, dtype: v.dtype, ref });
      leafRefs.set(v.id, ref);
      dataBytes += bytes;
    } else if (node.op === CONSTANT) {
      const contents = graph.constants.get(name);
      invariant(contents, `constant ${name} has contents`);
      const ref = { buffer: 'constants', offset: constantBytes, bytes: byteSize(v) };
      constants.push({ name, shape: v.shape, dtype: v.dtype, ref, contents });
      leafRefs.set(v.id, ref);
      constantBytes += bytes;
    } else if (node.attrs.buffer !== undefined) {
      leafRefs.set(v.id, { buffer: name, offset: Number(node.attrs.from ?? 0) * dtypeBytes(v.dtype), bytes: byteSize(v) });
    } else {
      invariant(graph.states, 'a state leaf needs states');
      const place = graph.states.place(name);
      invariant(!graph.states.buffer(place.buffer)?.sharded, `state ${name} lies whole on this rank`);
      leafRefs.set(v.id, { buffer: place.buffer, offset: place.offset, bytes: place.bytes });
    }
  }
  const refOfHome = (id: string, bytes: number): BufferRef => {
    const place = placed.get(id);
    invariant(place, `memory of ${id} is assigned`);
    return { buffer: `arena/${place.page}`, offset: place.offset, bytes };
  };
  const refOf = (v: Value): BufferRef => {
    const home = homeOf(v);
    return leafRefs.get(home) ?? refOfHome(`v${home}`, byteSize(v));
  };

  const commands = lowering.commands.map((c) => c.resolve(refOf, (s) => refOfHome(`s${s.scratch}`, s.bytes)));
  for (const c of commands) if (c.kind === 'dispatch') checkBindings(c, facts, options.sourceOf);
  const slots = outputs.map(([name, v]) => ({ name, shape: v.shape, dtype: v.dtype, ref: refOf(v) }));
  return {
    name: options.name ?? 'graph',
    commands,
    states: graph.states,
    data,
    outputs: slots,
    constants,
    arena: arena.pages,
    dataBytes,
    uniformBytes: commands.filter((c) => c.kind === 'dispatch').length * UNIFORM_STRIDE,
    exchangeBytes: exchangeBytes(commands),
    communicates: commands.some((c) => c.kind === 'exchange'),
    stagingBytes: slots.reduce((sum, s) => sum + roundUp(s.ref.bytes, 8), 0),
    lifetimes: intervals.map((x, i) => ({ name: x.name, kind: x.kind, bytes: x.bytes, ...arena.places[i], from: x.from, to: x.to })),
    sequence: sequence.map((n) => ({ op: n.op.name, segment: n.segment, phase: n.phase })),
    flops: sequence.reduce((sum, n) => sum + n.op.cost(n).flops, 0),
    facts,
  };
}

/** Bytes of the buffer through which the collectives of a plan leave the device. */
function exchangeBytes(commands: readonly Command[]): number {
  const sizes = commands.flatMap((c) => (c.kind === 'exchange' ? [sentRanges(c.move).reduce((sum, r) => sum + r.bytes, 0)] : []));
  return roundUp(Math.min(EXCHANGE_BYTES, Math.max(0, ...sizes)), BINDING_ALIGN);
}

/** Refuses at plan time what WebGPU would refuse (or worse, drop) at run time. */
function checkBindings(c: Extract<Command, { kind: 'dispatch' }>, facts: DeviceFacts, sourceOf?: SourceOf): void {
  const kernel = expandKernel(c.kernel, c.switches, sourceOf);
  const where = `${c.node} (${c.kernel})`;
  const bound = Object.entries(c.bind);
  const missing = kernel.bindings.filter((b) => !(b.name in c.bind)).map((b) => b.name);
  const extra = bound.map(([name]) => name).filter((name) => !kernel.bindings.some((b) => b.name === name));
  invariant(missing.length === 0 && extra.length === 0, `${where}: bindings missing [${missing}], unknown [${extra}]`);
  const unset = kernel.params.filter((p) => !(p.name in c.params)).map((p) => p.name);
  const unknown = Object.keys(c.params).filter((name) => !kernel.params.some((p) => p.name === name));
  invariant(unset.length === 0 && unknown.length === 0, `${where}: params missing [${unset}], unknown [${unknown}]`);
  for (const [i, [name, ref]] of bound.entries()) {
    invariant(ref.offset % BINDING_ALIGN === 0, `${where}: binding ${name} at offset ${ref.offset}`);
    if (ref.bytes > facts.limits.maxStorageBufferBindingSize) {
      throw new ScionError(
        'plan',
        `${where}: binding ${name} needs ${ref.bytes} bytes, this device binds ${facts.limits.maxStorageBufferBindingSize}; this op takes no row windows there`,
      );
    }
    for (const [other, o] of bound.slice(i + 1)) {
      const overlap = o.buffer === ref.buffer && o.offset < ref.offset + ref.bytes && ref.offset < o.offset + o.bytes;
      invariant(!overlap, `${where}: bindings ${name} and ${other} overlap in ${ref.buffer}`);
    }
  }
  if (bound.length > facts.limits.maxStorageBuffersPerShaderStage) {
    throw new ScionError('plan', `${where}: needs ${bound.length} storage buffers, this device has ${facts.limits.maxStorageBuffersPerShaderStage}`);
  }
}
