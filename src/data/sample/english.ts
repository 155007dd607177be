/**
 * The English documents of the sample corpus, one function a category. They are built so that much can
 * be known from far back: names return all through a document, answers repeat what was stated, closing
 * lines sum up; a short context cannot see that, attention can.
 */
import { COUNTRIES } from './countries.ts';
import { daysInMonth, PEOPLE, weekdayOf, withCommas } from './everyday.ts';
import { countryName, FACTS, type Fact, type Topic, type TopicKind } from './facts.ts';
import { MONTH_NAMES, WEEKDAY_NAMES } from './intl-names.ts';
import { PHRASINGS } from './phrasings.ts';
import { capital, type Teller } from './teller.ts';

/** Names without their article, for headings. */
const heading = (text: string) => capital(text.replace(/^(the|an?) /, ''));

/** `a, b and c`. */
function listing(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items[items.length - 1]}`;
}

/** A kind of topic, countries most often. */
export function someKind(t: Teller): TopicKind {
  return t.pick(['country', 'country', 'country', 'country', 'country', 'country', 'country', 'element', 'animal', 'animal', 'planet', 'month'] as const);
}

const SINGLE_RELATIONS =
  'next day|script|colour|mixture|family|unit|year|year|year|author|author|landmark|zodiac|zodiac|numeral|numeral|numeral|word|word|word|country name|country name'.split(
    '|',
  );
const QUIZ_RELATIONS =
  'capital|capital|currency|language|continent|symbol|atomic number|animal class|young|legs|year|author|landmark|script|word|country name|zodiac|family|colour'.split(
    '|',
  );

// A relation with many facts stands here more than once, so that each of its facts turns up often enough.
/** Facts that belong together: those of one topic, or several of one relation. */
export function someFacts(t: Teller, n: number): Fact[] {
  if (t.chance(0.75)) {
    const [topic] = t.topics(someKind(t), 1);
    const facts = t.some(topic.facts, n);
    if (facts.length >= 2) return facts;
  }
  return t.facts(t.pick(SINGLE_RELATIONS), n);
}

function neighbours(topic: Topic): string[] {
  const row = COUNTRIES.find((c) => c.code === topic.key);
  return (row?.neighbours ?? []).map((code) => countryName(code).en);
}

/** The facts as `label: value` pieces. */
function labels(facts: readonly Fact[]): string[] {
  return facts.map((f) => `${f.relation} ${f.object.en}`);
}

function encyclopedia(t: Teller): string {
  const [topic] = t.topics(someKind(t), 1);
  const name = topic.name.en;
  const facts = t.some(topic.facts, topic.facts.length);
  const sentences = facts.map((f, i) => (i === 0 || t.chance(0.6) ? t.say(f) : t.brief(f)));
  const near = topic.kind === 'country' ? neighbours(topic) : [];
  if (near.length > 0) {
    const some = t.some(near, 4);
    sentences.push(some.length === 1 ? `A neighbour of ${name} is ${some[0]}.` : `Neighbours of ${name} are ${listing(some)}.`);
  }
  const sights = topic.kind === 'country' ? (FACTS.get('landmark') ?? []).filter((f) => f.object.en === name) : [];
  if (sights.length > 0) sentences.push(t.say(t.pick(sights)));
  const opening = t.pick([`This entry is about ${name}.`, `Here is what one should know about ${name}.`, `The following lines describe ${name}.`]);
  const closing = `${t.pick([`To sum up, ${name}: `, `${heading(name)} in short: `])}${labels(facts).join('; ')}.`;
  return `${heading(name)}\n\n${opening} ${sentences.join(' ')}\n\n${closing}`;
}

function questions(t: Teller): string {
  const facts = someFacts(t, t.between(3, 5));
  const [q, a] = t.pick([
    ['Question', 'Answer'],
    ['Question', 'Answer'],
    ['Q', 'A'],
  ] as const);
  return facts.map((f) => `${q}: ${t.ask(f)}\n${a}: ${f.object.en}`).join('\n');
}

function dialogue(t: Teller): string {
  const [a, b] = t.some(PEOPLE, 2).map((p) => p[0]);
  const facts = someFacts(t, t.between(2, 3));
  const lines = [
    t.pick([`${a}: Hello, ${b}! I have a question.`, `${a}: Good morning, ${b}. May I ask you something?`, `${a}: ${b}, you know so much. Help me, please.`]),
  ];
  lines.push(t.pick([`${b}: Of course, ${a}. What is it?`, `${b}: Please ask, ${a}.`, `${b}: Yes, ${a}, what do you want to know?`]));
  facts.forEach((f, i) => {
    lines.push(`${a}: ${i === 0 ? '' : t.pick(['I see. ', 'And another question. ', 'Now tell me this. '])}${t.ask(f)}`);
    lines.push(`${b}: ${capital(f.object.en)}. ${t.pick(['Remember: ', 'I am sure of it. ', ''])}${t.say(f)}`);
  });
  lines.push(
    `${a}: ${t.pick(['Now I know it', 'I will write that down', 'That is easy to remember'])}: ${listing(facts.map((f) => f.object.en))}. Thank you, ${b}!`,
  );
  lines.push(t.pick([`${b}: You are welcome, ${a}.`, `${b}: Goodbye, ${a}.`]));
  return lines.join('\n');
}

/** A list of these facts of one relation; which facts, the caller decides. */
export function englishList(t: Teller, facts: readonly Fact[]): string {
  const relation = facts[0].relation;
  const mark = t.pick([(i: number) => `${i + 1}. `, () => '- ']);
  const sign = t.pick([': ', ' – ']);
  const rows = facts.map((f, i) => `${mark(i)}${capital(f.subject.en)}${sign}${f.object.en}`);
  const last = facts[facts.length - 1];
  const closing = t.pick([
    `The list begins with ${facts[0].subject.en} (${facts[0].object.en}) and ends with ${last.subject.en} (${last.object.en}).`,
    `In this list: ${listing(facts.map((f) => f.subject.en))}.`,
    `Number of rows: ${facts.length}.`,
  ]);
  return `${PHRASINGS[relation].title[0]}\n\n${rows.join('\n')}\n\n${closing}`;
}

function travelStory(t: Teller): string {
  const [a, b] = t.some(PEOPLE, 2);
  const she = capital(a[2]);
  const her = a[2] === 'she' ? 'her' : 'his';
  const [home, away] = t.topics('country', 2).map((topic) => ({ name: topic.name.en, facts: topic.facts }));
  const known = (facts: readonly Fact[], relation: string) => facts.find((f) => f.relation === relation);
  const [from, to] = [known(home.facts, 'capital'), known(away.facts, 'capital')];
  const start = from ? `${a[0]} lives in ${from.object.en}, the capital of ${home.name}.` : `${a[0]} comes from ${home.name}.`;
  const arrive = to ? `they travelled to ${away.name} and stayed in ${to.object.en}. ${t.say(to)}` : `they travelled to ${away.name}.`;
  const others = t.some(
    away.facts.filter((f) => f !== to),
    2,
  );
  const learn = others.map((f) => `${t.pick([`${b[0]} had read about it`, `${a[0]} wanted to know more`, `A guide told them`])}: ${t.say(f)}`).join(' ');
  const money = known(home.facts, 'currency');
  const paid = money
    ? `At home in ${home.name}, ${a[0]} pays with ${money.object.en}, but in ${away.name} everything was new.`
    : `In ${away.name} everything was new for ${a[0]}.`;
  return `${start} One day ${a[0]} packed ${her} bag and met ${her} friend ${b[0]}. Together ${arrive} ${learn} ${paid} After a week ${a[0]} and ${b[0]} went back to ${home.name}. ${she} often thinks of ${away.name}${to ? ` and of ${to.object.en}` : ''}.`;
}

function schoolStory(t: Teller): string {
  const [a, b] = t.some(PEOPLE, 2);
  const facts = someFacts(t, 3);
  const parts = facts.map((f, i) => {
    const pupil = i % 2 === 0 ? a[0] : b[0];
    return `The teacher asked ${pupil}: "${t.ask(f)}" ${pupil} thought for a moment and said: "${t.say(f)}" "Right, ${pupil}," said the teacher, "${f.object.en}."`;
  });
  return `${a[0]} and ${b[0]} are in the same class. ${parts.join(' ')} At the end ${a[0]} and ${b[0]} were happy, for they had known all ${facts.length} answers.`;
}

function zooStory(t: Teller): string {
  const [a, b] = t.some(PEOPLE, 2);
  const animals = t.topics('animal', 3);
  const parts = animals.map((animal, i) => {
    const f = t.pick(animal.facts);
    const who = t.pick([a[0], b[0]]);
    return `${i === 0 ? 'First' : t.pick(['Then', 'Next', 'After that'])} they saw ${animal.name.en}. ${who} said: "${t.say(f)}"`;
  });
  return `${a[0]} and ${b[0]} went to look at animals. ${parts.join(' ')} In the evening ${a[0]} drew what they had seen: ${listing(animals.map((x) => x.name.en))}. ${b[0]} liked ${t.pick(animals).name.en} best.`;
}

function story(t: Teller): string {
  return t.pick([travelStory, travelStory, schoolStory, zooStory])(t);
}

function quiz(t: Teller): string {
  const relation = t.pick([...QUIZ_RELATIONS, 'order', 'planet kind', 'state', 'next month', 'next day', 'unit', 'numeral']);
  const facts = t.facts(relation, 3);
  const all = FACTS.get(relation) ?? [];
  const items = facts.map((f, i) => {
    const wrong = [...new Set(all.map((x) => x.object.en))].filter((o) => o !== f.object.en);
    const options = t.random.shuffle([f.object.en, ...t.some(wrong, 3)]);
    const letter = 'ABCD'[options.indexOf(f.object.en)];
    return `${i + 1}. ${t.ask(f)}\n${options.map((o, k) => `${'ABCD'[k]}) ${o}`).join('\n')}\nAnswer: ${letter}) ${f.object.en}`;
  });
  return `Quiz: ${PHRASINGS[relation].title[0]}\n\n${items.join('\n\n')}`;
}

function dateLine(t: Teller): { text: string; weekday: number; month: string } {
  const [year, month] = [t.between(1990, 2030), t.between(1, 12)];
  const day = t.between(1, daysInMonth(year, month));
  const weekday = weekdayOf(year, month, day);
  return { text: `${WEEKDAY_NAMES[weekday][0]}, ${day} ${MONTH_NAMES[month - 1][0]} ${year}`, weekday, month: MONTH_NAMES[month - 1][0] };
}

function letter(t: Teller): string {
  const [a, b] = t.some(PEOPLE, 2).map((p) => p[0]);
  const [topic] = t.topics('country', 1);
  const name = topic.name.en;
  const date = dateLine(t);
  const said = t.some(topic.facts, 2).map((f) => t.say(f));
  const tomorrow = WEEKDAY_NAMES[(date.weekday + 1) % 7][0];
  if (t.chance(0.5)) {
    return `${date.text}\n\nDear ${b},\n\nI am writing to you from ${name}. ${said.join(' ')} It is a beautiful ${date.month} here in ${name}. Tomorrow is ${tomorrow}, and I will go for a long walk. Write back soon, dear ${b}!\n\nYours,\n${a}`;
  }
  const near = neighbours(topic);
  const next = near.length > 0 ? ` On ${tomorrow} we drive on to ${t.pick(near)}.` : ` On ${tomorrow} we fly home.`;
  return `${date.text}\n\nDear diary, today ${b} and I are in ${name}. ${said.join(' ')} ${b} took many pictures of ${name}.${next} Today was ${WEEKDAY_NAMES[date.weekday][0]}, the best day of our journey.`;
}

function exercise(t: Teller): string {
  switch (t.between(0, 3)) {
    case 0: {
      const [a, b] = t.some(PEOPLE, 2).map((p) => p[0]);
      const [x, y] = [t.between(2, 10), t.between(2, 10)];
      const thing = t.pick(['apples', 'books', 'flowers', 'stones']);
      return `${a} has ${x} ${thing}. ${b} gives ${a} ${y} more ${thing}. How many ${thing} does ${a} have now?\n${x} + ${y} = ${x + y}\n${a} has ${x + y} ${thing} now.`;
    }
    case 1: {
      const n = t.between(2, 9);
      return `Multiplication by ${n}\n\n${Array.from({ length: 9 }, (_, i) => `${n} x ${i + 1} = ${n * (i + 1)}`).join('\n')}`;
    }
    case 2: {
      const f = t.facts('unit', 1)[0];
      const [amount, ...unit] = f.object.en.split(' ');
      const [, ...large] = f.subject.en.split(' ');
      const each = Number(amount.replaceAll(',', ''));
      const rows = Array.from({ length: t.between(3, 6) }, (_, i) => `${i + 2} ${large.join(' ')}s = ${withCommas((i + 2) * each)} ${unit.join(' ')}`);
      return `${t.say(f)} So we can reckon:\n${rows.join('\n')}`;
    }
    default: {
      const date = dateLine(t);
      const day = date.text.slice(date.text.indexOf(',') + 2);
      return `Which day of the week is ${day}?\nThe calendar for ${date.month} shows it: ${day} is a ${WEEKDAY_NAMES[date.weekday][0]}. The day before is a ${WEEKDAY_NAMES[(date.weekday + 6) % 7][0]}, the day after is a ${WEEKDAY_NAMES[(date.weekday + 1) % 7][0]}.`;
    }
  }
}

function comparison(t: Teller): string {
  const kind = t.pick(['country', 'country', 'country', 'element', 'planet', 'animal'] as const);
  const [a, b] = t.topics(kind, 2);
  const shared = a.facts.filter((f) => b.facts.some((g) => g.relation === f.relation));
  const other = (f: Fact) => b.facts.find((g) => g.relation === f.relation) as Fact;
  const rows = shared.map((f) => `${capital(f.relation)}: ${f.object.en} | ${other(f).object.en}`);
  const f = t.pick(shared);
  const same = f.object.en === other(f).object.en;
  return `${heading(a.name.en)} and ${heading(b.name.en)}\n\n${rows.join('\n')}\n\n${t.say(f)} ${same ? `The same holds for ${b.name.en}.` : `With ${b.name.en} it is different.`} ${t.say(other(f))}`;
}

/** The English documents by category. */
export const ENGLISH: Readonly<Record<string, (t: Teller) => string>> = { encyclopedia, questions, dialogue, story, quiz, letter, exercise, comparison };
