/**
 * The configuration of cleaning: the name of a rule set and what differs from it. Plain JSON, checked by a schema whose
 * keys are the rules themselves, so that a misspelt rule is an error and not a rule that never fires.
 */
import { z } from 'zod';
import { ScionError } from '../../base/errors.ts';
import { SCRIPTS, type ScriptName } from './classes.ts';
import type { LineRules } from './edits/lines.ts';
import { RULE_SETS, RULES, type RuleSet, type Threshold } from './rules.ts';

const C4Lines = z.strictObject({
  terminal: z.boolean().default(true).describe('keep only lines that end in a stop, a quote, ? or !'),
  minWords: z.int().min(0).default(3).describe('words that a kept line has, 0: any'),
  maxWordLength: z.int().min(0).default(1000).describe('characters of the longest word of a kept line, 0: any'),
  javascript: z.boolean().default(true).describe('drop lines with the word javascript'),
  policy: z.boolean().default(true).describe('drop lines on cookies, privacy policies, terms of use'),
  citations: z.boolean().default(true).describe('remove [12], [edit], [citation needed]'),
});

const Edits = z.strictObject({
  unicode: z.enum(['NFC', 'NFKC', 'off']).describe('Unicode form. NFKC also turns full-width Chinese punctuation into ASCII'),
  mojibake: z.boolean().describe('repair UTF-8 that was read as Windows-1252 or Latin-1'),
  controls: z.boolean().describe('remove control characters, lone surrogates, U+FFFD'),
  invisible: z.boolean().describe('remove zero-width and bidirectional controls and tag characters'),
  hidden: z.enum(['instructions', 'all', 'off']).describe('HTML comments and hidden elements: remove those that give orders, or all'),
  markup: z.boolean().describe('strip known HTML tags and resolve entities'),
  space: z.enum(['off', 'ends', 'full']).describe('ends: line ends, at most two empty lines; full: also runs of spaces, at most one empty line'),
  boilerplate: z.boolean().describe('remove lines that are only menus, notices, buttons'),
  pageNumbers: z.boolean().describe('remove lines that are only a page number'),
  fences: z.boolean().describe('leave what stands between ``` or ~~~ as it is'),
  email: z.boolean().describe('mask e-mail addresses as <email>'),
  phone: z.boolean().describe('mask telephone numbers as <phone>: Chinese, North American, international with +'),
  id: z.boolean().describe('mask identity numbers as <id>: Chinese (18 places, check digit), US social security'),
  card: z.boolean().describe('mask bank card numbers as <card> (scheme and check digit)'),
  ip: z.enum(['all', 'public', 'off']).describe('mask IPv4 and IPv6 addresses as <ip>; public leaves private and documentation ranges'),
  simplify: z
    .enum(['off', 't', 'tw', 'twp', 'hk', 'hkp'])
    .describe('traditional to simplified; t: characters only (old texts), twp, hkp: also the words of Taiwan, Hong Kong'),
  c4: z.union([z.null(), C4Lines]).describe('line rules of C4, null: off'),
});

export type Edits = z.infer<typeof Edits>;

const Limit = z.union([
  z.number(),
  z.null(),
  z.strictObject({
    spaced: z.union([z.number(), z.null()]).optional().describe('for scripts with spaces'),
    unspaced: z.union([z.number(), z.null()]).optional().describe('for scripts without spaces, words are characters'),
  }),
]);
type Limit = z.infer<typeof Limit>;

const Drops = z.strictObject(Object.fromEntries(RULES.map(({ name, side, about }) => [name, Limit.optional().describe(`${side} ${about}; null: off`)])));

const scriptNames = Object.keys(SCRIPTS) as [ScriptName, ...ScriptName[]];

