/**
 * Cleaning: edits that make a text better, then rules by which a document goes. What is done is data (`config.ts`,
 * `rules.ts`); this file is the order of it. Edits work on source, target and every turn of a chat; rules look at all text
 * of the document together, after the edits, in one walk.
 */

import { ScionError } from '../../base/errors.ts';
import type { Doc } from '../../data/doc.ts';
import { docText } from '../../data/doc.ts';
import type { HostFiles } from '../../host/types.ts';
import type { Drop, MapStep, Tally } from '../step.ts';
import { HostList, hostOf, WordFinder } from './blocklists.ts';
import { type CleanConfigInput, lineRules, parseClean, type ResolvedClean, resolveClean } from './config.ts';
import { editCharacters, type Removed } from './edits/characters.ts';
import { removeHidden } from './edits/hidden.ts';
import { editLines } from './edits/lines.ts';
import { stripMarkup } from './edits/markup.ts';
import { repairMojibake } from './edits/mojibake.ts';
import { maskPersonal } from './edits/personal.ts';
import { createSimplifier } from './edits/simplify.ts';
import { codeShare, createLanguageDetector, type LanguageDetector, type LanguageGuess } from './language.ts';
import { Repetition } from './repetition.ts';
import { type Measured, RULES, type Rule, reasonOf, type Threshold } from './rules.ts';
import { Scan, WordSet } from './scan.ts';

export { CleanConfig, type CleanConfigInput } from './config.ts';
export { CLEAN_REASONS, CLEAN_TALLIES, RULE_SETS, RULES, type RuleSet } from './rules.ts';

/** Gopher's eight English ones. The Chinese are the commonest of modern and of classical prose, in both scripts. */
const STOP_WORDS: Readonly<Record<string, readonly string[]>> = {
  en: ['the', 'be', 'to', 'of', 'and', 'that', 'have', 'with'],
  zh: [...'的一是不了在有人我他这這中大上个個为為之其以而也于於者无無所与與此何'],
};

/** What a cleaner reads files with; needed only where the configuration names files. */
export type CleanResources = Pick<HostFiles, 'read'>;

interface Outcome extends Removed {
  before: number;
  hiddenInstructions: number;
  masked: number;
}

async function readLists(paths: readonly string[], files: CleanResources | undefined): Promise<string[]> {
  const lines: string[] = [];
  for (const path of paths) {
    if (!files) continue;
    lines.push(...new TextDecoder().decode(await files.read(path)).split(/\r?\n/));
  }
  return lines;
}

/** A step that can also tell what its rules see. */
export interface CleanStep extends MapStep {
  /** What each rule measures in a document as it is, without edits; null where it does not apply. */
  values(doc: Doc): Record<string, number | null>;
}

class Cleaner implements CleanStep {
  readonly name = 'clean';
  readonly #config: ResolvedClean;
  readonly #rules: readonly { readonly rule: Rule; readonly limit: Threshold }[];
  readonly #scan = new Scan();
  readonly #repetition = new Repetition();
  readonly #stops: ReadonlyMap<string, WordSet>;
  readonly #none = new WordSet([]);
  readonly #words: WordFinder;
  readonly #hosts: HostList;
  readonly #simplify: ((text: string) => string) | null;
  readonly #detect: LanguageDetector | null;

