/**
 * The project's own bilingual corpus of real facts, made by code: the same documents on every host, no
 * download. It trades natural variety for being checkable and free; it teaches a small model enough to
 * answer questions, and it is no substitute for real text.
 */
import { ScionError } from '../../base/errors.ts';
import { Random } from '../../base/random.ts';
import { Sha256 } from '../../base/sha256.ts';
import { hash32 } from '../hash.ts';
import { CHINESE, chineseList, translation } from './chinese.ts';
import { ENGLISH, englishList } from './english.ts';
import { FACTS, type Fact } from './facts.ts';
import { PHRASINGS } from './phrasings.ts';
import { heldOut, type Lang, render, type Split, Teller } from './teller.ts';

export type { Lang, Split } from './teller.ts';

/** One document, in the field names of the data files (`source` is empty, `target` is the text). */
export interface SampleDocument {
  readonly id: string;
  readonly lang: Lang;
  readonly category: string;
  readonly source: '';
  readonly target: string;
}

/** A question whose wording is held out of training while its fact is not. */
export interface SampleQuestion {
  readonly id: string;
  readonly lang: Lang;
  readonly prompt: string;
  /** What follows the prompt, with its leading space where the language has one. */
  readonly answer: string;
  /** The relation, for example `capital`. */
  readonly category: string;
  /** Whether the prompt is the start of a sentence or a question with `Answer:`. */
  readonly form: 'sentence' | 'question';
  /** True for facts that training text states often. */
  readonly core: boolean;
}

/** What to generate; with neither number, 2,000,000 bytes. */
export interface SampleOptions {
  readonly seed?: number;
  /** Number of documents. */
  readonly documents?: number;
  /** Stop with the document that reaches this many UTF-8 bytes (at most 8,000,000: the facts are finite). */
  readonly bytes?: number;
}

/** Categories and how often each turns up; the same in both languages. */
const WEIGHTS: readonly (readonly [string, number])[] = [
  ['encyclopedia', 22],
  ['questions', 12],
  ['dialogue', 14],
  ['story', 14],
  ['translation', 8],
  ['comparison', 10],
  ['quiz', 4],
  ['letter', 7],
  ['exercise', 3],
];
const TOTAL_WEIGHT = WEIGHTS.reduce((sum, [, w]) => sum + w, 0);
/**
 * Each language's every eighth document is a list, and the lists go through all facts in turn, so that
 * the rare ones turn up too: about three times in the default corpus.
 */
const LIST_PERIOD = 8;
const LIST_LENGTH = 8;
/** One document in this many is for validation. */
const VALIDATION_PART = 20;
const MOST_BYTES = 8_000_000;
const encoder = new TextEncoder();

/** Which side of the split a sample document is on: a hash of its id, whatever the seed. */
export function sampleSplitOf(id: string): Split {
  return hash32(id, 7) % VALIDATION_PART === 0 ? 'validation' : 'train';
}

/** All facts in groups of one relation, for the lists. */
const LISTS: readonly (readonly Fact[])[] = [...FACTS.values()].flatMap((facts) => {
  const parts = Math.ceil(facts.length / LIST_LENGTH);
  return Array.from({ length: parts }, (_, i) => facts.slice(Math.floor((i * facts.length) / parts), Math.floor(((i + 1) * facts.length) / parts)));
});

/** A category by weight. */
function drawCategory(random: Random): string {
  let at = random.below(TOTAL_WEIGHT);
  for (const [name, weight] of WEIGHTS) {
    if (at < weight) return name;
    at -= weight;
  }
  return WEIGHTS[0][0];
}

