/**
 * What a checkpoint asks of the machine that holds the states: raw bytes of a state buffer, out and
 * in. Two functions instead of a session, so that every fault test runs without a GPU. Also decides
 * which states belong into a checkpoint: what can be made again (16-bit copies of f32 masters, caches,
 * gradients, which are zero between steps) stays out.
 */
import { floatToHalf } from '../base/half.ts';
import type { FileDtype } from '../formats/dtypes.ts';
import { weightName } from '../nn/parameters.ts';
import type { StateKind, StateSpec, States } from '../tensor/states.ts';
import { type DType, dtypeBytes, type Shape, sizeOf } from '../tensor/types.ts';

/** Holder of state buffers; `Session` of src/tensor is one. Offsets and lengths in bytes, multiples of 4 but for the last. */
export interface StateStore {
  readBytes(key: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Takes the bytes at once; `readBytes` of the same buffer gives them back. */
  writeBytes(key: string, offset: number, bytes: Uint8Array): void;
  /** Zeroes every state of a kind. */
  clearKind(kind: string): void;
}

/**
 * States of which this rank has a part because a tensor is split (tensor parallel): checkpoints hold the whole ones. f32 states alone are split.
 */
export interface SplitStates {
  /** The whole state's shape; null where it is not split. */
  wholeShape(state: string): Shape | null;
  /** f32 values of a whole state, on every rank. Collective. */
  readWhole(state: string): Promise<Float32Array>;
  /** This rank's part of a whole state's values. */
  cutWhole(state: string, values: Float32Array): Float32Array<ArrayBuffer>;
}

/** Bytes that go through memory at a time. A multiple of 4, no larger than a session's transfer buffer. */
export const PIECE_BYTES = 4 << 20;

/** Name of an element type in a file. */
export const FILE_DTYPE: Readonly<Record<DType, FileDtype>> = { f32: 'F32', f16: 'F16', u32: 'U32', i32: 'I32' };

/** Kinds in the order of their files; `cache` never is saved. */
const FILE_ORDER: readonly StateKind[] = ['param', 'weight', 'moment1', 'moment2', 'ema', 'step', 'other', 'grad'];

/** The file that holds the states of a kind. */
export const kindFile = (kind: StateKind): string => `${kind}.safetensors`;

/** The 16-bit copy that is made again from a parameter, or null. */
export function derivedWeight(states: States, spec: StateSpec): StateSpec | null {
  if (spec.kind !== 'param' || spec.dtype !== 'f32') return null;
  const copy = states.get(weightName(spec.name));
  return copy?.kind === 'weight' && copy.dtype === 'f16' ? copy : null;
}

/** The states that a checkpoint keeps, by kind, in the order of their files. */
export function savedStates(states: States, gradients: boolean): Map<StateKind, StateSpec[]> {
  const all = states.all();
  const derived = new Set(all.map((spec) => derivedWeight(states, spec)?.name));
  const out = new Map<StateKind, StateSpec[]>();
  for (const kind of FILE_ORDER) {
    if (kind === 'grad' && !gradients) continue;
    const specs = all.filter((spec) => spec.kind === kind && !derived.has(spec.name));
    if (specs.length > 0) out.set(kind, specs);
  }
  return out;
}

/** Bytes of a state's numbers; its place may be rounded up to a word. */
export const exactBytes = (spec: StateSpec): number => sizeOf(spec.shape) * dtypeBytes(spec.dtype);

/** The bytes of a state that lie on this rank, counted from its first. */
export function heldBytes(states: States, spec: StateSpec): { from: number; to: number } {
  const { buffer: key, offset } = states.place(spec.name);
  const buffer = states.buffer(key);
  const bytes = exactBytes(spec);
  if (!buffer?.sharded) return { from: 0, to: bytes };
  const first = buffer.from * dtypeBytes(spec.dtype) - offset;
  return { from: Math.min(bytes, Math.max(0, first)), to: Math.max(0, Math.min(bytes, first + buffer.bytes)) };
}

/** The bytes of a state, or those from <= i < to of it, in pieces. They must lie on this rank. */
export async function* readPieces(
  store: StateStore,
  states: States,
  spec: StateSpec,
  range = { from: 0, to: exactBytes(spec) },
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const { buffer, offset } = states.place(spec.name);
  for (let at = range.from; at < range.to; at += PIECE_BYTES) yield store.readBytes(buffer, offset + at, Math.min(PIECE_BYTES, range.to - at));
}

/**
 * f16 bits of f32 bytes, nearest even: the integer rounding that the optimizer's kernel does, so a copy made
 * here equals the one the device made.
 */
export function halfBytes(floats: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(floatToHalf(new Float32Array(floats.buffer, floats.byteOffset, floats.byteLength / 4)).buffer);
}