  constructor(config: ResolvedClean, words: WordFinder, hosts: HostList, simplify: ((text: string) => string) | null, detect: LanguageDetector | null) {
    this.#config = config;
    this.#words = words;
    this.#hosts = hosts;
    this.#simplify = simplify;
    this.#detect = detect;
    this.#rules = RULES.flatMap((rule) => {
      const limit = config.thresholds.get(rule.name);
      return limit ? [{ rule, limit }] : [];
    });
    this.#stops = new Map(Object.entries({ ...STOP_WORDS, ...config.stopWords }).map(([language, list]) => [language, new WordSet(list)]));
  }

  apply(doc: Doc, tally: Tally): Doc | Drop {
    const outcome: Outcome = { before: 0, invisible: 0, broken: 0, hiddenInstructions: 0, masked: 0 };
    const edited: Tally = {
      count: (name, by = 1) => {
        if (name === 'clean.hidden-instruction') outcome.hiddenInstructions += by;
        tally.count(name, by);
      },
    };
    if (doc.messages) for (const message of doc.messages) message.content = this.#edit(message.content, edited, outcome);
    if (doc.source) doc.source = this.#edit(doc.source, edited, outcome);
    doc.target = this.#edit(doc.target, edited, outcome);
    const measured = this.#measure(doc, docText(doc), outcome);
    if (this.#config.tagLanguage && !doc.lang) {
      const { language } = measured.guess();
      if (language !== '') {
        doc.lang = language;
        tally.count('clean.language');
      }
    }
    const { unspaced } = this.#scan;
    for (const { rule, limit } of this.#rules) {
      const at = unspaced ? limit.unspaced : limit.spaced;
      if (at === null) continue;
      const found = rule.measure(measured);
      if (found === null || (rule.side === 'min' ? !(found < at) : !(found > at))) continue;
      return { reason: reasonOf(rule.name), note: `${shown(found)}, ${rule.side === 'min' ? 'at least' : 'at most'} ${shown(at)}: ${rule.about}` };
    }
    return doc;
  }

  values(doc: Doc): Record<string, number | null> {
    const measured = this.#measure(doc, docText(doc), { before: docText(doc).length, invisible: 0, broken: 0, hiddenInstructions: 0, masked: 0 });
    return Object.fromEntries(RULES.map(({ name, measure }) => [name, measure(measured)]));
  }

  #edit(text: string, tally: Tally, outcome: Outcome): string {
    const { edits } = this.#config;
    let now = text;
    outcome.before += text.length;
    // Entities first, since they may hide any character; then the repair, whose damage looks like control characters.
    if (edits.markup && edits.hidden !== 'off') now = removeHidden(now, edits.hidden, tally);
    if (edits.markup) now = stripMarkup(now, tally);
    if (edits.mojibake) {
      const mended = repairMojibake(now);
      if (mended.repaired > 0) tally.count('clean.mojibake', mended.repaired);
      now = mended.text;
    }
    if (edits.controls || edits.invisible) now = editCharacters(now, edits, tally, outcome);
    if (edits.unicode !== 'off') {
      const normal = now.normalize(edits.unicode);
      if (normal !== now) tally.count('clean.unicode');
      now = normal;
    }
    if (!edits.markup && edits.hidden !== 'off') now = removeHidden(now, edits.hidden, tally);
    const lines = lineRules(edits);
    if (lines) {
      const before = now;
      now = editLines(now, lines, tally);
      if (edits.space !== 'off') now = now.trim() === '' ? '' : trimLines(now);
      if (now !== before) tally.count('clean.space');
    }
    if (edits.email || edits.phone || edits.id || edits.card || edits.ip !== 'off') {
      const { text: masked, masked: count } = maskPersonal(now, edits, tally);
      outcome.masked += count;
      now = masked;
    }
    if (this.#simplify) {
      const simple = this.#simplify(now);
      if (simple !== now) tally.count('clean.simplified');
      now = simple;
    }
    return now;
  }

  #measure(doc: Doc, text: string, outcome: Outcome): Measured & { guess(): LanguageGuess } {
    const scan = this.#scan;
    const repetition = this.#repetition;
    // A document without a language is asked for the words of the language that its script suggests.
    const language = doc.lang?.toLowerCase().split(/[-_]/)[0] ?? (mostlyHan(text) ? 'zh' : 'en');
    const stops = this.#stops.get(language);
    scan.scan(text, stops ?? this.#none);
    repetition.begin(scan);
    let lines: { count: number; characters: number } | null = null;
    let paragraphs: { count: number; characters: number } | null = null;
    let guess: LanguageGuess | null = null;
    const ask = (): LanguageGuess => {
      guess ??= this.#detect ? this.#detect(text) : { language: '', votes: new Map(), samples: 0 };
      return guess;
    };
    return {
      doc,
      scan,
      repetition,
      ...outcome,
      scripts: this.#config.scripts,
      stopWords: stops && stops.size > 0 ? scan.stopWords : null,
      duplicateLines: () => {
        lines ??= repetition.duplicates(text, scan.lines);
        return lines;
      },
      duplicateParagraphs: () => {
        paragraphs ??= repetition.duplicates(text, scan.paragraphs);
        return paragraphs;
      },
      codeShare: () => codeShare(text),
      languageShare: () => {
        const wanted = this.#config.languages;
        if (wanted.length === 0) return null;
        const { votes, samples } = ask();
        return samples === 0 ? null : wanted.reduce((sum, name) => sum + (votes.get(name) ?? 0), 0) / samples;
      },
      blockedWords: () => this.#words.count(text),
      blockedLinks: () => this.#hosts.count(text),
      blockedHost: () => {
        const host = hostOf(doc.id);
        return host !== null && this.#hosts.has(host);
      },
      guess: ask,
    };
  }
}

