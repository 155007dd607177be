/**
 * Element types as files name them, their widths, and the way from and to f32. All formats here
 * are little-endian, as is every machine WebGPU runs on, so typed arrays read them in place.
 */
import { ScionError } from '../base/errors.ts';
import { bfloatToFloat, floatToBfloat, floatToHalf, halfToFloat } from '../base/half.ts';

/**
 * Bits an element, by safetensors name, in the reference implementation's order, which is also the
 * order (reversed) in which its writer lays tensors out. Widths below a byte are packed without gaps.
 */
export const DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** An element type a file may name. */
export type FileDtype = keyof typeof DTYPE_BITS;

/** The types that `decodeF32` reads. */
export type FloatDtype = 'F32' | 'F16' | 'BF16' | 'F64';

export function isFileDtype(name: string): name is FileDtype {
  return Object.hasOwn(DTYPE_BITS, name);
}

/** The buffer behind bytes, copied only where it is shared or its offset does not fit the width. */
function aligned(bytes: Uint8Array, width: number): { buffer: ArrayBuffer; offset: number } {
  if (bytes.buffer instanceof ArrayBuffer && bytes.byteOffset % width === 0) return { buffer: bytes.buffer, offset: bytes.byteOffset };
  const copy = bytes.slice();
  return { buffer: copy.buffer, offset: 0 };
}

/**
 * f32 values of little-endian bytes. F32 may share memory with `bytes`; F64 rounds to nearest.
 * A ScionError of kind `input` for a type that is no float.
 */
export function decodeF32(bytes: Uint8Array, dtype: string, what: string): Float32Array<ArrayBuffer> {
  if (dtype === 'F32') {
    const { buffer, offset } = aligned(bytes, 4);
    return new Float32Array(buffer, offset, bytes.length / 4);
  }
  if (dtype === 'F16' || dtype === 'BF16') {
    const { buffer, offset } = aligned(bytes, 2);
    const halves = new Uint16Array(buffer, offset, bytes.length / 2);
    return dtype === 'F16' ? halfToFloat(halves) : bfloatToFloat(halves);
  }
  if (dtype === 'F64') {
    const { buffer, offset } = aligned(bytes, 8);
    return new Float32Array(new Float64Array(buffer, offset, bytes.length / 8));
  }
  throw new ScionError('input', `${what} holds ${dtype}, which is not read as f32; F32, F16, BF16 and F64 are`, { dtype });
}

/** Little-endian bytes of f32 values in the named type, rounded to nearest even; F32 shares memory. */
export function encodeF32(values: Float32Array, dtype: 'F32' | 'F16' | 'BF16'): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return new Uint8Array((dtype === 'F16' ? floatToHalf(values) : floatToBfloat(values)).buffer);
}
