/**
 * Tensors that live across runs: parameters, 16-bit weights, gradients, moments, KV cache, step
 * state. Each (kind, group) is one flat buffer, cut into parts at `maxBufferSize`; tensors lie in it in
 * the order they were declared, at multiples of 128 elements, so that the same element offset is a
 * legal binding offset in f32 and in f16 and all kinds of one group share one layout.
 */
import { invariant, ScionError } from '../base/errors.ts';
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
  /** Elements including the gaps between tensors. */
  readonly elements: number;
  readonly bytes: number;
}

/** Where a state lies. */
export interface StatePlace {
  readonly buffer: string;
  /** Bytes from the buffer's start. */
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

  declare(name: string, kind: StateKind, group: string, shape: Shape, dtype: DType = 'f32'): StateSpec {
    invariant(!this.frozen, `state "${name}" declared after freeze`);
    if (this.specs.has(name)) throw new ScionError('internal', `state "${name}" is declared twice`);
    const spec = { name, kind, group, shape, dtype };
    this.specs.set(name, spec);
    return spec;
  }

  /** Lays out all buffers under a device's limits. */
  freeze(facts: DeviceFacts): this {
    invariant(!this.frozen, 'states are frozen already');
    this.frozen = true;
    const open = new Map<string, { part: number; elements: number; names: string[]; dtype: DType; kind: StateKind; group: string }>();
    const close = (id: string) => {
      const at = open.get(id);
      if (!at) return;
      const key = `${id}/${at.part}`;
      this.buffersByKey.set(key, { key, kind: at.kind, group: at.group, dtype: at.dtype, elements: at.elements, bytes: at.elements * dtypeBytes(at.dtype) });
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
