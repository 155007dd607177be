/**
 * A page of HTML as text: its main part by Mozilla's Readability over linkedom, paragraphs and headings on lines of their
 * own, preformatted text as it stands. Libraries are loaded when the first page comes. A page that makes them throw (nesting
 * beyond the stack, say) is the caller's to count.
 */

/** A page's main text. */
export interface PageText {
  readonly title: string;
  readonly text: string;
}

/** What is used of a DOM node; linkedom's own types are those of a browser, which this code does not have. */
interface Node {
  readonly nodeType: number;
  readonly nodeName: string;
  readonly nodeValue: string | null;
  readonly firstChild: Node | null;
  readonly nextSibling: Node | null;
}

/**
 * Readability takes time with the square of a page's depth and more. Pages beyond these are taken whole: real ones are some
 * dozens deep, and these keep a hostile one to a second or two.
 */
const MAX_DEPTH = 100;
const MAX_DEPTHS = 400_000;
const TEXT = 3;
const ELEMENT = 1;
const FRAGMENTS = new Set([9, 11]);
const SILENT = new Set(['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE', 'IFRAME', 'SVG', 'MATH', 'HEAD', 'NAV', 'BUTTON', 'SELECT', 'TEXTAREA']);
const BLOCKS = new Set(
  'ADDRESS ARTICLE ASIDE BLOCKQUOTE BODY CENTER DD DETAILS DIV DL DT FIELDSET FIGCAPTION FIGURE FOOTER FORM H1 H2 H3 H4 H5 H6 HEADER HR LI MAIN OL P PRE SECTION TABLE TBODY TD TFOOT TH THEAD TR UL'.split(
    ' ',
  ),
);
/** These stand apart from what is around them; other blocks only begin a line. */
const APART = new Set('ARTICLE BLOCKQUOTE DL FIGURE H1 H2 H3 H4 H5 H6 OL P PRE SECTION TABLE UL'.split(' '));

/** Text as it grows, with its open line apart, so that no step looks at more than a line. */
class Lines {
  readonly #done: string[] = [];
  #open = '';
  /** Whether the open line ends in white space; asking the line itself would copy it. */
  #bare = true;
  /** Line ends behind the last text. */
  #ends = 0;

  add(text: string): void {
    if (text === '') return;
    this.#open += text;
    this.#bare = /\s$/.test(text.slice(-1));
  }