/** The beginning of a text says which stop words to count. */
function mostlyHan(text: string): boolean {
  let han = 0;
  let latin = 0;
  const n = Math.min(text.length, 2000);
  for (let i = 0; i < n; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x3400 && code <= 0x9fff) han++;
    else if ((code | 32) >= 97 && (code | 32) <= 122) latin++;
  }
  // A Chinese character says about as much as four letters.
  return han * 4 > latin;
}

/** Without empty lines at its ends; the indent of the first line stays. */
function trimLines(text: string): string {
  let from = 0;
  let to = text.length;
  while (text.charCodeAt(from) === 10) from++;
  while (to > from && text.charCodeAt(to - 1) <= 32) to--;
  return from === 0 && to === text.length ? text : text.slice(from, to);
}

function shown(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}

async function build(resolved: ResolvedClean, files: CleanResources | undefined): Promise<Cleaner> {
  const { blockWords, blockWordFiles, blockHosts, blockHostFiles, languages, tagLanguage, edits } = resolved;
  if (!files && blockWordFiles.length + blockHostFiles.length > 0) {
    throw new ScionError(
      'usage',
      `clean was asked to read ${[...blockWordFiles, ...blockHostFiles].join(', ')}, but was given no way to read files. Hand over the host's files.`,
    );
  }
  const words = new WordFinder([...blockWords, ...(await readLists(blockWordFiles, files))]);
  const hosts = new HostList([...blockHosts, ...(await readLists(blockHostFiles, files))]);
  const simplify = edits.simplify === 'off' ? null : await createSimplifier(edits.simplify);
  const detect = languages.length > 0 || tagLanguage ? await createLanguageDetector() : null;
  return new Cleaner(resolved, words, hosts, simplify, detect);
}

/** Cleans each category with the cleaner of the first name or pattern that fits it. */
class CleanerByCategory implements CleanStep {
  readonly name = 'clean';
  readonly #otherwise: Cleaner;
  readonly #patterns: readonly (readonly [parts: readonly string[], Cleaner])[];
  readonly #known = new Map<string, Cleaner>();

  constructor(otherwise: Cleaner, patterns: readonly (readonly [string, Cleaner])[]) {
    this.#otherwise = otherwise;
    this.#patterns = patterns.map(([pattern, cleaner]) => [pattern.split('*'), cleaner]);
  }

  apply(doc: Doc, tally: Tally): Doc | Drop {
    return this.#of(doc.category).apply(doc, tally);
  }

  values(doc: Doc): Record<string, number | null> {
    return this.#of(doc.category).values(doc);
  }

  #of(category: string): Cleaner {
    const known = this.#known.get(category);
    if (known) return known;
    const found = this.#patterns.find(([parts]) => fits(category, parts))?.[1] ?? this.#otherwise;
    // Names of categories come from the data: keep only so many.
    if (this.#known.size < 10_000) this.#known.set(category, found);
    return found;
  }
}

/** True if the parts of a pattern, split at its stars, stand in the name in their order. */
function fits(name: string, parts: readonly string[]): boolean {
  const last = parts[parts.length - 1];
  if (parts.length === 1) return name === last;
  if (!name.startsWith(parts[0])) return false;
  let at = parts[0].length;
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - at >= last.length && name.endsWith(last);
}

/**
 * The step that cleans. `config` is the name of a rule set or an object of `CleanConfig`; lists in files are read through
 * `files`. Throws `usage` for a configuration that is not right. The step keeps its tables between documents, nothing else.
 */
export async function createCleaner(config: CleanConfigInput | string = {}, files?: CleanResources): Promise<CleanStep> {
  const { categories, ...plain } = parseClean(config);
  const otherwise = await build(resolveClean(plain), files);
  const patterns: [string, Cleaner][] = [];
  for (const [pattern, other] of Object.entries(categories)) {
    const { categories: _, ...own } = typeof other === 'string' ? parseClean(other) : { ...other, categories: {} };
    patterns.push([pattern, await build(resolveClean(own), files)]);
  }
  return patterns.length === 0 ? otherwise : new CleanerByCategory(otherwise, patterns);
}
