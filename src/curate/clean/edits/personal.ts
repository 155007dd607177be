/**
 * Masks personal data: e-mail addresses, telephone numbers, identity and bank card numbers, network addresses. Numbers
 * are masked where their form or their check digit says what they are, so that years, versions and amounts stay. The
 * walk looks at bounded stretches around `@`, `:` and digits, never at a whole run again: linear on any input.
 */
import type { Tally } from '../../step.ts';

export interface PersonalEdits {
  readonly email: boolean;
  readonly phone: boolean;
  readonly id: boolean;
  readonly card: boolean;
  /** `public` leaves private, loopback and documentation addresses. */
  readonly ip: 'all' | 'public' | 'off';
}

/** Longest stretch of digits and separators that is looked at. */
const MAX_NUMBER = 32;

const isDigit = (code: number): boolean => code >= 48 && code <= 57;
const isAlpha = (code: number): boolean => (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
const isHex = (code: number): boolean => isDigit(code) || (code >= 97 && code <= 102) || (code >= 65 && code <= 70);
const isLocal = (code: number): boolean => isDigit(code) || isAlpha(code) || code === 46 || code === 95 || code === 37 || code === 43 || code === 45;

/** Weights and check digits of Chinese identity numbers (GB 11643-1999). */
const ID_WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const ID_CHECK = '10X98765432';

/** A Chinese identity number of 18 places: region, date of birth, check digit. */
export function isChineseId(text: string): boolean {
  if (!/^[1-9]\d{16}[\dXx]$/.test(text)) return false;
  const year = Number(text.slice(6, 10));
  const month = Number(text.slice(10, 12));
  const day = Number(text.slice(12, 14));
  if (year < 1850 || year > 2099 || month < 1 || month > 12 || day < 1 || day > 31) return false;
  let sum = 0;
  for (let i = 0; i < 17; i++) sum += ID_WEIGHTS[i] * (text.charCodeAt(i) - 48);
  return ID_CHECK[sum % 11] === text[17].toUpperCase();
}

/** A bank card number: length and first digits of a known scheme, Luhn's check digit. */
export function isCardNumber(digits: string): boolean {
  const n = digits.length;
  const two = Number(digits.slice(0, 2));
  const four = Number(digits.slice(0, 4));
  const scheme =
    (n === 16 && (digits[0] === '4' || (two >= 51 && two <= 55) || (four >= 2221 && four <= 2720) || two === 35 || two === 65 || four === 6011)) ||
    (n === 15 && (two === 34 || two === 37)) ||
    (n >= 16 && n <= 19 && two === 62);
  if (!scheme) return false;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    let digit = digits.charCodeAt(n - 1 - i) - 48;
    if (i % 2 === 1) digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
    sum += digit;
  }
  return sum % 10 === 0;
}

function isPrivate4(parts: readonly number[]): boolean {
  const [a, b, c] = parts;
  if (a === 0 || a === 10 || a === 127 || a >= 224 || (a === 192 && b === 168) || (a === 172 && b >= 16 && b <= 31) || (a === 169 && b === 254)) return true;
  return (a === 192 && b === 0 && c === 2) || (a === 198 && b === 51 && c === 100) || (a === 203 && b === 0 && c === 113);
}

const DOTTED = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\d.-]*\d)/;
const SSN = /^(\d{3})-(\d{2})-(\d{4})(?![\d-])/;
const CARD = /^\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}(?![\d])|^\d{4}([ -])\d{6}\2\d{5}(?!\d)/;
const LONG_ID = /^\d{17}[\dXx](?![\dA-Za-z])/;
const MOBILE = /^(?:0086[ -]?|86[ -]?)?1[3-9]\d([ -]?)\d{4}\1\d{4}(?![\dA-Za-z])/;
const LANDLINE = /^0\d{2,3}-\d{7,8}(?![\d-])/;
const AMERICAN = /^(?:1[ .-])?[2-9]\d{2}([.-])[2-9]\d{2}\1\d{4}(?![\d.-]*\d)/;
const BRACKETED = /^\((?:[2-9]\d{2}\) ?[2-9]\d{2}[ .-]\d{4}|0\d{2,3}\)[ -]?\d{7,8})(?!\d)/;
const FOREIGN = /^\+[1-9]\d{0,3}(?:[ .-]?\(?\d{1,5}\)?){1,8}(?![\dA-Za-z])/;

type Kind = 'email' | 'phone' | 'id' | 'card' | 'ip';

/** The number that begins at `at`: its end and kind, or null. `read` holds the stretch from there. */
function numberAt(read: string, before: number, edits: PersonalEdits): { length: number; kind: Kind } | null {
  if (edits.ip !== 'off' && before !== 46 && before !== 45) {
    const dotted = DOTTED.exec(read);
    if (dotted) {
      const parts = dotted.slice(1, 5).map(Number);
      // Four single digits are a version or a section more often than an address.
      if (parts.every((part) => part <= 255) && parts.some((part) => part > 9) && !(edits.ip === 'public' && isPrivate4(parts)))
        return { length: dotted[0].length, kind: 'ip' };
    }
  }
  if (edits.id) {
    const long = LONG_ID.exec(read);
    if (long && isChineseId(long[0])) return { length: 18, kind: 'id' };
    const ssn = before === 45 ? null : SSN.exec(read);
    if (ssn && ssn[1] !== '000' && ssn[1] !== '666' && ssn[1][0] !== '9' && ssn[2] !== '00' && ssn[3] !== '0000') return { length: 11, kind: 'id' };
  }
  if (edits.card) {
    const card = CARD.exec(read);
    if (card && isCardNumber(card[0].replace(/[ -]/g, ''))) return { length: card[0].length, kind: 'card' };
  }
  if (edits.phone && before !== 45 && before !== 46) {
    const phone = MOBILE.exec(read) ?? LANDLINE.exec(read) ?? AMERICAN.exec(read);
    if (phone) return { length: phone[0].length, kind: 'phone' };
  }
  return null;
}

