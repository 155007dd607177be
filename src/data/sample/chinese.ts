/**
 * The Chinese documents of the sample corpus, one function a category, and the translation pairs, which
 * need both languages. Same intent as `english.ts`: what comes later can be known from far back.
 */
import { COUNTRIES } from './countries.ts';
import { someFacts, someKind } from './english.ts';
import { daysInMonth, PEOPLE, weekdayOf } from './everyday.ts';
import { countryName, FACTS, type Fact, type Topic } from './facts.ts';
import { WEEKDAY_NAMES } from './intl-names.ts';
import { PHRASINGS } from './phrasings.ts';
import { Teller } from './teller.ts';

const LABELS: Readonly<Record<string, string>> = {
  capital: '首都',
  continent: '大洲',
  currency: '货币',
  language: '主要语言',
  symbol: '符号',
  'atomic number': '原子序数',
  state: '室温状态',
  order: '位置',
  'planet kind': '种类',
  'animal class': '分类',
  legs: '腿',
  young: '幼崽',
  'next month': '下一个月',
  'month place': '次序',
  'month days': '天数',
};
const QUIZ_RELATIONS =
  'capital|capital|currency|language|continent|symbol|atomic number|animal class|young|year|author|landmark|script|word|country name|zodiac|family|colour'.split(
    '|',
  );

function neighbours(topic: Topic): string[] {
  const row = COUNTRIES.find((c) => c.code === topic.key);
  return (row?.neighbours ?? []).map((code) => countryName(code).zh);
}

function encyclopedia(t: Teller): string {
  const [topic] = t.topics(someKind(t), 1);
  const name = topic.name.zh;
  const facts = t.some(topic.facts, topic.facts.length);
  const sentences = facts.map((f, i) => (i === 0 || t.chance(0.6) ? t.say(f) : t.brief(f)));
  const near = topic.kind === 'country' ? neighbours(topic) : [];
  if (near.length > 0) sentences.push(`${name}的邻国有${t.some(near, 4).join('、')}。`);
  const sights = topic.kind === 'country' ? (FACTS.get('landmark') ?? []).filter((f) => f.object.zh === name) : [];
  if (sights.length > 0) sentences.push(t.say(t.pick(sights)));
  const opening = t.pick([`本条目介绍${name}。`, `关于${name}，应当知道以下几点。`, `下面几行说的是${name}。`]);
  const closing = `${t.pick([`总之，${name}：`, `${name}一览：`])}${facts.map((f) => `${LABELS[f.relation]} ${f.object.zh}`).join('；')}。`;
  return `${name}\n\n${opening}${sentences.join('')}\n\n${closing}`;
}

function questions(t: Teller): string {
  const [q, a] = t.pick([
    ['问', '答'],
    ['问', '答'],
    ['问题', '答案'],
  ] as const);
  return someFacts(t, t.between(3, 5))
    .map((f) => `${q}：${t.ask(f)}\n${a}：${f.object.zh}`)
    .join('\n');
}

function dialogue(t: Teller): string {
  const [a, b] = t.some(PEOPLE, 2).map((p) => p[1]);
  const facts = someFacts(t, t.between(2, 3));
  const lines = [t.pick([`${a}：你好，${b}！我有一个问题。`, `${a}：早上好，${b}。我可以问你一件事吗？`, `${a}：${b}，你知道得真多，请帮帮我。`])];
  lines.push(t.pick([`${b}：当然可以，${a}。是什么问题？`, `${b}：请问吧，${a}。`, `${b}：好的，${a}，你想知道什么？`]));
  facts.forEach((f, i) => {
    lines.push(`${a}：${i === 0 ? '' : t.pick(['我明白了。', '还有一个问题。', '再告诉我一件事。'])}${t.ask(f)}`);
    lines.push(`${b}：${f.object.zh}。${t.pick(['请记住：', '我很确定，', ''])}${t.say(f)}`);
  });
  lines.push(`${a}：${t.pick(['现在我知道了', '我把它写下来', '这很容易记住'])}：${facts.map((f) => f.object.zh).join('、')}。谢谢你，${b}！`);
  lines.push(t.pick([`${b}：不客气，${a}。`, `${b}：再见，${a}。`]));
  return lines.join('\n');
}

