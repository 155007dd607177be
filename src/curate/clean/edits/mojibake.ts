/**
 * Repairs UTF-8 that was read as Windows-1252 or Latin-1 (`cafÃ©`, `ä½ å¥½`), once or several times over. A run of
 * characters is turned back only where their bytes are well-formed UTF-8 and the reading is the only likely one: whole
 * sequences of the kinds that such damage makes, judged together with their neighbours and with what else the text
 * holds. A text with real accented letters keeps them.
 */

/** Passes; damage deeper than this is left. */
const MAX_DEPTH = 3;

/** The byte behind a character, by both code pages at once; 0 where there is none. ASCII is left out: it needs no repair. */
const bytes = new Uint8Array(0x10000);
for (let code = 0x80; code <= 0xff; code++) bytes[code] = code;
const HIGH_ROW = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';
for (let i = 0; i < HIGH_ROW.length; i++) bytes[HIGH_ROW.charCodeAt(i)] = 0x80 + i;

/** Marks that a writer may well put behind a capital with an accent: `CAFÉ»`, `À …`. Two-byte readings with them prove nothing. */
const COMMON_MARKS = new Set([...'\u00a0»«‘’“”–—…›‹™°'].map((mark) => mark.charCodeAt(0)));

/** The lead byte is there and continuation bytes follow: the number of characters in the sequence, else 0. */
function sequenceAt(text: string, at: number): number {
  const lead = bytes[text.charCodeAt(at)];
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > text.length) return 0;
  for (let k = 1; k < length; k++) {
    const next = bytes[text.charCodeAt(at + k)];
    if (next < 0x80 || next > 0xbf) return 0;
  }
  const second = bytes[text.charCodeAt(at + 1)];
  // Overlong forms, surrogates, beyond the last plane.
  if ((lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f) || (lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f)) return 0;
  return length;
}

function decodeAt(text: string, at: number, length: number): number {
  const byte = (k: number): number => bytes[text.charCodeAt(at + k)] & 0x3f;
  const lead = bytes[text.charCodeAt(at)];
  if (length === 2) return ((lead & 0x1f) << 6) | byte(1);
  if (length === 3) return ((lead & 0x0f) << 12) | (byte(1) << 6) | byte(2);
  return ((lead & 0x07) << 18) | (byte(1) << 12) | (byte(2) << 6) | byte(3);
}

/** A sequence that nobody types by intent. */
function isCertain(text: string, at: number, length: number): boolean {
  const point = decodeAt(text, at, length);
  if (length === 4) return point < 0x30000;
  // Quotes, dashes, currency, arrows, CJK punctuation, full-width forms: `â€™`, `ã€‚`, `ï¼Œ`.
  if (length === 3) return (point >= 0x2010 && point <= 0x22ff) || (point >= 0x3000 && point <= 0x30ff) || point >= 0xfe00;
  const second = text.charCodeAt(at + 1);
  // Latin-1 letters and marks: `Ã©`, `Â£`.
  return point >= 0xa1 && point <= 0xff && !COMMON_MARKS.has(second);
}

function once(text: string): { text: string; repaired: number } {
  const n = text.length;
  let found = 0;
  let certain = 0;
  let wrong = 0;
  for (let i = 0; i < n; i++) {
    const byte = bytes[text.charCodeAt(i)];
    if (byte < 0xc2) continue;
    const length = sequenceAt(text, i);
    if (length === 0) {
      wrong++;
      continue;
    }
    found++;
    if (isCertain(text, i, length)) certain++;
    i += length - 1;
  }
  if (found === 0) return { text, repaired: 0 };
  // With no real accented letter beside them, many sequences in a row are proof enough.
  const whole = wrong === 0 && found >= 3;
  const mostly = found >= 10 && wrong * 20 <= found;
  const parts: string[] = [];
  let from = 0;
  let repaired = 0;
  for (let i = 0; i < n; ) {
    if (bytes[text.charCodeAt(i)] < 0xc2) {
      i++;
      continue;
    }
    // A run of sequences is judged as one.
    let end = i;
    let count = 0;
    let sure = 0;
    for (let length = sequenceAt(text, end); length > 0; length = end < n ? sequenceAt(text, end) : 0) {
      if (isCertain(text, end, length)) sure++;
      count++;
      end += length;
    }
    if (count === 0) {
      i++;
      continue;
    }
    if (whole || mostly || (sure > 0 && (certain > wrong || sure === count)) || (count >= 3 && end - i >= 3 * count)) {
      let put = '';
      for (let at = i; at < end; ) {
        const length = sequenceAt(text, at);
        put += String.fromCodePoint(decodeAt(text, at, length));
        at += length;
      }
      parts.push(text.slice(from, i), put);
      from = end;
      repaired += count;
    }
    i = end;
  }
  if (repaired === 0) return { text, repaired };
  parts.push(text.slice(from));
  return { text: parts.join(''), repaired };
}

/** The repaired text and how many characters were put right. */
export function repairMojibake(text: string): { text: string; repaired: number } {
  let repaired = 0;
  let now = text;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const step = once(now);
    if (step.repaired === 0) break;
    repaired += step.repaired;
    now = step.text;
  }
  return { text: now, repaired };
}
