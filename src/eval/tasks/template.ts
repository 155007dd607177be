/**
 * Texts with slots, as a task file writes its prompts: `Question: {question|strip}`. A slot is a name and what is done to its value;
 * `{{` and `}}` are braces. Values are put in once and never read again as a template: a question may hold braces, and many do.
 */
import { ScionError } from '../../base/errors.ts';

const SLOT = /\{\{|\}\}|\{([A-Za-z_]\w*)((?:\|[^{}|]*)*)\}|[{}]/g;

/** What may be done to a value: `strip` takes white space off both ends, `line` ends it with a line end; `+x` puts x behind a value that is not empty, `^x` before it. */
const FILTERS: Readonly<Record<string, (value: string) => string>> = {
  strip: stripSpace,
  line: (value) => (value.endsWith('\n') ? value : `${value}\n`),
};

const isSpace = (c: string): boolean => c !== '\ufeff' && (/\s/.test(c) || (c >= '\x1c' && c <= '\x1f') || c === '\x85');

/** White space off both ends as Python's `str.strip` sees it: a few control characters too, the byte order mark not. */
export function stripSpace(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isSpace(text[from])) from++;
  while (to > from && isSpace(text[to - 1])) to--;
  return text.slice(from, to);
}

/** The names a template asks for, and what is wrong with it (null: nothing). */
export function checkTemplate(template: string, known: (name: string) => boolean): string | null {
  for (const [whole, name, filters] of template.matchAll(SLOT)) {
    if (whole === '{{' || whole === '}}') continue;
    if (name === undefined) return `"${whole}" stands alone; write ${whole}${whole} for the brace itself`;
    if (!known(name)) return `{${name}}: there is no such field`;
    for (const filter of filters.split('|').slice(1)) {
      if (!/^[+^]/.test(filter) && !Object.hasOwn(FILTERS, filter))
        return `{${name}|${filter}}: filters are ${Object.keys(FILTERS).join(', ')}, +text and ^text`;
    }
  }
  return null;
}

/** Puts values in. @throws ScionError `internal` for a name without a value (a checked template has none). */
export function fillTemplate(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(SLOT, (whole: string, name: string | undefined, filters: string | undefined) => {
    if (whole === '{{') return '{';
    if (whole === '}}') return '}';
    if (name === undefined) return whole;
    if (!Object.hasOwn(values, name)) throw new ScionError('internal', `template: no value for {${name}}`, { name });
    let value = values[name];
    for (const filter of (filters ?? '').split('|').slice(1)) {
      const text = filter.slice(1);
      if (filter.startsWith('+')) value = value === '' ? '' : value + text;
      else if (filter.startsWith('^')) value = value === '' ? '' : text + value;
      else value = FILTERS[filter](value);
    }
    return value;
  });
}
