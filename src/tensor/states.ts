/**
 * Tensors that live across runs: parameters, 16-bit weights, gradients, moments, KV cache, step
 * state. Each (kind, group) is one flat buffer, cut into parts at `maxBufferSize`; tensors lie in it in
 * the order they were declared, at multiples of 128 elements, so that the same element offset is a
 * legal binding offset in f32 and in f16 and all kinds of one group share one layout.
 */
import { invariant, ScionError } from '../base/errors.ts';
import { shardBounds } from '../comm/collectives.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import { byteSize, type DType, dtypeBytes, roundUp, type Shape, sizeOf, type TensorType, typeName } from './types.ts';

/** What a state is for; one kind, one dtype within a group. */
export type StateKind = 'param' | 'weight' | 'grad' | 'moment1' | 'moment2' | 'ema' | 'cache' | 'step' | 'other';

/** A declared state. */
export interface StateSpec extends TensorType {
  readonly name: string;
  readonly kind: StateKind;
  /** Tensors of one group are updated together: `decay`, `plain`, `frozen`, ... */
  readonly group: string;
}

/** One buffer of states. */
export interface StateBuffer {
  /** `kind/group/part`. */
  readonly key: string;
  readonly kind: StateKind;
  readonly group: string;
  readonly dtype: DType;
  /** Elements on this rank, including the gaps between tensors. */
  readonly elements: number;
  readonly bytes: number;
  /** True where this rank holds the elements from `from` on alone, of `whole` in all. */
  readonly sharded: boolean;
  readonly from: number;
  readonly whole: number;
}

/** Which states are cut over the ranks of an axis (ZeRO), and where this rank stands on it. */
export interface Sharding {
  readonly axis: string;
  readonly ranks: number;
  readonly rank: number;
  /** True for the kinds of a group that are cut; `half`: the group has 16-bit copies beside its f32 masters. */
  cuts(kind: StateKind, group: string, half: boolean): boolean;
}

/** Where a state lies. */
export interface StatePlace {
  readonly buffer: string;
  /** Bytes from the start of the buffer's whole layout. */
  readonly offset: number;
  readonly bytes: number;
}

const ALIGN = 128;

/** The states of a model and its optimizer. Declare, freeze for a device, then trace and plan. */
export class States {
  private readonly specs = new Map<string, StateSpec>();
  private readonly places = new Map<string, StatePlace>();
  private readonly buffersByKey = new Map<string, StateBuffer>();
  private frozen = false;
  /** How states are cut over ranks; null where each lies whole. */
  sharding: Sharding | null = null;

  declare(name: string, kind: StateKind, group: string, shape: Shape, dtype: DType = 'f32'): StateSpec {
    invariant(!this.frozen, `state "${name}" declared after freeze`);
    if (this.specs.has(name)) throw new ScionError('internal', `state "${name}" is declared twice`);
    const spec = { name, kind, group, shape, dtype };
    this.specs.set(name, spec);
    return spec;
  }

  /** Lays out all buffers under a device's limits; with `sharding` only this rank's elements of what it cuts. */
  freeze(facts: DeviceFacts, sharding: Sharding | null = null): this {
    invariant(!this.frozen, 'states are frozen already');
    this.frozen = true;
    this.sharding = sharding;
    const halves = new Set([...this.specs.values()].filter((s) => s.kind === 'weight').map((s) => s.group));
    const open = new Map<string, { part: number; elements: number; names: string[]; dtype: DType; kind: StateKind; group: string }>();
    const close = (id: string) => {
      const at = open.get(id);
      if (!at) return;
      const key = `${id}/${at.part}`;
      const { kind, group, dtype, elements: whole } = at;
      const sharded = sharding?.cuts(kind, group, halves.has(group)) ?? false;
      const bounds = sharded && sharding ? shardBounds(whole, sharding.ranks) : [0, whole];
      const [from, to] = sharded && sharding ? [bounds[sharding.rank], bounds[sharding.rank + 1]] : bounds;
      this.buffersByKey.set(key, { key, kind, group, dtype, elements: to - from, bytes: (to - from) * dtypeBytes(dtype), sharded, from, whole });
    };
    for (const spec of this.specs.values()) {
      const id = `${spec.kind}/${spec.group}`;
      const size = dtypeBytes(spec.dtype);
      const elements = roundUp(Math.max(1, sizeOf(spec.shape)), ALIGN);
      if (elements * size > facts.limits.maxBufferSize) {
        throw new ScionError(
          'memory',
          `state "${spec.name}" ${typeName(spec)} needs ${byteSize(spec)} bytes, one buffer of this device holds ${facts.limits.maxBufferSize}`,
        );
      }
      let at = open.get(id);
      if (!at) {
        at = { part: 0, elements: 0, names: [], dtype: spec.dtype, kind: spec.kind, group: spec.group };
        open.set(id, at);
      }
      invariant(at.dtype === spec.dtype, `${id} mixes ${at.dtype} and ${spec.dtype}`);
      // f32 decides the cut even for 16-bit kinds, so that all kinds of a group are cut alike.
      if ((at.elements + elements) * 4 > facts.limits.maxBufferSize && at.elements > 0) {
        close(id);
        at.part++;
        at.elements = 0;
      }
      this.places.set(spec.name, { buffer: `${id}/${at.part}`, offset: at.elements * size, bytes: byteSize(spec) });
      at.elements += elements;
    }
    for (const id of open.keys()) close(id);
    return this;
  }

  get(name: string): StateSpec | undefined {
    return this.specs.get(name);
  }

  /** All specs, in declaration order. */
  all(): StateSpec[] {
    return [...this.specs.values()];
  }

  place(name: string): StatePlace {
    const place = this.places.get(name);
    if (!place) throw new ScionError('internal', `state "${name}" has no place; freeze the states first`);
    return place;
  }

  buffer(key: string): StateBuffer | undefined {
    return this.buffersByKey.get(key);
  }

  buffers(): StateBuffer[] {
    return [...this.buffersByKey.values()];
  }
}