const PLAIN_HOSTS = /(?:^|\.)example\.(?:com|org|net|edu)$|\.(?:test|invalid|localhost|local)$/i;
/** Ends of file names, which are no domains: `icon@2x.png`. */
const FILE_ENDS = /\.(?:png|jpe?g|gif|svg|webp|js|ts|css|json|md|py|rs)$/i;

function emailAround(text: string, at: number, floor: number): { start: number; end: number } | null {
  let start = at;
  while (start > floor && at - start < 64 && isLocal(text.charCodeAt(start - 1))) start--;
  while (start < at && text.charCodeAt(start) === 46) start++;
  let end = at + 1;
  while (end < text.length && end - at <= 255) {
    const code = text.charCodeAt(end);
    if (!isDigit(code) && !isAlpha(code) && code !== 46 && code !== 45) break;
    end++;
  }
  while (end > at + 1 && !isAlpha(text.charCodeAt(end - 1))) end--;
  const host = text.slice(at + 1, end);
  const dot = host.lastIndexOf('.');
  if (start === at || dot <= 0 || host.length - dot - 1 < 2 || host.includes('..') || host[0] === '-' || /\d/.test(host.slice(dot + 1))) return null;
  if (PLAIN_HOSTS.test(host) || FILE_ENDS.test(host) || text.slice(start, at) === 'git') return null;
  return { start, end };
}

/** True for the usual ways to write an IPv6 address. Short ones (`a::b`) are names in some programming languages, not addresses. */
export function isAddress6(text: string): boolean {
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')));
  if (groups.some((group) => group.length === 0 || group.length > 4)) return false;
  if (halves.length === 1) return groups.length === 8;
  return groups.length >= 3 && groups.length <= 7 && groups.some((group) => group.length >= 3) && /\d/.test(text);
}

/** The text with placeholders (`<email>`, `<phone>`, `<id>`, `<card>`, `<ip>`), and how many there are. */
export function maskPersonal(text: string, edits: PersonalEdits, tally: Tally): { text: string; masked: number } {
  const n = text.length;
  let parts: string[] | null = null;
  let from = 0;
  let masked = 0;
  const mask = (start: number, end: number, kind: Kind): void => {
    parts ??= [];
    parts.push(text.slice(from, start), `<${kind}>`);
    from = end;
    masked++;
    tally.count(`clean.${kind}`);
  };
  let i = 0;
  while (i < n) {
    const code = text.charCodeAt(i);
    if (code === 64) {
      const found = edits.email ? emailAround(text, i, from) : null;
      if (found) mask(found.start, found.end, 'email');
      i = found ? found.end : i + 1;
    } else if (isDigit(code)) {
      const before = i > 0 ? text.charCodeAt(i - 1) : 32;
      let end = i + 1;
      while (end < n && isDigit(text.charCodeAt(end))) end++;
      // Inside a word or a longer number, or a run that no number has.
      if (isAlpha(before) || before === 95 || end - i > 19) {
        i = end;
        continue;
      }
      // Most numbers are short and stand alone.
      const next = end < n ? text.charCodeAt(end) : 32;
      const separated = (next === 46 || next === 45 || next === 32) && end + 1 < n && isDigit(text.charCodeAt(end + 1));
      const found = end - i >= 11 || separated ? numberAt(text.slice(i, i + MAX_NUMBER), before, edits) : null;
      if (found) mask(i, i + found.length, found.kind);
      i = found ? i + found.length : end;
    } else if ((code === 43 || code === 40) && edits.phone && i + 8 < n && isDigit(text.charCodeAt(i + 1))) {
      const before = i > 0 ? text.charCodeAt(i - 1) : 32;
      const read = text.slice(i, i + MAX_NUMBER);
      const phone = isAlpha(before) || isDigit(before) ? null : code === 43 ? FOREIGN.exec(read) : BRACKETED.exec(read);
      const digits = phone ? phone[0].replace(/\D/g, '').length : 0;
      if (phone && digits >= (code === 43 ? 9 : 10) && digits <= 15) {
        mask(i, i + phone[0].length, 'phone');
        i += phone[0].length;
      } else i++;
    } else if (code === 58 && edits.ip !== 'off' && i + 1 < n && (text.charCodeAt(i + 1) === 58 || isHex(text.charCodeAt(i + 1)))) {
      let start = i;
      while (start > from && i - start < 4 && isHex(text.charCodeAt(start - 1))) start--;
      let end = i + 1;
      while (end < n && end - start <= 40 && (isHex(text.charCodeAt(end)) || text.charCodeAt(end) === 58)) end++;
      while (end > i + 1 && text.charCodeAt(end - 1) === 58 && text.charCodeAt(end - 2) !== 58) end--;
      const before = start > 0 ? text.charCodeAt(start - 1) : 32;
      const after = end < n ? text.charCodeAt(end) : 32;
      const bounded = !isAlpha(before) && !isDigit(before) && before !== 58 && before !== 95 && !isAlpha(after) && after !== 95 && after !== 58;
      const address = text.slice(start, end);
      if (bounded && isAddress6(address) && !(edits.ip === 'public' && /^(?:f[cd]|fe80|2001:db8)/i.test(address))) mask(start, end, 'ip');
      i = end;
    } else i++;
  }
  if (!parts) return { text, masked };
  (parts as string[]).push(text.slice(from));
  return { text: (parts as string[]).join(''), masked };
}