/** The same in Chinese. */
export function chineseList(t: Teller, facts: readonly Fact[]): string {
  const relation = facts[0].relation;
  const mark = t.pick([(i: number) => `${i + 1}. `, () => '- ']);
  const sign = t.pick(['：', '——']);
  const last = facts[facts.length - 1];
  const closing = t.pick([
    `这张表从${facts[0].subject.zh}（${facts[0].object.zh}）开始，到${last.subject.zh}（${last.object.zh}）结束。`,
    `表中有：${facts.map((f) => f.subject.zh).join('、')}。`,
    `行数：${facts.length}。`,
  ]);
  return `${PHRASINGS[relation].title[1]}\n\n${facts.map((f, i) => `${mark(i)}${f.subject.zh}${sign}${f.object.zh}`).join('\n')}\n\n${closing}`;
}

function travelStory(t: Teller): string {
  const [a, b] = t.some(PEOPLE, 2);
  const she = a[2] === 'she' ? '她' : '他';
  const [home, away] = t.topics('country', 2);
  const known = (topic: Topic, relation: string) => topic.facts.find((f) => f.relation === relation);
  const [from, to] = [known(home, 'capital'), known(away, 'capital')];
  const start = from ? `${a[1]}住在${home.name.zh}首都${from.object.zh}。` : `${a[1]}来自${home.name.zh}。`;
  const arrive = to ? `来到${away.name.zh}，住进${to.object.zh}的一家旅馆。${t.say(to)}` : `来到${away.name.zh}。`;
  const others = t.some(
    away.facts.filter((f) => f !== to),
    2,
  );
  const learn = others.map((f) => `${t.pick([`${b[1]}在书上读过`, `${a[1]}想多了解一些`, '导游告诉他们'])}：${t.say(f)}`).join('');
  const money = known(home, 'currency');
  const paid = money
    ? `${a[1]}平时在${home.name.zh}花的是${money.object.zh}，到了${away.name.zh}，一切都很新鲜。`
    : `到了${away.name.zh}，${a[1]}觉得一切都很新鲜。`;
  return `${start}有一天，${a[1]}收拾好行李，去见朋友${b[1]}。两人一起${arrive}${learn}${paid}一个星期以后，${a[1]}和${b[1]}回到了${home.name.zh}。${she}常常想起${away.name.zh}${to ? `，想起${to.object.zh}` : ''}。`;
}

function schoolStory(t: Teller): string {
  const [a, b] = t.some(PEOPLE, 2);
  const facts = someFacts(t, 3);
  const parts = facts.map((f, i) => {
    const pupil = i % 2 === 0 ? a[1] : b[1];
    return `老师问${pupil}：“${t.ask(f)}”${pupil}想了想，回答说：“${t.say(f)}”老师说：“对，${pupil}，${f.object.zh}。”`;
  });
  return `${a[1]}和${b[1]}在同一个班。${parts.join('')}最后，${a[1]}和${b[1]}都很高兴，因为${facts.length}个问题全答对了。`;
}

function zooStory(t: Teller): string {
  const [a, b] = t.some(PEOPLE, 2);
  const animals = t.topics('animal', 3);
  const parts = animals.map(
    (animal, i) =>
      `${i === 0 ? '首先' : t.pick(['然后', '接着', '后来'])}他们看到了${animal.name.zh}。${t.pick([a, b])[1]}说：“${t.say(t.pick(animal.facts))}”`,
  );
  return `${a[1]}和${b[1]}去看动物。${parts.join('')}晚上，${a[1]}把看到的动物画了下来：${animals.map((x) => x.name.zh).join('、')}。${b[1]}最喜欢的是${t.pick(animals).name.zh}。`;
}

function story(t: Teller): string {
  return t.pick([travelStory, travelStory, schoolStory, zooStory])(t);
}

function quiz(t: Teller): string {
  const relation = t.pick([...QUIZ_RELATIONS, 'order', 'planet kind', 'state', 'next month', 'next day', 'unit', 'numeral']);
  const all = FACTS.get(relation) ?? [];
  const items = t.facts(relation, 3).map((f, i) => {
    const wrong = [...new Set(all.map((x) => x.object.zh))].filter((o) => o !== f.object.zh);
    const options = t.random.shuffle([f.object.zh, ...t.some(wrong, 3)]);
    const letter = 'ABCD'[options.indexOf(f.object.zh)];
    return `${i + 1}. ${t.ask(f)}\n${options.map((o, k) => `${'ABCD'[k]}) ${o}`).join('\n')}\n答案：${letter}) ${f.object.zh}`;
  });
  return `测验：${PHRASINGS[relation].title[1]}\n\n${items.join('\n\n')}`;
}

