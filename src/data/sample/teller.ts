/**
 * Puts facts into words for one document: draws phrasings and topics from the document's own random
 * stream, and keeps the rule of the split. For every fact and language one sentence and one question are
 * held out: training documents never use them, validation documents sometimes do, and the question set
 * is made of them.
 */
import type { Random } from '../../base/random.ts';
import { hash32 } from '../hash.ts';
import { FACTS, type Fact, type Name, TOPICS, type Topic, type TopicKind } from './facts.ts';
import { PHRASINGS, type Phrasing } from './phrasings.ts';

/** The languages of the corpus. */
export type Lang = 'en' | 'zh';

/** The sides of the split. */
export type Split = 'train' | 'validation';

/** Share of a validation document's statements that use the held-out phrasing. */
const HELD_OUT_SHARE = 0.3;
/**
 * Topics and facts turn up with a frequency of 1 / (rank + offset), as words do in real text (Zipf): what
 * is frequent can be learned in a minute, and there is a tail to go on with. Smaller offsets are steeper.
 */
const OFFSETS: Readonly<Record<string, number>> = { country: 1.5, capital: 1.5, continent: 1.5, currency: 1.5, language: 1.5 };
const USUAL_OFFSET = 4;

/** Makes the first letter a capital; Chinese is left as it is. */
export function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** A template with its names put in. */
export function render(template: string, fact: Fact, lang: Lang): string {
  return capital(template.replaceAll('{s}', fact.subject[lang]).replaceAll('{o}', fact.object[lang]));
}

/** The sentence without its final stop. */
function stem(text: string): string {
  return text.replace(/[.。]$/, '');
}

/** What is held out of training for a fact in a language: the index of a `last` sentence and of a question, -1 where none can be. */
export interface HeldOut {
  readonly last: number;
  readonly ask: number;
}

const heldOutMemo = new Map<string, HeldOut>();

/**
 * The rule: of the phrasings that are not part of another one ("Mars is …" is part of "Counted from the
 * inside, Mars is …"), the one that the hash of fact and language names.
 */
export function heldOut(fact: Fact, lang: Lang): HeldOut {
  const key = `${lang}/${fact.id}`;
  const known = heldOutMemo.get(key);
  if (known) return known;
  const words: Phrasing = PHRASINGS[fact.relation][lang];
  const choose = (templates: readonly string[], others: readonly string[], salt: number) => {
    const texts = [...templates, ...others].map((t) => stem(render(t, fact, lang)));
    const alone = templates.map((_, i) => i).filter((i) => texts.every((text, j) => i === j || !text.includes(texts[i])));
    // Another way of saying it must stay in training.
    return alone.length === 0 || texts.length < 2 ? -1 : alone[hash32(key, salt) % alone.length];
  };
  const held = { last: choose(words.last, words.free, 1), ask: choose(words.ask, [], 2) };
  heldOutMemo.set(key, held);
  return held;
}

/** One document's voice. */
export class Teller {
  readonly lang: Lang;
  readonly split: Split;
  readonly random: Random;
  /** Null: all there is, by Zipf's law. A number: only the first so many topics of a kind and facts of a relation, all alike. */
  readonly reach: number | null;

  constructor(random: Random, lang: Lang, split: Split, reach: number | null = null) {
    this.random = random;
    this.lang = lang;
    this.split = split;
    this.reach = reach;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.random.below(items.length)];
  }

  /** `n` different items in random order (all if there are fewer). */
  some<T>(items: readonly T[], n: number): T[] {
    return this.random.shuffle([...items]).slice(0, n);
  }

  /** True with this probability. */
  chance(p: number): boolean {
    return this.random.uniform() < p;
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.random.below(high - low + 1);
  }

  /** The name in this document's language. */
  of(name: Name): string {
    return name[this.lang];
  }

  /** `n` different topics of a kind, frequent ones more often. */
  topics(kind: TopicKind, n: number): Topic[] {
    return this.frequent(TOPICS[kind], n, OFFSETS[kind] ?? USUAL_OFFSET);
  }

  /** `n` different facts of a relation (all if there are fewer), frequent ones more often. */
  facts(relation: string, n: number): Fact[] {
    return this.frequent(FACTS.get(relation) ?? [], n, OFFSETS[relation] ?? USUAL_OFFSET);
  }

  /** A whole sentence that states the fact. */
  say(fact: Fact): string {
    const words = PHRASINGS[fact.relation][this.lang];
    const held = heldOut(fact, this.lang).last;
    const templates = [...words.last, ...words.free];
    return render(templates[this.allowed(templates.length, held)], fact, this.lang);
  }

  /** A sentence that leaves the subject to the text before it. */
  brief(fact: Fact): string {
    return render(this.pick(PHRASINGS[fact.relation][this.lang].brief), fact, this.lang);
  }

  /** A question whose answer is the fact's object. */
  ask(fact: Fact): string {
    const words = PHRASINGS[fact.relation][this.lang].ask;
    return render(words[this.allowed(words.length, heldOut(fact, this.lang).ask)], fact, this.lang);
  }

  /** Draws without replacement by weight 1 / (rank + offset). */
  private frequent<T>(items: readonly T[], n: number, offset: number): T[] {
    if (this.reach !== null) return this.some(items.slice(0, this.reach), n);
    const left = items.map((item, i) => ({ item, weight: 1 / (i + offset) }));
    const out: T[] = [];
    while (out.length < n && left.length > 0) {
      let at = this.random.uniform() * left.reduce((sum, x) => sum + x.weight, 0);
      let i = 0;
      while (i < left.length - 1 && at >= left[i].weight) at -= left[i++].weight;
      out.push(left[i].item);
      left.splice(i, 1);
    }
    return out;
  }

  /** An index below `n`: in training never the held-out one, in validation that one more often. */
  private allowed(n: number, held: number): number {
    if (held < 0) return this.random.below(n);
    if (this.split === 'validation' && this.chance(HELD_OUT_SHARE)) return held;
    const i = this.random.below(n - 1);
    return i < held ? i : i + 1;
  }
}
