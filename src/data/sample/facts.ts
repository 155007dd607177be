/**
 * The facts of the sample corpus: every table row as (relation, subject, object) in both languages.
 * How a relation is put into words stands in `phrasings.ts`; a fact's id is stable, since the rule that
 * holds phrasings out of training hashes it.
 */
import { CONTINENTS, COUNTRIES, WITH_ARTICLE } from './countries.ts';
import {
  ANIMAL_CLASSES,
  ANIMALS,
  COLOURED,
  COLOURS,
  CONVERSIONS,
  chineseNumber,
  daysInMonth,
  englishNumber,
  englishOrdinal,
  FAMILY,
  MIXTURES,
  WORDS,
  withCommas,
  ZODIAC,
} from './everyday.ts';
import { COUNTRY_NAMES, CURRENCY_NAMES, LANGUAGE_NAMES, MONTH_NAMES, SCRIPT_NAMES, UNIT_NAMES, WEEKDAY_NAMES } from './intl-names.ts';
import { BOOKS, ELEMENTS, EVENTS, LANDMARKS, LANGUAGE_SCRIPTS, PLANETS } from './world.ts';

/** A thing's name inside a sentence, in both languages. */
export interface Name {
  readonly en: string;
  readonly zh: string;
}

/** What can be said of a subject. */
export interface Fact {
  /** `relation:key`, stable. */
  readonly id: string;
  readonly relation: string;
  readonly subject: Name;
  readonly object: Name;
  /** Facts that turn up often, and are asked first. */
  readonly core: boolean;
}

/** A thing with several facts, the topic of an entry or a dialogue. */
export interface Topic {
  readonly kind: TopicKind;
  readonly key: string;
  readonly name: Name;
  readonly facts: readonly Fact[];
  readonly core: boolean;
}

/** The kinds of topic. */
export type TopicKind = 'country' | 'element' | 'planet' | 'animal' | 'month';

const name = (en: string, zh: string): Name => ({ en, zh });
const pair = (p: readonly [string, string]): Name => ({ en: p[0], zh: p[1] });

/** Name of a country inside a sentence ("the United States"). */
export function countryName(code: string): Name {
  const [en, zh] = COUNTRY_NAMES[code];
  return { en: WITH_ARTICLE.has(code) ? `the ${en}` : en, zh };
}

function fact(relation: string, key: string, subject: Name, object: Name, core = false): Fact {
  return { id: `${relation}:${key}`, relation, subject, object, core };
}

function countryTopics(): Topic[] {
  return COUNTRIES.map((row) => {
    const subject = countryName(row.code);
    const facts: Fact[] = [];
    const add = (relation: string, object: Name) => facts.push(fact(relation, row.code, subject, object, row.core));
    if (row.capital) add('capital', pair(row.capital));
    if (row.continent) add('continent', pair(CONTINENTS[row.continent]));
    if (row.currency) add('currency', name(`the ${CURRENCY_NAMES[row.currency][0]}`, CURRENCY_NAMES[row.currency][1]));
    if (row.language) add('language', pair(LANGUAGE_NAMES[row.language]));
    return { kind: 'country', key: row.code, name: subject, facts, core: row.core };
  });
}

const STATES: Readonly<Record<string, Name>> = { gas: name('a gas', '气体'), liquid: name('a liquid', '液体'), solid: name('a solid', '固体') };
const PLANET_KINDS: Readonly<Record<string, Name>> = {
  rocky: name('a rocky planet', '岩石行星'),
  gas: name('a gas giant', '气态巨行星'),
  ice: name('an ice giant', '冰巨行星'),
};

function elementTopics(): Topic[] {
  return ELEMENTS.map(([number, symbol, en, zh, state]) => {
    const subject = name(en, zh);
    const core = Number(number) <= 10 || ['Fe', 'Cu', 'Ag', 'Au'].includes(symbol);
    const facts = [
      fact('symbol', symbol, subject, name(symbol, symbol), core),
      fact('atomic number', symbol, subject, name(number, number), core),
      fact('state', symbol, subject, STATES[state], core),
    ];
    return { kind: 'element', key: symbol, name: subject, facts, core };
  });
}

function planetTopics(): Topic[] {
  return PLANETS.map(([en, zh, kind], i) => {
    const subject = name(en, zh);
    const place = name(`the ${englishOrdinal(i + 1)} planet from the Sun`, `离太阳第${chineseNumber(i + 1)}近的行星`);
    return {
      kind: 'planet',
      key: en,
      name: subject,
      facts: [fact('order', en, subject, place, true), fact('planet kind', en, subject, PLANET_KINDS[kind], true)],
      core: true,
    };
  });
}

