/**
 * The last step of MurmurHash3 (Appleby): every bit of a 32-bit number reaches every bit of the result, and no two numbers get the
 * same one. For hashes that say where something goes; not for security.
 */

/** Mixes the low 32 bits of `h`. Signed, since that is what engines keep without a box; `>>> 0` makes it unsigned. */
export function mix32(h: number): number {
  let x = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}
