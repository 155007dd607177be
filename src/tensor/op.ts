/**
 * What an op is: six parts (infer, grad, lower, cost, place, reference) and two facts about its
 * outputs. One file an op in `ops/`; nothing else in the house knows how any of them computes.
 */

import type { Switches } from '../gpu/expand.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import type { Move } from './exchange.ts';
import type { Attrs, Node, Value } from './graph.ts';
import type { Shape, TensorType } from './types.ts';

/** A float64 tensor of the reference interpreter; integers are held as numbers too. */
export interface RefTensor {
  readonly shape: Shape;
  readonly data: Float64Array;
}

/** Step scalars of one run, by name. */
export type StepScalars = Readonly<Record<string, number>>;

/** A uniform field: a number, or computed from the step's scalars at each run. */
export type ParamValue = number | ((step: StepScalars) => number);

/** Workgroup counts; each at most 65,535 (fold with `foldGrid`). */
export type Grid = readonly [number, number, number] | ((step: StepScalars) => readonly [number, number, number]);

/** Scratch memory that lives for one node. */
export interface Scratch {
  readonly scratch: number;
  readonly bytes: number;
}

/** Part of a tensor's or scratch's bytes; offset a multiple of 256. */
export interface Slice {
  readonly of: Value | Scratch;
  readonly offset: number;
  readonly bytes: number;
}

/** What a kernel binding may be. */
export type Operand = Value | Scratch | Slice;

/** One kernel launch. A binding whose tensor is f16 sets the switch NAME_F16 by itself. */
export interface DispatchSpec {
  readonly kernel: string;
  readonly entry?: string;
  readonly switches?: Switches;
  readonly constants?: Readonly<Record<string, number>>;
  readonly bind: Readonly<Record<string, Operand>>;
  readonly params?: Readonly<Record<string, ParamValue>>;
  readonly grid: Grid;
  /** Of this launch, for the roofline; by default the node's cost is split evenly. */
  readonly flops?: number;
  readonly bytes?: number;
}

/** A bindable run of rows of a large tensor. */
export interface Window {
  readonly row: number;
  readonly rows: number;
  readonly slice: Slice;
}

/** What `lower` works with. */
export interface Lowering {
  readonly facts: DeviceFacts;
  dispatch(spec: DispatchSpec): void;
  /** Zeroes a tensor, or part of its bytes (both multiples of 4). */
  clear(value: Value, part?: { readonly offset: number; readonly bytes: number }): void;
  scratch(bytes: number): Scratch;
  /** The row windows of a tensor [rows, ...] under this device's binding limit; one window if it fits. */
  windows(value: Value): Window[];
  /** Rows [row, row + rows) of a tensor as a slice; the offset must be a multiple of 256. */
  rows(of: Value | Scratch, rowBytes: number, row: number, rows: number): Slice;
  /** True if output `index` adds to what its memory holds. */
  accumulates(index: number): boolean;
  /** Begins a collective after the launches so far; gives its number. Its memory must rest until it has been awaited. */
  exchange(move: Move<Slice>): number;
  /** Waits for a collective: launches that follow find its bytes in place. */
  await(id: number): void;
  /** Notes that this value is on its way in a collective; `end` of the same value awaits that. */
  begin(value: Value, id: number): void;
  end(value: Value): void;
}

/** What `grad` works with: adjoints in, contributions out. */
export interface GradContext {
  /** The adjoint of output `index`; null if no gradient reaches it. */
  adjoint(index: number): Value | null;
  /**
   * The adjoint of output `index` as a tensor that may be added to in place (a copy where another value
   * still needs it as it is); null if no gradient reaches it. For ops that pass an adjoint on, grown.
   */
  adjointInto(index: number): Value | null;
  /** True if input `index` leads to something that is differentiated. */
  wants(index: number): boolean;
  /**
   * Contributes to the adjoints of the given inputs. `make` gets, for each, the adjoint so far (to be
   * passed on as `into`) or null, and gives the new ones. A sum of adjoints is thus the accumulate flag of
   * the kernel that makes the later one, never an `add`.
   */
  contribute(inputs: readonly number[], make: (into: readonly (Value | null)[]) => readonly Value[]): void;
}

/**
 * How an op may be split over a mesh axis: `row` splits along leading axes with everything,
 * `local` computes on each rank's part without communication, `reduce` leaves partial sums that need
 * an all-reduce, `replicated` must see whole tensors. Attributes of sharding live with `src/shard`.
 */
export interface PlaceRule {
  readonly rule: 'leaf' | 'elementwise' | 'rows' | 'contract' | 'heads' | 'vocab' | 'replicated' | 'collective';
  /** Which inputs carry the token rows (split under dp and sp). */
  readonly rows?: readonly number[];
  /** Collective that joins partial results when the named dimension is split. */
  readonly joins?: Readonly<Record<string, 'all-reduce' | 'all-gather' | 'reduce-scatter'>>;
}

/** FLOPs and bytes moved, for the roofline, MFU and the time estimate. */
export interface Cost {
  readonly flops: number;
  readonly bytes: number;
}

/** An operation. */
export interface Op {
  readonly name: string;
  /** Shape and dtype rule; errors name the op, what must hold, and the values. */
  infer(inputs: readonly TensorType[], attrs: Attrs): TensorType[];
  /** Vector-Jacobian product as graph nodes; absent where no gradient exists. */
  grad?(g: GradContext, node: Node): void;
  lower(l: Lowering, node: Node): void;
  cost(node: Node): Cost;
  readonly place: PlaceRule;
  /** Plain float64 on the CPU: the only oracle. */
  reference(inputs: readonly RefTensor[], attrs: Attrs, outputs: readonly TensorType[]): Float64Array[];
  /** Outputs that can add to an existing tensor instead of writing a fresh one. */
  readonly accumulates?: readonly boolean[];
  /** [output, input] pairs that may share memory when the input is not needed afterwards. */
  readonly inPlace?: readonly (readonly [number, number])[];
  /** [output, input] pairs that always share memory: the op updates a state. */
  readonly updates?: readonly (readonly [number, number])[];
  /** True if it is done for what it does elsewhere (a part in a collective), and so never dropped. */
  readonly effects?: boolean;
  /** True if recomputing it is cheap beside storing its output (norms, rotations, activations). */
  readonly cheap?: boolean;
}

/** Splits n workgroups over x and y, since one axis holds at most 65,535; kernels rebuild y * X + x. */
export function foldGrid(n: number, z = 1): readonly [number, number, number] {
  if (n <= 65535) return [Math.max(1, n), 1, z];
  const x = Math.min(65535, Math.ceil(Math.sqrt(n)));
  return [x, Math.ceil(n / x), z];
}
