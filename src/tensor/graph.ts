/**
 * The graph that model code builds, once: nodes of (op, inputs, attributes, shape, dtype), leaves
 * for states (live across runs), step data (uploaded each run) and constants. Nodes are kept in the
 * order they were made, which is also the order they run in.
 */
import { ScionError } from '../base/errors.ts';
import type { Op } from './op.ts';
import type { StateSpec, States } from './states.ts';
import { type DType, type Shape, sameShape, sizeOf, type TensorType, typeName } from './types.ts';

/** A number known at planning, or the name of a step scalar that each run supplies. */
export type Scalar = number | { readonly step: string };

export type AttrValue = Scalar | string | boolean | readonly number[] | undefined;
export type Attrs = Readonly<Record<string, AttrValue>>;

/** Where in a step a node belongs; recomputed nodes are `backward`. */
export type Phase = 'forward' | 'backward' | 'update';

/** One output of a node. */
export interface Value extends TensorType {
  readonly id: number;
  readonly node: Node;
  readonly index: number;
}

/** One operation. `into[k]`: the tensor that output k adds to in place, or null. */
export interface Node {
  readonly id: number;
  readonly graph: Graph;
  readonly op: Op;
  readonly inputs: readonly Value[];
  readonly attrs: Attrs;
  readonly outputs: readonly Value[];
  readonly into: readonly (Value | null)[];
  readonly segment: string;
  readonly phase: Phase;
}

/** The contents of a constant leaf. */
export type ConstantData = Float32Array | Uint32Array | Int32Array;

const leaf = (name: string): Op => ({
  name,
  infer: () => {
    throw new ScionError('internal', `${name} is a leaf; it is made by Graph`);
  },
  lower: () => {},
  cost: () => ({ flops: 0, bytes: 0 }),
  place: { rule: 'leaf' },
  reference: () => {
    throw new ScionError('internal', `${name} is a leaf; feed it`);
  },
});

/** Leaf ops; compared by identity. */
export const STATE = leaf('state');
export const DATA = leaf('data');
export const CONSTANT = leaf('constant');

/** A graph under construction. */
export class Graph {
  readonly states: States | null;
  nodes: Node[] = [];
  readonly constants = new Map<string, ConstantData>();
  private readonly leaves = new Map<string, Value>();
  private nextNode = 0;
  private nextValue = 0;
  private currentSegment = '';
  private currentPhase: Phase = 'forward';

  constructor(states: States | null = null) {
    this.states = states;
  }

  /** Adds a node and gives its outputs. `into` per output: an earlier tensor to add to in place. */
  apply(op: Op, inputs: readonly Value[], attrs: Attrs = {}, into: readonly (Value | null)[] = []): Value[] {
    for (const input of inputs) {
      if (input.node.graph !== this) throw new ScionError('internal', `${op.name}: an input belongs to another graph`);
    }
    const types = op.infer(inputs, attrs);
    return this.make(op, inputs, attrs, types, into);
  }

  /** As `apply` for an op with one output. */
  apply1(op: Op, inputs: readonly Value[], attrs: Attrs = {}, into: Value | null = null): Value {
    return this.apply(op, inputs, attrs, [into])[0];
  }

  private make(op: Op, inputs: readonly Value[], attrs: Attrs, types: readonly TensorType[], into: readonly (Value | null)[]): Value[] {
    const outputs: Value[] = [];
    const node: Node = {
      id: this.nextNode++,
      graph: this,
      op,
      inputs,
      attrs,
      outputs,
      into: types.map((_, i) => into[i] ?? null),
      segment: this.currentSegment,
      phase: this.currentPhase,
    };
    types.forEach((type, index) => {
      const target = node.into[index];
      if (target && !op.accumulates?.[index]) throw new ScionError('internal', `${op.name}: output ${index} cannot add to an existing tensor`);
      if (target && sizeOf(target.shape) !== sizeOf(type.shape)) {
        throw new ScionError('internal', `${op.name}: output ${index} is ${typeName(type)} but adds to ${typeName(target)}`);
      }
      outputs.push({ id: this.nextValue++, node, index, shape: type.shape, dtype: target ? target.dtype : type.dtype });
    });
    this.nodes.push(node);
    return outputs;
  }