function animalTopics(): Topic[] {
  return ANIMALS.map(([en, zh, kind, legs, young, youngZh]) => {
    const subject = name(en, zh);
    const facts = [fact('animal class', en, subject, pair(ANIMAL_CLASSES[kind]), true)];
    const n = Number(legs);
    facts.push(
      fact('legs', en, subject, n === 0 ? name('no legs', '没有腿') : name(`${englishNumber(n)} legs`, `有${n === 2 ? '两' : chineseNumber(n)}条腿`), true),
    );
    if (young !== '') facts.push(fact('young', en, subject, name(young, youngZh), true));
    return { kind: 'animal', key: en, name: subject, facts, core: true };
  });
}

function monthTopics(): Topic[] {
  return MONTH_NAMES.map((month, i) => {
    const subject = pair(month);
    const facts = [
      fact('next month', month[0], subject, pair(MONTH_NAMES[(i + 1) % 12]), true),
      fact('month place', month[0], subject, name(`the ${englishOrdinal(i + 1)} month of the year`, `一年的第${chineseNumber(i + 1)}个月`), true),
    ];
    // February's length depends on the year, so it is not stated.
    if (i !== 1) facts.push(fact('month days', month[0], subject, name(`${daysInMonth(2023, i + 1)} days`, `${daysInMonth(2023, i + 1)}天`), true));
    return { kind: 'month', key: month[0], name: subject, facts, core: true };
  });
}

function singleFacts(): Fact[] {
  const out: Fact[] = [];
  const add = (relation: string, key: string, subject: Name, object: Name, core = false): void => {
    out.push(fact(relation, key, subject, object, core));
  };
  for (const [i, day] of WEEKDAY_NAMES.entries()) add('next day', day[0], pair(day), pair(WEEKDAY_NAMES[(i + 1) % 7]), true);
  for (const [code, script] of LANGUAGE_SCRIPTS) {
    add('script', code, pair(LANGUAGE_NAMES[code]), name(`the ${SCRIPT_NAMES[script][0]} script`, SCRIPT_NAMES[script][1]));
  }
  for (const [en, zh, colour] of COLOURED) add('colour', en, name(en, zh), name(colour, COLOURS[colour]), true);
  for (const [a, b, made] of MIXTURES) add('mixture', `${a}+${b}`, name(`${a} and ${b}`, `${COLOURS[a]}和${COLOURS[b]}`), name(made, COLOURS[made]), true);
  for (const [en, zh, called, calledZh] of FAMILY) add('family', en, name(en, zh), name(called, calledZh), true);
  for (const [large, n, small] of CONVERSIONS) {
    const [one, , zh] = UNIT_NAMES[large];
    const [, many, smallZh] = UNIT_NAMES[small];
    add('unit', `${large}/${small}`, name(`one ${one}`, `一${zh}`), name(`${withCommas(n)} ${many}`, `${n}${smallZh}`), true);
  }
  for (const [year, en, zh] of EVENTS) add('year', en, name(en, zh), name(year, `${year}年`));
  for (const [en, zh, author, authorZh] of BOOKS) add('author', en, name(en, zh), name(author, authorZh));
  for (const [en, zh, code] of LANDMARKS) add('landmark', en, name(en, zh), countryName(code), true);
  for (let year = 2004; year <= 2027; year++) {
    const [en, zh] = ZODIAC[(year - 4) % 12];
    add('zodiac', String(year), name(String(year), `${year}年`), name(`the ${en}`, `${zh}年`));
  }
  // Every form of the words: the small ones, the regular ones of one decade, the tens.
  for (let n = 0; n <= 100; n += n < 30 ? 1 : 10) add('numeral', String(n), name(String(n), String(n)), name(englishNumber(n), chineseNumber(n)));
  for (const [en, zh] of WORDS) add('word', en, name(en, zh), name(zh, en));
  for (const row of COUNTRIES) {
    const [en, zh] = COUNTRY_NAMES[row.code];
    if (row.core) add('country name', row.code, countryName(row.code), name(zh, en), true);
  }
  return out;
}

/** All topics, by kind. */
export const TOPICS: Readonly<Record<TopicKind, readonly Topic[]>> = {
  country: countryTopics(),
  element: elementTopics(),
  planet: planetTopics(),
  animal: animalTopics(),
  month: monthTopics(),
};

/** Every fact, grouped by relation, in a fixed order. */
export const FACTS: ReadonlyMap<string, readonly Fact[]> = (() => {
  const map = new Map<string, Fact[]>();
  for (const f of [...Object.values(TOPICS).flatMap((topics) => topics.flatMap((t) => t.facts)), ...singleFacts()]) {
    const list = map.get(f.relation);
    if (list) list.push(f);
    else map.set(f.relation, [f]);
  }
  return map;
})();
