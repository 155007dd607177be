/**
 * A 32-bit hash of text for decisions that must be the same on every host and in every session:
 * which side of a split a document lies on, which phrasing is held out. Not for security and not for
 * detecting damage; files are hashed with SHA-256.
 */
import { mix32 } from '../base/mix.ts';

const encoder = new TextEncoder();

/** FNV-1a over the UTF-8 bytes, then mixed, so that the high bits are worth as much. Unsigned. */
export function hash32(text: string, seed = 0): number {
  let h = (0x811c9dc5 ^ seed) >>> 0;
  for (const byte of encoder.encode(text)) h = Math.imul(h ^ byte, 0x01000193);
  return mix32(h) >>> 0;
}

/** The same hash of numbers (u32), for token ids. */
export function hashWords(words: ArrayLike<number>, seed = 0): number {
  let h = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < words.length; i++) {
    const w = words[i];
    h = Math.imul(h ^ (w & 0xffff), 0x01000193);
    h = Math.imul(h ^ (w >>> 16), 0x01000193);
  }
  return mix32(h) >>> 0;
}