function dateLine(t: Teller): { text: string; weekday: number; month: number } {
  const [year, month] = [t.between(1990, 2030), t.between(1, 12)];
  const day = t.between(1, daysInMonth(year, month));
  return { text: `${year}年${month}月${day}日`, weekday: weekdayOf(year, month, day), month };
}

function letter(t: Teller): string {
  const [a, b] = t.some(PEOPLE, 2).map((p) => p[1]);
  const [topic] = t.topics('country', 1);
  const name = topic.name.zh;
  const date = dateLine(t);
  const today = WEEKDAY_NAMES[date.weekday][1];
  const tomorrow = WEEKDAY_NAMES[(date.weekday + 1) % 7][1];
  const said = t
    .some(topic.facts, 2)
    .map((f) => t.say(f))
    .join('');
  if (t.chance(0.5)) {
    return `亲爱的${b}：\n\n我在${name}给你写信。${said}${date.month}月的${name}很美。明天是${tomorrow}，我要去散步。盼望你的回信，${b}！\n\n你的朋友 ${a}\n${date.text} ${today}`;
  }
  const near = neighbours(topic);
  const next = near.length > 0 ? `${tomorrow}我们要去${t.pick(near)}。` : `${tomorrow}我们就回家。`;
  return `${date.text} ${today}\n\n日记：今天我和${b}在${name}。${said}${b}在${name}拍了很多照片。${next}今天是${today}，是旅途中最好的一天。`;
}

function exercise(t: Teller): string {
  switch (t.between(0, 3)) {
    case 0: {
      const [a, b] = t.some(PEOPLE, 2).map((p) => p[1]);
      const [x, y] = [t.between(2, 10), t.between(2, 10)];
      const thing = t.pick(['个苹果', '本书', '朵花', '块石头']);
      return `${a}有${x}${thing}，${b}又给了${a}${y}${thing}。现在${a}一共有多少${thing}？\n${x} + ${y} = ${x + y}\n现在${a}一共有${x + y}${thing}。`;
    }
    case 1: {
      const n = t.between(2, 9);
      return `${n}的乘法\n\n${Array.from({ length: 9 }, (_, i) => `${n} x ${i + 1} = ${n * (i + 1)}`).join('\n')}`;
    }
    case 2: {
      const f = t.facts('unit', 1)[0];
      const amount = /^\d+/.exec(f.object.zh)?.[0] ?? '';
      const unit = f.object.zh.slice(amount.length);
      const rows = Array.from({ length: t.between(3, 6) }, (_, i) => `${i + 2}${f.subject.zh.slice(1)} = ${(i + 2) * Number(amount)}${unit}`);
      return `${t.say(f)}所以可以这样算：\n${rows.join('\n')}`;
    }
    default: {
      const date = dateLine(t);
      const day = (shift: number) => WEEKDAY_NAMES[(date.weekday + shift + 7) % 7][1];
      return `${date.text}是星期几？\n查一查${date.month}月的日历：${date.text}是${day(0)}，前一天是${day(-1)}，后一天是${day(1)}。`;
    }
  }
}

function comparison(t: Teller): string {
  const [a, b] = t.topics(t.pick(['country', 'country', 'country', 'element', 'planet', 'animal'] as const), 2);
  const shared = a.facts.filter((f) => b.facts.some((g) => g.relation === f.relation));
  const other = (f: Fact) => b.facts.find((g) => g.relation === f.relation) as Fact;
  const rows = shared.map((f) => `${LABELS[f.relation]}：${f.object.zh} | ${other(f).object.zh}`);
  const f = t.pick(shared);
  const same = f.object.zh === other(f).object.zh;
  return `${a.name.zh}和${b.name.zh}\n\n${rows.join('\n')}\n\n${t.say(f)}${same ? `${b.name.zh}也是这样。` : `${b.name.zh}就不同了。`}${t.say(other(f))}`;
}

/** Sentences beside their translation; the document's language is the one translated into. */
export function translation(t: Teller): string {
  const en = new Teller(t.random, 'en', t.split);
  const zh = new Teller(t.random, 'zh', t.split);
  const facts = someFacts(t, t.between(2, 4));
  const pairs = facts.map((f) => [en.say(f), zh.say(f)]);
  return t.lang === 'zh' ? pairs.map(([e, z]) => `英语：${e}\n汉语：${z}`).join('\n') : pairs.map(([e, z]) => `Chinese: ${z}\nEnglish: ${e}`).join('\n');
}

/** The Chinese documents by category. */
export const CHINESE: Readonly<Record<string, (t: Teller) => string>> = { encyclopedia, questions, dialogue, story, quiz, letter, exercise, comparison };
