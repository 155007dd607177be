/**
 * Characters that no reader sees or that no text should hold: control characters, lone surrogates, replacement
 * characters, zero-width and bidirectional controls, tag letters; and line ends and spaces brought to one kind. One
 * walk; a text without any of them comes back as the same string.
 */
import type { Tally } from '../../step.ts';
import { CLASS, CLASS_BITS, classTable } from '../classes.ts';
import { isOrder } from './hidden.ts';

export interface CharacterEdits {
  /** Removes control characters, lone surrogates and U+FFFD. */
  readonly controls: boolean;
  /** Removes zero-width and bidirectional controls and tag letters. */
  readonly invisible: boolean;
}

const PLAIN = 0;
const CONTROL = 1;
const ZERO_WIDTH = 2;
const BIDI = 3;
const REPLACEMENT = 4;
const LINE_END = 5;
const WIDE_SPACE = 6;
const HIGH = 7;
const LOW = 8;
const JOINER = 9;
const SELECTOR = 10;
const KINDS = 11;

const NAMES: Readonly<Record<number, string>> = {
  [CONTROL]: 'clean.controls',
  [ZERO_WIDTH]: 'clean.zero-width',
  [BIDI]: 'clean.bidi',
  [REPLACEMENT]: 'clean.replacement',
  [LOW]: 'clean.surrogates',
};

const table = new Uint8Array(0x10000);
const mark = (kind: number, ...ranges: (readonly [number, number])[]): void => {
  for (const [from, to] of ranges) table.fill(kind, from, to + 1);
};
mark(CONTROL, [0, 8], [14, 31], [127, 0x84], [0x86, 0x9f]);
mark(LINE_END, [11, 13], [0x85, 0x85], [0x2028, 0x2029]);
mark(ZERO_WIDTH, [0xad, 0xad], [0x34f, 0x34f], [0x115f, 0x1160], [0x17b4, 0x17b5], [0x180b, 0x180e], [0x200b, 0x200b], [0x2060, 0x2065]);
mark(ZERO_WIDTH, [0x206a, 0x206f], [0x3164, 0x3164], [0xfeff, 0xfeff], [0xffa0, 0xffa0], [0xfff9, 0xfffb]);
mark(BIDI, [0x61c, 0x61c], [0x200e, 0x200f], [0x202a, 0x202e], [0x2066, 0x2069]);
mark(REPLACEMENT, [0xfffd, 0xfffd]);
mark(WIDE_SPACE, [0xa0, 0xa0], [0x1680, 0x1680], [0x2000, 0x200a], [0x202f, 0x202f], [0x205f, 0x205f]);
mark(HIGH, [0xd800, 0xdbff]);
mark(LOW, [0xdc00, 0xdfff]);
mark(JOINER, [0x200c, 0x200d]);
mark(SELECTOR, [0xfe00, 0xfe0f]);

/** What was removed, for the rules that go by it. */
export interface Removed {
  /** Zero-width, bidirectional and tag characters. */
  invisible: number;
  /** Replacement characters and lone surrogates. */
  broken: number;
}

/** A joiner means something between letters of Arabic and Indic scripts and between emoji. */
function joinsAt(text: string, at: number): boolean {
  if (at === 0 || at + 1 >= text.length) return false;
  const classes = classTable();
  const before = text.charCodeAt(at - 1);
  const found = classes[before] & CLASS_BITS;
  if (found === CLASS.ARABIC || found === CLASS.DEVANAGARI || found === CLASS.OTHER_LETTER || found === CLASS.MARK) return true;
  const after = text.charCodeAt(at + 1);
  const isEmoji = (code: number): boolean => (code >= 0xd83c && code <= 0xd83e) || (code >= 0x2600 && code <= 0x27bf) || code === 0x2640 || code === 0x2642;
  return (before === 0xfe0f || (before >= 0xdc00 && before <= 0xdfff) || isEmoji(before)) && isEmoji(after);
}

/** What two replacement characters become where UTF-8 is read as GBK. */
const REPLACED_TWICE = '锟斤拷';

/** The text without them; what went is counted in `tally` and `removed`. */
export function editCharacters(given: string, edits: CharacterEdits, tally: Tally, removed: Removed): string {
  const text = edits.controls && given.includes(REPLACED_TWICE) ? given.replaceAll(REPLACED_TWICE, '\ufffd\ufffd') : given;
  const n = text.length;
  const counts = new Int32Array(KINDS);
  let parts: string[] | null = null;
  let from = 0;
  let spaces = 0;
  let tags = 0;
  let message = '';
  const cut = (start: number, end: number, put: string): void => {
    parts ??= [];
    if (start > from) parts.push(text.slice(from, start));
    if (put !== '') parts.push(put);
    from = end;
  };
  for (let i = 0; i < n; i++) {
    const code = text.charCodeAt(i);
    const kind = table[code];
    if (kind === PLAIN) continue;
    switch (kind) {
      case LINE_END:
        cut(i, code === 13 && text.charCodeAt(i + 1) === 10 ? ++i + 1 : i + 1, '\n');
        break;
      case WIDE_SPACE:
        spaces++;
        cut(i, i + 1, ' ');
        break;
      case HIGH: {
        const low = i + 1 < n ? text.charCodeAt(i + 1) : 0;
        if (low < 0xdc00 || low > 0xdfff) {
          if (edits.controls) cut(i, i + 1, '');
          counts[LOW]++;
          break;
        }
        i++;
        // Plane 14: letters that no font shows, and selectors of variants.
        if (code >= 0xdb40 && code <= 0xdb43 && edits.invisible) {
          const point = (code - 0xd800) * 0x400 + low - 0xdc00 + 0x10000;
          const before = i >= 2 ? text.charCodeAt(i - 2) : 0;
          const variant = point >= 0xe0100 && point <= 0xe01ef && (classTable()[before] & CLASS_BITS) === CLASS.HAN;
          if (variant) break;
          if (point >= 0xe0020 && point <= 0xe007e && message.length < 1000) message += String.fromCharCode(point - 0xe0000);
          tags++;
          cut(i - 1, i + 1, '');
        }
        break;
      }
      case JOINER:
        if (edits.invisible && !joinsAt(text, i)) {
          counts[ZERO_WIDTH]++;
          cut(i, i + 1, '');
        }
        break;
      case SELECTOR:
        // One behind a visible character is its form; a row of them is a hiding place.
        if (edits.invisible && (i === 0 || table[text.charCodeAt(i - 1)] === SELECTOR)) {
          counts[ZERO_WIDTH]++;
          cut(i, i + 1, '');
        }
        break;
      case ZERO_WIDTH:
      case BIDI:
        if (edits.invisible) {
          counts[kind]++;
          cut(i, i + 1, '');
        }
        break;
      default:
        counts[kind]++;
        if (edits.controls) cut(i, i + 1, '');
    }
  }
  for (const [kind, name] of Object.entries(NAMES)) {
    const found = counts[Number(kind)];
    if (found > 0) tally.count(name, found);
  }
  if (tags > 0) tally.count('clean.zero-width', tags);
  if (spaces > 0) tally.count('clean.spaces', spaces);
  if (isOrder(message)) tally.count('clean.hidden-instruction');
  removed.invisible += counts[ZERO_WIDTH] + counts[BIDI] + tags;
  removed.broken += counts[REPLACEMENT] + counts[LOW];
  if (!parts) return text;
  cut(n, n, '');
  return (parts as string[]).join('');
}
