/**
 * Flags packed eight to a byte, lowest bit first, and little-endian numbers as bytes: the two shapes in which token
 * files hold what they hold. A run of flags rarely begins at a byte's border, so readers say where it begins.
 */

/** Bytes that hold `count` flags. */
export const bitBytes = (count: number): number => (count + 7) >> 3;

/** The flag at `index`, 0 or 1. */
export const bitAt = (bits: Uint8Array, index: number): number => (bits[index >> 3] >> (index & 7)) & 1;

/** Sets `count` flags from `at` on. */
export function setBits(bits: Uint8Array, at: number, count: number): void {
  for (let i = at; i < at + count; i++) bits[i >> 3] |= 1 << (i & 7);
}

/** Copies `count` flags and gives how many of them were set. The target's flags must be clear. */
export function copyBits(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, count: number): number {
  let set = 0;
  for (let i = 0; i < count; i++) {
    if (bitAt(from, fromAt + i) === 0) continue;
    set++;
    to[(toAt + i) >> 3] |= 1 << ((toAt + i) & 7);
  }
  return set;
}

/** The bytes of a typed array, without a copy. Every host that runs scion is little-endian. */
export function bytesOf(values: Uint8Array | Uint16Array | Uint32Array | Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Token ids of either width. */
export type Tokens = Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
export type TokenDtype = 'U16' | 'U32';

/** The narrower type that holds every id of a vocabulary. */
export const tokenDtype = (vocabSize: number): TokenDtype => (vocabSize <= 0x10000 ? 'U16' : 'U32');

export const tokenWidth = (dtype: TokenDtype): 2 | 4 => (dtype === 'U16' ? 2 : 4);

export const newTokens = (dtype: TokenDtype, length: number): Tokens => (dtype === 'U16' ? new Uint16Array(length) : new Uint32Array(length));

/** Bytes as ids, sharing memory. The bytes begin at the start of their buffer, as everything read from a file does. */
export function tokensOf(bytes: Uint8Array<ArrayBuffer>, dtype: TokenDtype): Tokens {
  return dtype === 'U16'
    ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
    : new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** Bytes as u32, sharing memory. */
export const wordsOf = (bytes: Uint8Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);

/** Bytes as u16, sharing memory. */
export const halvesOf = (bytes: Uint8Array<ArrayBuffer>): Uint16Array<ArrayBuffer> => new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
