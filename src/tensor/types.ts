/**
 * Element types and shapes. A shape is a capacity: real lengths are step data. Storage has no
 * padding between rows; a tensor's bytes are rounded up to whole words only at its end.
 */
import { ScionError } from '../base/errors.ts';

/** Element types as stored on the device. f16 lives as 16-bit halves of words; arithmetic is f32. */
export type DType = 'f32' | 'f16' | 'u32' | 'i32';

export type Shape = readonly number[];

/** Shape and dtype of one tensor. */
export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** What a binding's offset must be a multiple of, on every device. */
export const BINDING_ALIGN = 256;

const SIZES: Record<DType, number> = { f32: 4, f16: 2, u32: 4, i32: 4 };

export function dtypeBytes(dtype: DType): number {
  return SIZES[dtype];
}

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  let n = 1;
  for (const d of shape) n *= d;
  return n;
}

/** Bytes of a tensor, rounded up to a whole 32-bit word. */
export function byteSize(type: TensorType): number {
  return Math.ceil((sizeOf(type.shape) * dtypeBytes(type.dtype)) / 4) * 4;
}

/** `f32[2, 3]`, for messages. */
export function typeName(type: TensorType): string {
  return `${type.dtype}[${type.shape.join(', ')}]`;
}

/** Number of rows and row length when all but the last axis are folded together. */
export function rowsOf(shape: Shape): { rows: number; width: number } {
  const width = shape.length === 0 ? 1 : shape[shape.length - 1];
  return { rows: width === 0 ? 0 : sizeOf(shape) / width, width };
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}

/** Fails with the op's name, the rule and the values found (design section 3). */
export function require_(op: string, holds: boolean, rule: string, found: readonly TensorType[] | string): asserts holds {
  if (holds) return;
  const values = typeof found === 'string' ? found : found.map(typeName).join(', ');
  throw new ScionError('plan', `${op}: ${rule}; got ${values}`);
}

export function roundUp(n: number, multiple: number): number {
  return Math.ceil(n / multiple) * multiple;
}
