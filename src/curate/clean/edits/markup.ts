/**
 * Remains of HTML in a text: known tags go (`<br>` and blocks become line breaks), entities become their characters. Only
 * names of HTML count, so that `a < b`, generics of a programming language and placeholders stay.
 */
import type { Tally } from '../../step.ts';

/** Longest stretch that is taken for a tag. */
const MAX_TAG = 400;

const INLINE =
  'a abbr acronym b bdi bdo big center cite code del dfn em font i img ins kbd label mark q s samp small span strike strong sub sup tt u var wbr o:p'.split(
    ' ',
  );
const BLOCK =
  'address article aside blockquote body br caption dd div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html li main nav ol p pre section table tbody td tfoot th thead tr ul'.split(
    ' ',
  );
const KINDS = new Map<string, 'inline' | 'block'>([...INLINE.map((name) => [name, 'inline'] as const), ...BLOCK.map((name) => [name, 'block'] as const)]);
const NAME = /^\/?([a-z][a-z0-9:]{0,11})(?=[\s/>]|$)/i;

const ENTITIES: Readonly<Record<string, string>> = {
  nbsp: ' ',
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  hellip: '…',
  mdash: '—',
  ndash: '–',
  lsquo: '‘',
  rsquo: '’',
  ldquo: '“',
  rdquo: '”',
  laquo: '«',
  raquo: '»',
  middot: '·',
  bull: '•',
  copy: '©',
  reg: '®',
  trade: '™',
  times: '×',
  deg: '°',
  ensp: ' ',
  emsp: ' ',
  thinsp: ' ',
};
const ENTITY = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z]{2,8}));/g;

function entity(whole: string, decimal: string | undefined, hex: string | undefined, name: string | undefined): string {
  if (name !== undefined) return ENTITIES[name] ?? whole;
  const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex ?? '', 16);
  // No control characters, halves of pairs or non-characters by this door.
  if (code < 32 || (code >= 127 && code < 160) || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return whole;
  return String.fromCodePoint(code);
}

/** The text without tags and with its entities resolved. */
export function stripMarkup(text: string, tally: Tally): string {
  let now = text;
  let at = now.indexOf('<');
  if (at >= 0) {
    const parts: string[] = [];
    let from = 0;
    while (at >= 0) {
      const name = NAME.exec(now.slice(at + 1, at + 15))?.[1].toLowerCase();
      const kind = name === undefined ? undefined : KINDS.get(name);
      let next = at + 1;
      if (kind !== undefined) {
        let end = at + 2;
        const last = Math.min(now.length, at + MAX_TAG);
        while (end < last && now.charCodeAt(end) !== 62 && now.charCodeAt(end) !== 60) end++;
        if (end < last && now.charCodeAt(end) === 62) {
          parts.push(now.slice(from, at));
          // One break is enough where the source has one already.
          const before = at > from ? now.charCodeAt(at - 1) : 0;
          if (kind === 'block' && before !== 10 && now.charCodeAt(end + 1) !== 10) parts.push('\n');
          from = end + 1;
          next = end + 1;
          tally.count('clean.tags');
        }
      }
      at = now.indexOf('<', next);
    }
    if (from > 0) {
      parts.push(now.slice(from));
      now = parts.join('');
    }
  }
  if (!now.includes('&')) return now;
  const plain = now.replace(ENTITY, entity);
  if (plain !== now) tally.count('clean.entities');
  return plain;
}