  /** A copy of a node on other inputs, for recomputation; the caller puts it into `nodes`. */
  clone(node: Node, inputs: readonly Value[], phase: Phase): Node {
    const outputs: Value[] = [];
    const twin: Node = { ...node, id: this.nextNode++, inputs, outputs, phase, into: node.into.map(() => null) };
    for (const o of node.outputs) outputs.push({ id: this.nextValue++, node: twin, index: o.index, shape: o.shape, dtype: o.dtype });
    return twin;
  }

  private leafOnce(key: string, op: Op, attrs: Attrs, type: TensorType): Value {
    const known = this.leaves.get(key);
    if (known) {
      if (!sameShape(known.shape, type.shape) || known.dtype !== type.dtype) {
        throw new ScionError('internal', `${key} is ${typeName(known)}, asked for again as ${typeName(type)}`);
      }
      return known;
    }
    const [value] = this.make(op, [], attrs, [type], []);
    this.leaves.set(key, value);
    return value;
  }

  /** A tensor that lives across runs, declared in the graph's `States`. */
  state(name: string): Value {
    const spec: StateSpec | undefined = this.states?.get(name);
    if (!spec) throw new ScionError('internal', `no state "${name}" was declared`);
    return this.leafOnce(`state ${name}`, STATE, { name }, spec);
  }

  /** A whole buffer of states as one flat vector (the optimizer's view). */
  stateBuffer(key: string): Value {
    const buffer = this.states?.buffer(key);
    if (!buffer) throw new ScionError('internal', `no state buffer "${key}"; freeze the states first`);
    return this.leafOnce(`buffer ${key}`, STATE, { buffer: key }, { shape: [buffer.elements], dtype: buffer.dtype });
  }

  /** Elements from <= i < to of a buffer of states, counted in its whole layout; they must lie on this rank and begin at a multiple of 128. */
  stateRange(key: string, from: number, to: number): Value {
    const buffer = this.states?.buffer(key);
    const held = buffer !== undefined && from >= buffer.from && from < to && to <= buffer.from + buffer.elements;
    if (!held) throw new ScionError('internal', `elements ${from} to ${to} of state buffer "${key}" are not on this rank`);
    return this.leafOnce(`range ${key} ${from} ${to}`, STATE, { buffer: key, from: from - buffer.from }, { shape: [to - from], dtype: buffer.dtype });
  }

  /** Step data: the host uploads it with each run. */
  data(name: string, shape: Shape, dtype: DType): Value {
    return this.leafOnce(`data ${name}`, DATA, { name }, { shape, dtype });
  }

  /** A constant table, uploaded once a session. Equal names must hold equal contents. */
  constant(name: string, shape: Shape, contents: ConstantData): Value {
    const dtype: DType = contents instanceof Float32Array ? 'f32' : contents instanceof Uint32Array ? 'u32' : 'i32';
    this.constants.set(name, contents);
    return this.leafOnce(`constant ${name}`, CONSTANT, { name }, { shape, dtype });
  }

  /** Nodes made inside `build` belong to a segment: the unit of recomputation, usually a layer. */
  segment<T>(name: string, build: () => T): T {
    const outer = this.currentSegment;
    this.currentSegment = name;
    try {
      return build();
    } finally {
      this.currentSegment = outer;
    }
  }

  /** Nodes made inside `build` belong to a phase of the step. */
  phase<T>(phase: Phase, build: () => T): T {
    const outer = this.currentPhase;
    this.currentPhase = phase;
    try {
      return build();
    } finally {
      this.currentPhase = outer;
    }
  }
}

export function isLeaf(node: Node): boolean {
  return node.op === STATE || node.op === DATA || node.op === CONSTANT;
}

/** The same tensor under another shape of equal size; costs nothing and adds no node. */
export function view(value: Value, shape: Shape): Value {
  if (sizeOf(shape) !== sizeOf(value.shape)) throw new ScionError('plan', `view: ${typeName(value)} cannot be seen as [${shape.join(', ')}]`);
  return sameShape(shape, value.shape) ? value : { ...value, shape };
}

/** The value whose memory this one shares: followed through `into` and through state updates. */
export function rootOf(value: Value): Value {
  let at = value;
  for (;;) {
    const update = at.node.op.updates?.find(([output]) => output === at.index);
    const base = at.node.into[at.index] ?? (update ? at.node.inputs[update[1]] : null);
    if (!base) return at;
    at = base;
  }
}
