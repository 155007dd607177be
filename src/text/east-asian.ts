/**
 * Signs that Unicode counts as common to all scripts but that only East Asian text uses. Learning and expanding both ask
 * here, so that what may be learnt is what may be added.
 */

/** True for CJK punctuation, kana marks, enclosed and squared forms, hexagrams, vertical and full-width forms, by code point. */
export function isEastAsianSign(point: number): boolean {
  return (
    (point >= 0x3000 && point <= 0x33ff) || (point >= 0x4dc0 && point <= 0x4dff) || (point >= 0xfe30 && point <= 0xfe4f) || (point >= 0xff00 && point <= 0xffef)
  );
}
