/**
 * Text of strangers, made safe to show. `quoted` for HTML and SVG; `visible` for every screen: characters that cannot
 * be seen, that turn the writing direction or that a terminal obeys are written out as ‹U+202E›. It trades the
 * look of such text (an emoji joined by U+200D falls apart) for the certainty that what is shown is what is there.
 */

/** For HTML and SVG, as content or between double quotes. */
export const quoted = (s: string): string => s.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/**
 * Controls but tab and line feed (escape sequences begin with one), soft hyphen, marks of direction, zero-width characters, fillers,
 * separators of lines, tag characters and selectors that can hide text, lone surrogates, non-characters. The 16 selectors that emoji use stay.
 */
const UNSEEN = /(?![\t\n]|[\ufe00-\ufe0f])[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\ufff9-\ufffb]/gu;

const named = (unit: string): string => `‹U+${(unit.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}›`;

/** The text with what cannot be seen written out. Tabs and line feeds stay. */
export function visible(text: string): string {
  return text.replace(UNSEEN, named);
}

/** As HTML: what is written out by `visible` stands in `<span class="unseen">`, so that it can be told from text that looks like it. */
export function visibleHtml(text: string): string {
  return quoted(text).replace(UNSEEN, (unit) => `<span class="unseen">${named(unit)}</span>`);
}

/** At most `most` UTF-16 units, without half a surrogate pair at the end; says how many were left out. */
export function clipped(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = /[\ud800-\udbff]/.test(text.charAt(most - 1)) ? most - 1 : most;
  return `${text.slice(0, end)} … (${text.length - end} more)`;
}
