/**
 * The texts of the sample's graft by category. `en`: English about few things, so that a tiny base has learnt it in a minute and a half, and documents that state the facts
 * of the injection stage (`INJECTED_RELATIONS`); `zh`: Chinese about few things; `facts`: Chinese documents that state those facts in varied words. The
 * corpus states facts as often as their rank says (Zipf); here each comes round equally often. Held-out wordings stay held out.
 */
import { ScionError } from '../../base/errors.ts';
import { Random } from '../../base/random.ts';
import { CHINESE } from './chinese.ts';
import { INJECTED_RELATIONS } from './choices.ts';
import { ENGLISH } from './english.ts';
import { FACTS, type Fact } from './facts.ts';
import { type SampleDocument, sampleSplitOf } from './index.ts';
import { type Lang, type Split, Teller } from './teller.ts';

/** Categories of the graft's texts. */
export const GRAFT_CATEGORIES = ['en', 'zh', 'facts'] as const;
export type GraftCategory = (typeof GRAFT_CATEGORIES)[number];

/** How many documents of each kind are generated, both sides of the split together. */
export interface GraftOptions {
  readonly seed: number;
  /** English documents about this and that. */
  readonly english: number;
  /** English documents that state the injected facts. */
  readonly englishFacts: number;
  /** Chinese documents about this and that. */
  readonly chinese: number;
  /** Chinese documents that state the injected facts. */
  readonly facts: number;
}

/** What `npm start` takes: about two passes of the base's stage over its English. */
export const GRAFT_TEXTS: GraftOptions = { seed: 1, english: 1500, englishFacts: 1300, chinese: 1000, facts: 1000 };

/** Facts a document. */
const FACTS_EACH = 5;
/** Documents are about the first so many countries, animals and so on. */
const REACH = 5;
const KINDS = ['encyclopedia', 'story', 'letter', 'comparison'] as const;
const HAN = /\p{Script=Han}/u;
/** Streams of random numbers: documents of the corpus use those below. */
const STREAM = 0x100000;

type Form = (t: Teller, facts: readonly Fact[]) => string;

/** Ways to write about a handful of facts. */
const FORMS: Readonly<Record<Lang, readonly Form[]>> = {
  en: [
    (t, facts) => facts.map((f) => `Question: ${t.ask(f)}\nAnswer: ${f.object.en}`).join('\n'),
    (t, facts) => facts.map((f) => t.say(f)).join(' '),
    (t, facts) => facts.map((f) => `${t.ask(f)} ${f.object.en}. ${t.say(f)}`).join('\n'),
  ],
  zh: [
    (t, facts) => facts.map((f) => `问：${t.ask(f)}\n答：${f.object.zh}`).join('\n'),
    (t, facts) => facts.map((f) => t.say(f)).join(''),
    (t, facts) => facts.map((f) => `${t.ask(f)}${f.object.zh}。${t.say(f)}`).join('\n'),
  ],
};

/** Documents about the injected facts, each of one relation; a relation has documents as it has facts. More of the same seed begin with the fewer. */
export function sampleInjection(lang: Lang, options: { readonly seed?: number; readonly documents?: number } = {}): SampleDocument[] {
  const { seed = 1, documents = GRAFT_TEXTS.facts } = options;
  if (!Number.isInteger(documents) || documents < 0 || documents > 100_000)
    throw new ScionError('usage', `injection: ${documents} documents were asked for; take an integer from 0 to 100000`, { documents });
  const all = INJECTED_RELATIONS.flatMap((relation) => FACTS.get(relation) ?? []);
  const decks = new Map<string, Fact[]>();
  return Array.from({ length: documents }, (_, n) => {
    const random = new Random(seed, (lang === 'en' ? 2 : 1) * STREAM + n);
    const { relation } = all[random.below(all.length)];
    const deck = decks.get(relation) ?? [];
    // A fresh deck follows what is left of the old one, so that facts come round evenly; what is left does not come twice in one document.
    if (deck.length < FACTS_EACH) deck.push(...random.shuffle((FACTS.get(relation) ?? []).filter((f) => !deck.includes(f))));
    decks.set(relation, deck);
    const facts = deck.splice(0, FACTS_EACH);
    const id = `${lang}-facts-${String(n).padStart(6, '0')}`;
    const forms = FORMS[lang];
    return { id, lang, category: 'facts', source: '', target: forms[random.below(forms.length)](new Teller(random, lang, sampleSplitOf(id)), facts) };
  });
}

/** Documents about few things; no text twice, and no English one with a Chinese character. */
function narrow(lang: Lang, seed: number, documents: number): SampleDocument[] {
  const seen = new Set<string>();
  const out: SampleDocument[] = [];
  for (let n = 0; out.length < documents; n++) {
    const random = new Random(seed, (lang === 'en' ? 4 : 3) * STREAM + n);
    const category = KINDS[random.below(KINDS.length)];
    const id = `${lang}-narrow-${category}-${String(n).padStart(6, '0')}`;
    const target = (lang === 'en' ? ENGLISH : CHINESE)[category](new Teller(random, lang, sampleSplitOf(id), REACH));
    if ((lang === 'en' && HAN.test(target)) || seen.has(target)) continue;
    seen.add(target);
    out.push({ id, lang, category, source: '', target });
  }
  return out;
}

/** All documents of the graft, by side of the split and category. The same on every host. */
export function sampleGraftDocuments(options: Partial<GraftOptions> = {}): Record<Split, Record<GraftCategory, SampleDocument[]>> {
  const { seed, english, englishFacts, chinese, facts } = { ...GRAFT_TEXTS, ...options };
  const all: Record<GraftCategory, SampleDocument[]> = {
    en: [...narrow('en', seed, english), ...sampleInjection('en', { seed, documents: englishFacts })],
    zh: narrow('zh', seed, chinese),
    facts: sampleInjection('zh', { seed, documents: facts }),
  };
  const side = (split: Split): Record<GraftCategory, SampleDocument[]> => {
    const of = (category: GraftCategory) => all[category].filter((d) => sampleSplitOf(d.id) === split);
    return { en: of('en'), zh: of('zh'), facts: of('facts') };
  };
  return { train: side('train'), validation: side('validation') };
}