/** Document number `n` of a seed. */
function makeDocument(seed: number, n: number): SampleDocument {
  const random = new Random(seed, n);
  const lang: Lang = n % 2 === 0 ? 'en' : 'zh';
  const turn = Math.floor(n / 2);
  const category = turn % LIST_PERIOD === LIST_PERIOD - 1 ? 'list' : drawCategory(random);
  const id = `${lang}-${category}-${String(n).padStart(6, '0')}`;
  const teller = new Teller(random, lang, sampleSplitOf(id));
  const write = (): string => {
    if (category === 'translation') return translation(teller);
    if (category !== 'list') return (lang === 'en' ? ENGLISH : CHINESE)[category](teller);
    const group = LISTS[Math.floor(turn / LIST_PERIOD) % LISTS.length];
    return (lang === 'en' ? englishList : chineseList)(teller, random.shuffle([...group]));
  };
  return { id, lang, category, source: '', target: write() };
}

/**
 * Generates documents, English and Chinese in turn, each text once. Deterministic: a longer corpus of the
 * same seed begins with the shorter one. Throws `usage` for counts below 1 or beyond what can be made.
 */
export function sampleCorpus(options: SampleOptions = {}): SampleDocument[] {
  const { seed = 1, documents } = options;
  const bytes = options.bytes ?? (documents === undefined ? 2_000_000 : MOST_BYTES);
  for (const [name, value, most] of [
    ['documents', documents ?? 1, 20_000],
    ['bytes', bytes, MOST_BYTES],
  ] as const) {
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new ScionError('usage', `sample corpus: ${name} must be an integer from 1 to ${most}, got ${value}`, { name, value, most });
    }
  }
  const seen = new Set<string>();
  const out: SampleDocument[] = [];
  let total = 0;
  for (let n = 0; out.length < (documents ?? Number.POSITIVE_INFINITY) && total < bytes; n++) {
    const document = makeDocument(seed, n);
    if (seen.has(document.target)) continue;
    seen.add(document.target);
    out.push(document);
    total += encoder.encode(document.target).length;
  }
  return out;
}

/** SHA-256 of the default corpus (`sampleDigest(sampleCorpus())`): every host must make these bytes. */
export const SAMPLE_SHA256 = '28688a5c41df3c14d23b1718288ae2bf5a71e965a02766e5d6066a9d4a983e77';

/** SHA-256 over id and text of all documents and, after them, of all questions. */
export function sampleDigest(documents: readonly SampleDocument[]): string {
  const hash = new Sha256();
  for (const d of documents) hash.update(encoder.encode(`${d.id}\n${d.target}\n`));
  for (const q of sampleQuestions()) hash.update(encoder.encode(`${q.id}\n${q.prompt}\n${q.answer}\n`));
  return hash.hex();
}

/** The corpus by sides of the split. */
export function sampleSplits(options: SampleOptions = {}): Record<Split, SampleDocument[]> {
  const all = sampleCorpus(options);
  return { train: all.filter((d) => sampleSplitOf(d.id) === 'train'), validation: all.filter((d) => sampleSplitOf(d.id) === 'validation') };
}

/**
 * All questions, often stated facts first. Their exact wording occurs in no training document of any
 * seed; their facts do, in other words. The same on every host.
 */
export function sampleQuestions(): SampleQuestion[] {
  const out: SampleQuestion[] = [];
  for (const [relation, facts] of FACTS) {
    for (const fact of facts) {
      for (const lang of ['en', 'zh'] as const) {
        const held = heldOut(fact, lang);
        const answer = fact.object[lang];
        const common = { lang, category: relation, core: fact.core };
        if (held.last >= 0) {
          const text = render(PHRASINGS[relation][lang].last[held.last], fact, lang);
          const prompt = text.slice(0, text.lastIndexOf(answer)).trimEnd();
          out.push({ id: `${lang}/${fact.id}/sentence`, ...common, prompt, answer: lang === 'en' ? ` ${answer}` : answer, form: 'sentence' });
        }
        if (held.ask >= 0) {
          const question = render(PHRASINGS[relation][lang].ask[held.ask], fact, lang);
          const [prompt, space] = lang === 'en' ? [`Question: ${question}\nAnswer:`, ' '] : [`问：${question}\n答：`, ''];
          out.push({ id: `${lang}/${fact.id}/question`, ...common, prompt, answer: `${space}${answer}`, form: 'question' });
        }
      }
    }
  }
  return [...out.filter((q) => q.core), ...out.filter((q) => !q.core)];
}