  /** A run of text in which white space is one space. */
  flow(raw: string): void {
    const text = raw.replace(/[ \t\r\n\f]+/g, ' ');
    this.add(this.#bare && text.startsWith(' ') ? text.slice(1) : text);
  }

  /** Ends the line; at least so many line ends stand before what comes. */
  end(n: number): void {
    const text = this.#open.trimEnd();
    this.#open = '';
    this.#bare = true;
    if (text !== '') {
      this.#done.push(text);
      this.#ends = 0;
    }
    if (this.#done.length === 0) return;
    for (; this.#ends < n; this.#ends++) this.#done.push('\n');
  }

  text(): string {
    this.end(0);
    return this.#done.join('').trim();
  }
}

/** Text with line ends where blocks begin and end. Walks with a stack of its own, so that nesting costs no calls. */
export function nodeText(root: unknown): string {
  const out = new Lines();
  // A node to enter, or the end of a block.
  const stack: { readonly node: Node; readonly leave: boolean; readonly pre: boolean }[] = [{ node: root as Node, leave: false, pre: false }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, leave, pre } = next;
    const name = node.nodeName.toUpperCase();
    const ends = APART.has(name) ? 2 : 1;
    if (leave) {
      out.end(ends);
      continue;
    }
    if (node.nodeType === TEXT) {
      if (pre) out.add(node.nodeValue ?? '');
      else out.flow(node.nodeValue ?? '');
      continue;
    }
    if ((node.nodeType !== ELEMENT && !FRAGMENTS.has(node.nodeType)) || SILENT.has(name)) continue;
    if (name === 'BR') {
      out.end(1);
      continue;
    }
    if (BLOCKS.has(name)) {
      out.end(ends);
      if (name === 'LI') out.add('- ');
      stack.push({ node, leave: true, pre });
    }
    const children: Node[] = [];
    for (let child = node.firstChild; child !== null; child = child.nextSibling) children.push(child);
    for (let i = children.length - 1; i >= 0; i--) stack.push({ node: children[i], leave: false, pre: pre || name === 'PRE' });
  }
  return out.text();
}

/** Whether a main part may be looked for: how deep the page is, and the depths of all its elements together. */
function isTame(root: unknown): boolean {
  let depths = 0;
  const stack: { readonly node: Node; readonly depth: number }[] = [{ node: root as Node, depth: 1 }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, depth } = next;
    depths += depth;
    if (depth > MAX_DEPTH || depths > MAX_DEPTHS) return false;
    for (let child = node.firstChild; child !== null; child = child.nextSibling) if (child.nodeType === ELEMENT) stack.push({ node: child, depth: depth + 1 });
  }
  return true;
}

/** The encoding a page names, in its first kilobyte or by a byte order mark; UTF-8 where it names none that is known. */
export function pageDecoder(bytes: Uint8Array): TextDecoder {
  const strict = (label: string): TextDecoder => new TextDecoder(label, { fatal: label === 'utf-8' });
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return strict('utf-16le');
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return strict('utf-16be');
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return strict('utf-8');
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 1024));
  const label = /<meta[^>]+charset\s*=\s*["']?\s*([\w:.-]+)/i.exec(head)?.[1] ?? 'utf-8';
  try {
    const { encoding } = new TextDecoder(label);
    // A page that says UTF-16 in ASCII letters is none.
    return strict(encoding.startsWith('utf-16') ? 'utf-8' : encoding);
  } catch {
    return strict('utf-8');
  }
}

/** Tags that nest nothing, or that the next of their kind closes. */
const FLAT = new Set('area base br col dd dt embed hr img input li link meta option p param source td th tr track wbr'.split(' '));
/** The parser's time goes with the square of the depth. */
const MAX_NESTING = 2000;

/** True if tags nest so deep that the page had better not be parsed; told from its text, in one pass. */
function nestsTooDeep(html: string): boolean {
  let depth = 0;
  for (const [, close, name] of html.matchAll(/<(\/?)([a-zA-Z][a-zA-Z0-9]*)/g)) {
    if (FLAT.has(name.toLowerCase())) continue;
    depth = close === '' ? depth + 1 : Math.max(0, depth - 1);
    if (depth > MAX_NESTING) return true;
  }
  return false;
}

/** The main text of a page; where no main part stands out, all of its body. Throws for a page nested beyond all reason. */
export async function pageText(html: string): Promise<PageText> {
  if (nestsTooDeep(html)) throw new RangeError(`elements nested more than ${MAX_NESTING} deep`);
  const [{ parseHTML }, { Readability }] = await Promise.all([import('linkedom'), import('@mozilla/readability')]);
  const whole = /<(html|body|!doctype)/i.test(html.slice(0, 4096)) ? html : `<!doctype html><html><body>${html}</body></html>`;
  const { document } = parseHTML(whole);
  const title = (document.documentElement ? (document.title ?? '') : '').replace(/\s+/g, ' ').trim();
  if (!document.documentElement) return { title: '', text: '' };
  if (!isTame(document.documentElement)) return { title, text: nodeText(document.body ?? document.documentElement) };
  const article = new Readability(document, { serializer: (node) => node }).parse();
  const main = article?.content ? nodeText(article.content) : '';
  if (main !== '') return { title: (article?.title ?? title).replace(/\s+/g, ' ').trim(), text: main };
  // Readability takes the document apart while it looks.
  return { title, text: nodeText(parseHTML(whole).document.body) };
}