const Plain = z.strictObject({
  rules: z
    .enum([...RULE_SETS, 'none'])
    .default('web')
    .describe('the rule set to begin with; none: nothing is on'),
  edits: Edits.partial().default({}).describe('edits that differ from the rule set'),
  drops: Drops.default({}).describe('thresholds that differ from the rule set, by rule'),
  scripts: z.array(z.enum(scriptNames)).default([]).describe('wanted scripts, for the rule script; empty: any'),
  languages: z.array(z.string()).default([]).describe('wanted languages (ISO 639-1), for the rule language; empty: any'),
  tagLanguage: z.boolean().default(false).describe('note the language found in documents that name none'),
  stopWords: z
    .record(z.string(), z.array(z.string()))
    .default({})
    .describe('stop words by language (ISO 639-1), beside those of en and zh; a list of [] switches the rule off for it'),
  blockWords: z.array(z.string()).default([]).describe('words and phrases that are not wanted'),
  blockWordFiles: z.array(z.string()).default([]).describe('files of such words, one a line'),
  blockHosts: z.array(z.string()).default([]).describe('hosts that are not wanted, with all below them'),
  blockHostFiles: z.array(z.string()).default([]).describe('files of such hosts, one a line'),
});

/** What `createCleaner` takes. */
export const CleanConfig = Plain.extend({
  categories: z
    .record(z.string(), z.union([z.enum([...RULE_SETS, 'none']), Plain]))
    .default({})
    .describe('another set or configuration for some categories, whole names or patterns with *; the first that fits counts'),
});

export type CleanConfig = z.infer<typeof CleanConfig>;
export type CleanConfigInput = z.input<typeof CleanConfig>;

/** A configuration with every edit and every threshold filled in. */
export interface ResolvedClean extends Omit<CleanConfig, 'edits' | 'drops' | 'rules' | 'categories'> {
  readonly edits: Edits;
  readonly thresholds: ReadonlyMap<string, Threshold>;
}

const PERSONAL = { email: true, phone: true, id: true, card: true, ip: 'public' } as const;
const ALWAYS = { unicode: 'NFC', mojibake: true, controls: true, invisible: true, simplify: 'off', c4: null, ...PERSONAL } as const;

const SET_EDITS: Readonly<Record<RuleSet | 'none', Edits>> = {
  web: { ...ALWAYS, hidden: 'all', markup: true, space: 'full', boilerplate: true, pageNumbers: false, fences: false },
  book: { ...ALWAYS, hidden: 'all', markup: true, space: 'ends', boilerplate: false, pageNumbers: true, fences: false },
  'code-doc': { ...ALWAYS, hidden: 'instructions', markup: false, space: 'ends', boilerplate: false, pageNumbers: false, fences: true },
  dialogue: { ...ALWAYS, hidden: 'instructions', markup: false, space: 'ends', boilerplate: false, pageNumbers: false, fences: true },
  none: {
    unicode: 'off',
    mojibake: false,
    controls: false,
    invisible: false,
    hidden: 'off',
    markup: false,
    space: 'off',
    boilerplate: false,
    pageNumbers: false,
    fences: false,
    email: false,
    phone: false,
    id: false,
    card: false,
    ip: 'off',
    simplify: 'off',
    c4: null,
  },
};

/** Which line edits a configuration asks for; null: none. */
export function lineRules(edits: Edits): LineRules | null {
  if (edits.space === 'off' && !edits.boilerplate && !edits.pageNumbers && edits.c4 === null) return null;
  const { space, boilerplate, pageNumbers, fences, c4 } = edits;
  return { space, boilerplate, pageNumbers, fences, c4 };
}

/** Checks a configuration. A `usage` error names what is wrong. A bare name is the rule set as it is. */
export function parseClean(input: unknown): CleanConfig {
  const parsed = CleanConfig.safeParse(typeof input === 'string' ? { rules: input } : (input ?? {}));
  if (!parsed.success) throw new ScionError('usage', `the configuration of clean is not right: ${z.prettifyError(parsed.error)}`, { input });
  return parsed.data;
}

/** Fills in what the rule set gives. */
export function resolveClean(config: z.infer<typeof Plain>): ResolvedClean {
  const { rules, edits, drops, ...rest } = config;
  const thresholds = new Map<string, Threshold>();
  for (const { name, defaults } of RULES) {
    const begin: Threshold = rules === 'none' ? { spaced: null, unspaced: null } : defaults[rules];
    const change = drops[name] as Limit | undefined;
    let limit = begin;
    if (change === null || typeof change === 'number') limit = { spaced: change, unspaced: change };
    else if (change !== undefined) limit = { ...begin, ...change };
    if (limit.spaced !== null || limit.unspaced !== null) thresholds.set(name, limit);
  }
  return { ...rest, edits: { ...SET_EDITS[rules], ...edits }, thresholds };
}
