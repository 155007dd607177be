/**
 * The option that a generated answer names. A capital letter is not yet an answer: "A good answer is C" and "Vitamin C helps" hold letters that are words. So a letter counts only where something
 * marks it: an answer cue before it, "is correct" behind it, its place at the head of the text, brackets; of several marks the stronger kind decides, and
 * letters that disagree within one kind decide nothing. The price: an answer in a form that no rule knows counts as none.
 */

/** What was found: the letter, or why none. */
export interface Found {
  readonly letter: string | null;
  readonly why?: string;
}

/** Verbs and joints that follow a letter but never the article "A". */
const AFTER_LETTER = /^\s+(?:is|was|are|because|since|as|would|must|can|should|seems)\b/;

/** The answer as letters are sought in it: up to the next question that a model asks itself, without markup, full-width letters and brackets made plain. */
export function answerPart(text: string): string {
  // Runs of white space would let the patterns below try every way of dividing them.
  const plainText = text
    .trim()
    .replace(/[^\S\n]+/gu, ' ')
    .replace(/ ?\n[ \n]*/g, '\n');
  const next = /\n(?:Question|Q|题目|问题|问|题) ?\d* ?[:：]/.exec(plainText);
  const own = next ? plainText.slice(0, next.index) : plainText;
  return own
    .replace(/[\uff21-\uff3a]/g, (c) => String.fromCharCode(c.charCodeAt(0) - 0xfee0))
    .replace(/\\(?:boxed|fbox|text|textbf|mathrm|mathbf)\s*\{\s*([A-Z](?:\s*[,、]?\s*[A-Z])*)\s*\}/g, '($1)')
    .replace(/[*_`$#]+/g, '')
    .replace(/（/g, '(')
    .replace(/）/g, ')')
    .trim();
}

/** The letters as a class of a regular expression; letters of questions are single capitals. */
const classOf = (letters: readonly string[]) => `[${letters.join('')}]`;

/** True if the capital at `at` is the article: "A" (or the pronoun "I") and a word after it that is none of the verbs that follow a letter. */
function isWord(text: string, at: number): boolean {
  const rest = text.slice(at + 1);
  return /[AI]/.test(text[at]) && /^\s+[A-Za-z]/.test(rest) && !AFTER_LETTER.test(rest) && !/^\s+(?:or|and)\s+\(?[A-Z]\b/.test(rest);
}

/** Patterns made once for each set of letters. */
function onceFor<T>(make: (cls: string) => T): (cls: string) => T {
  const made = new Map<string, T>();
  return (cls) => {
    let found = made.get(cls);
    if (found === undefined) {
      found = make(cls);
      made.set(cls, found);
    }
    return found;
  };
}

const OTHER = onceFor((cls) => new RegExp(`^\\)?\\s*(?:or|and|nor|/|、|,|，|&|或|和|与|及)\\s*(?:option\\s*)?\\(?${cls}(?![A-Za-z])`));

/** True if another letter is offered in the same breath: "A or B", "A/B", "A、B". */
function isOneOfSeveral(text: string, at: number, cls: string): boolean {
  return OTHER(cls).test(text.slice(at + 1));
}

/** Cues of an answer before a letter. The words may be in any case, the letter must be a capital. */
const ANSWER = onceFor((cls) => [
  new RegExp(
    `\\b(?:answer|solution|(?:correct|right|best|appropriate)\\s+(?:choice|option|letter|statement))(?:\\s+to\\s+(?:the|this)\\s+question)?(?:\\s+(?:is|was|would be|should be|must be))?\\s*[:：=]?\\s*(?:clearly|therefore|thus|definitely|most likely|probably)?\\s*(?:option|choice|letter)?\\s*["'“‘(\\[{]{0,3}(${cls})(?![A-Za-z0-9])`,
    'dgi',
  ),
  new RegExp(
    `(?<!不|别|非|没)(?:答案|应选|故选|选择|选|正确的是|答)(?:应该|应当|应|就|只能)?(?:是|为|选择|选)?(?:选项)?\\s*[:：]?\\s*["“‘(\\[【]{0,3}(${cls})(?![A-Za-z0-9])`,
    'dgi',
  ),
  new RegExp(
    `\\b(?:i\\s+(?:choose|pick|select|think|believe|guess|say)|it(?:'s|’s| is| must be)|go(?:ing)?\\s+with)\\s*:?\\s*(?:option\\s*)?["'“(]{0,3}(${cls})(?![A-Za-z0-9'’+-])`,
    'dgi',
  ),
]);

/** Verdicts behind a letter. */
const BEHIND = onceFor((cls) => [
  new RegExp(`(?<![A-Za-z0-9])(${cls})\\)?\\s+(?:is|would be|must be|seems)\\s+(?:the\\s+)?(?:correct|right|best|true|the answer|answer)\\b`, 'dgi'),
  new RegExp(`(?<![A-Za-z0-9])(${cls})\\)?\\s*(?:选项|项)?\\s*(?:是|为)?(?:正确|对的|答案)`, 'dgi'),
]);

/** Letters that stand marked, wherever: in brackets, or with a bracket behind, or named an option. */
const MARKED = onceFor((cls) => [
  new RegExp(`(?:\\b(?:option|choice)\\s*|选项)[:：]?\\s*["'“(]{0,3}(${cls})(?![A-Za-z0-9])`, 'dgi'),
  new RegExp(`[(\\[【"“](${cls})[)\\]】"”]`, 'dg'),
  new RegExp(`(?<![A-Za-z0-9(\\['’-])(${cls})(?:\\)|\\s*(?:选项|项))`, 'dg'),
  new RegExp(`(?:^|\\n)\\s*(${cls})(?:[.:：、。，,)]?\\s*(?:\\n|$)|[.:：、]\\s)`, 'dg'),
]);

const NEGATED =
  /(?:\bnot|n't|\bexcept|\brather than|\binstead of|\bunlike|不选|不是|不为|排除|除了|并非|不)\s*(?:the\s+)?(?:option|choice|选项)?\s*["'“([【]*$/i;

/** Letters that some patterns mark, in order, with those that are words, denied or offered among several taken out. */
function marked(text: string, patterns: readonly RegExp[], cls: string): { letters: string[]; several: boolean } {
  const found: { at: number; letter: string }[] = [];
  let several = false;
  for (const pattern of patterns) {
    for (const match of text.matchAll(pattern)) {
      const at = match.indices?.[1]?.[0] ?? match.index;
      const letter = text[at];
      if (!/[A-Z]/.test(letter) || isWord(text, at) || NEGATED.test(text.slice(Math.max(0, at - 24), at))) continue;
      if (isOneOfSeveral(text, at, cls)) several = true;
      else found.push({ at, letter });
    }
  }
  return { letters: found.sort((a, b) => a.at - b.at).map((f) => f.letter), several };
}

/** A letter at the head of the text, followed by what follows an answer and not by the rest of a word or sentence. */
function leading(text: string, letters: readonly string[]): string | null {
  const cls = classOf(letters);
  // A bare small letter is an answer when it is all there is.
  const small = /^[([]?([a-z])[)\].]?$/.exec(text)?.[1].toUpperCase();
  if (small && letters.includes(small)) return small;
  const match = new RegExp(`^["'“‘(\\[【<]{0,3}(${cls})(?![A-Za-z0-9+#-])`, 'd').exec(text);
  if (!match) return null;
  const at = match.indices?.[1]?.[0] ?? 0;
  const rest = text.slice(at + 1);
  if (isOneOfSeveral(text, at, cls) || /^(?:['’][A-Za-z]|\.[A-Z]\.|[/\\=<>^])/.test(rest)) return null;
  if (/^\)?\s*(?:选项|项)?\s*(?:是)?\s*(?:不|错|非)|^\)?\s+(?:is|was)\s+(?:not|wrong|incorrect|false)\b/.test(rest)) return null;
  if (isWord(text, at)) return null;
  return text[at];
}

const plain = (text: string) =>
  text
    .toLowerCase()
    .replace(/[\s.,;:!?。，；：！？、"'“”‘’]+/g, ' ')
    .trim();

/**
 * The option that `text` names, of `letters` with their `options` (null where their texts are unknown). Stronger evidence first: the last answer cue, a letter at
 * the head, the text of exactly one option, a verdict behind a letter, a marked letter.
 */
export function extractChoice(text: string, letters: readonly string[], options: readonly string[] | null): Found {
  const part = answerPart(text);
  if (part === '') return { letter: null, why: 'no text' };
  const cls = classOf(letters);
  const cued = marked(part, ANSWER(cls), cls);
  if (cued.several) return { letter: null, why: 'several letters named' };
  if (cued.letters.length > 0) return { letter: cued.letters[cued.letters.length - 1] };
  const head = leading(part, letters);
  if (head) return { letter: head };
  if (options) {
    const said = plain(part.split('\n')[0].replace(/^(?:the\s+)?(?:correct\s+)?(?:answer|答案)\s*(?:is|是|为)?\s*[:：]?\s*/i, ''));
    const same = options.flatMap((option, i) => (plain(option) !== '' && plain(option) === said ? [i] : []));
    if (same.length === 1) return { letter: letters[same[0]] };
  }
  for (const patterns of [BEHIND(cls), MARKED(cls)]) {
    const { letters: named, several } = marked(part, patterns, cls);
    const distinct = [...new Set(named)];
    if (distinct.length === 1 && !several) return { letter: distinct[0] };
    if (distinct.length > 1 || several) return { letter: null, why: 'several letters named' };
  }
  return { letter: null, why: 'no letter named' };
}

/** All letters that an answer to a question with several right ones names, in order: after the last cue, else at the head, else wherever they are marked. */
export function extractChoices(text: string, letters: readonly string[]): string[] {
  const part = answerPart(text);
  const cls = classOf(letters);
  const run = `["'“‘(\\[【]{0,3}${cls}(?:[)\\]】"'”’]{0,3}\\s*(?:[,，、/;；&.]|and|和|及|与)?\\s*(?:and\\s+)?(?:选项)?["'“‘(\\[【]{0,3}${cls})*(?![A-Za-z0-9])`;
  const cues = [
    ...part.matchAll(
      new RegExp(`(?:\\b[Aa]nswers?(?:\\s+(?:is|are))?|\\b[Oo]ptions?|(?<!不)(?:答案|选项|故选|应选|选)(?:应)?(?:是|为|选)?)\\s*[:：]?\\s*(${run})`, 'dg'),
    ),
  ].filter((m) => !isWord(part, m.indices?.[1]?.[0] ?? 0));
  const head = new RegExp(`^(${run})`).exec(part);
  const lettersOf = (s: string) => s.match(new RegExp(cls, 'g')) ?? [];
  if (cues.length > 0) return lettersOf(cues[cues.length - 1][1]);
  if (head && !isWord(part, head[1].search(new RegExp(cls)))) return lettersOf(head[1]);
  return marked(part, [...MARKED(cls), new RegExp(`(?<![A-Za-z0-9'’-])(${cls})(?![A-Za-z0-9'’+#-])`, 'dg')], 'ZZ').letters;
}
