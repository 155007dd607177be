/**
 * How each relation is put into words. `last` sentences end with the object: cut there, they are prompts
 * whose answer is the object, and one of them per fact and language is held out of training. `free` ones
 * name subject and object in another order, `brief` ones leave the subject to the text before, `ask` are
 * questions. {s} is the subject, {o} the object; a sentence's first letter is made a capital.
 */

/** One relation in one language. */
export interface Phrasing {
  readonly last: readonly string[];
  readonly free: readonly string[];
  readonly brief: readonly string[];
  readonly ask: readonly string[];
}

/** A relation in both languages, with the heading of a list of it. */
export interface RelationPhrasing {
  readonly title: readonly [string, string];
  readonly en: Phrasing;
  readonly zh: Phrasing;
}

/** `last / free / brief / ask`, each a list with `|`; keeps forty tables readable. */
function phrasing(last: string, free: string, brief: string, ask: string): Phrasing {
  const list = (text: string) => (text === '' ? [] : text.split('|'));
  return { last: list(last), free: list(free), brief: list(brief), ask: list(ask) };
}

/** By relation. */
export const PHRASINGS: Readonly<Record<string, RelationPhrasing>> = {
  capital: {
    title: ['Capitals', '各国首都'],
    en: phrasing(
      'The capital of {s} is {o}.|The capital city of {s} is {o}.|{s} has its capital in {o}.|On the map of {s}, the capital is marked as {o}.',
      '{o} is the capital of {s}.|{o} is the capital city of {s}.',
      'Its capital is {o}.|The capital is {o}.',
      'What is the capital of {s}?|Which city is the capital of {s}?|Can you name the capital city of {s}?',
    ),
    zh: phrasing(
      '{s}的首都是{o}。|{s}的首都叫{o}。|{s}的首都位于{o}。|在{s}的地图上，首都标着{o}。',
      '{o}是{s}的首都。|{o}这座城市是{s}的首都。',
      '它的首都是{o}。|首都叫{o}。',
      '{s}的首都是哪里？|哪座城市是{s}的首都？|{s}的首都叫什么名字？',
    ),
  },
  continent: {
    title: ['Countries and continents', '国家与大洲'],
    en: phrasing(
      '{s} is a country in {o}.|{s} lies in {o}.|The continent of {s} is {o}.|On a globe you find {s} in {o}.',
      'One of the countries of {o} is {s}.|In {o} there is a country called {s}.',
      'It lies in {o}.|It is a country in {o}.',
      'On which continent is {s}?|Which continent does {s} belong to?|Where in the world is {s}?',
    ),
    zh: phrasing(
      '{s}是一个国家，位于{o}。|{s}在{o}。|{s}所在的大洲是{o}。|在地球仪上，{s}属于{o}。',
      '{o}有一个国家叫{s}。|{s}是{o}的国家。',
      '它位于{o}。|它在{o}。',
      '{s}在哪个大洲？|{s}属于哪个洲？|{s}位于世界上哪个洲？',
    ),
  },
  currency: {
    title: ['Currencies', '各国货币'],
    en: phrasing(
      'The currency of {s} is {o}.|In {s} people pay with {o}.|The money of {s} is {o}.|Shops in {s} show their prices in {o}.',
      '{o} is the currency of {s}.|{o} is used in {s}.',
      'Its currency is {o}.|The money used there is {o}.',
      'What is the currency of {s}?|What do people pay with in {s}?|Which money is used in {s}?',
    ),
    zh: phrasing(
      '{s}的货币是{o}。|在{s}，人们付款用{o}。|{s}使用的钱是{o}。|{s}的商店标价用{o}。',
      '{o}是{s}的货币。|人们在{s}使用{o}。',
      '它的货币是{o}。|那里的钱是{o}。',
      '{s}的货币是什么？|在{s}付款用什么钱？|{s}使用哪种货币？',
    ),
  },
  language: {
    title: ['Main languages', '各国主要语言'],
    en: phrasing(
      'The main language of {s} is {o}.|Most people in {s} speak {o}.|In {s} the newspapers are written in {o}.|A visitor to {s} hears people speak {o}.',
      '{o} is the main language of {s}.|{o} is spoken in {s}.',
      'Its main language is {o}.|The people speak {o}.',
      'What is the main language of {s}?|Which language do most people in {s} speak?|What do people speak in {s}?',
    ),
    zh: phrasing(
      '{s}的主要语言是{o}。|{s}的大多数人说{o}。|在{s}，报纸上写的是{o}。|到{s}的游客听到人们说{o}。',
      '{o}是{s}的主要语言。|人们在{s}说{o}。',
      '它的主要语言是{o}。|那里的人说{o}。',
      '{s}的主要语言是什么？|{s}的大多数人说什么语言？|人们在{s}说什么话？',
    ),
  },
  symbol: {
    title: ['Chemical symbols', '化学符号'],
    en: phrasing(
      'The chemical symbol of {s} is {o}.|The symbol for {s} is {o}.|Chemists write {s} as {o}.',
      '{o} is the chemical symbol of {s}.',
      'Its symbol is {o}.',
      'What is the chemical symbol of {s}?|What is the symbol for {s}?',
    ),
    zh: phrasing(
      '{s}的化学符号是{o}。|{s}的元素符号是{o}。|化学家把{s}写作{o}。',
      '{o}是{s}的化学符号。',
      '它的符号是{o}。',
      '{s}的化学符号是什么？|{s}的元素符号是什么？',
    ),
  },
  'atomic number': {
    title: ['Atomic numbers', '原子序数'],
    en: phrasing(
      'The atomic number of {s} is {o}.|In the periodic table, {s} has the number {o}.|The number of protons in an atom of {s} is {o}.',
      'Element number {o} is {s}.',
      'Its atomic number is {o}.',
      'What is the atomic number of {s}?|Which number does {s} have in the periodic table?',
    ),
    zh: phrasing(
      '{s}的原子序数是{o}。|在元素周期表里，{s}的编号是{o}。|{s}原子的质子数是{o}。',
      '第{o}号元素是{s}。',
      '它的原子序数是{o}。',
      '{s}的原子序数是多少？|{s}在周期表里的编号是多少？',
    ),
  },
  state: {
    title: ['Elements at room temperature', '室温下的元素'],
    en: phrasing(
      'At room temperature, {s} is {o}.|In a warm room, {s} is {o}.|When nothing heats or cools it, {s} is {o}.',
      'Kept at room temperature, {s} is {o}, as every chemist knows.',
      'At room temperature it is {o}.',
      'What is {s} at room temperature?|Is {s} a gas, a liquid or a solid?',
    ),
    zh: phrasing(
      '在室温下，{s}是{o}。|在温暖的房间里，{s}是{o}。|不加热也不冷却时，{s}是{o}。',
      '化学家都知道，室温下的{s}是{o}。',
      '在室温下它是{o}。',
      '在室温下{s}是什么状态？|{s}是气体、液体还是固体？',
    ),
  },
  order: {
    title: ['The planets', '八大行星'],
    en: phrasing(
      '{s} is {o}.|Counted from the inside, {s} is {o}.|Astronomers call {s} {o}.',
      'The name of {o} is {s}.',
      'It is {o}.',
      'Which planet is {s}, counted from the Sun?|What is the place of {s} in the solar system?',
    ),
    zh: phrasing('{s}是{o}。|从里往外数，{s}是{o}。|天文学家说{s}是{o}。', '{o}叫{s}。', '它是{o}。', '从太阳数起，{s}排第几？|{s}在太阳系中的位置是什么？'),
  },
  'planet kind': {
    title: ['Kinds of planets', '行星的种类'],
    en: phrasing(
      'By its make-up, {s} is {o}.|Scientists describe {s} as {o}.|Among the kinds of planets, {s} is {o}.',
      'An example of {o} is {s}.',
      'By its make-up it is {o}.',
      'What kind of planet is {s}?|Is {s} a rocky planet, a gas giant or an ice giant?',
    ),
    zh: phrasing(
      '按构成来看，{s}是{o}。|科学家把{s}归为{o}。|在行星的种类中，{s}属于{o}。',
      '{o}的一个例子是{s}。',
      '按构成来看，它是{o}。',
      '{s}是哪一种行星？|{s}是岩石行星、气态巨行星还是冰巨行星？',
    ),
  },
  'animal class': {
    title: ['Classes of animals', '动物的分类'],
    en: phrasing(
      '{s} is {o}.|In biology, {s} is {o}.|Zoologists say that {s} is {o}.',
      'An example of {o} is {s}.',
      'It is {o}.',
      'What kind of animal is {s}?|To which class does {s} belong?',
    ),
    zh: phrasing('{s}是{o}。|在生物学上，{s}是{o}。|动物学家说，{s}是{o}。', '{o}的一个例子是{s}。', '它是{o}。', '{s}是哪一类动物？|{s}属于哪一类？'),
  },
  legs: {
    title: ['Legs of animals', '动物的腿'],
    en: phrasing(
      '{s} has {o}.|Look closely and count: {s} has {o}.|By nature, {s} has {o}.',
      'With {o}, {s} is easy to draw.',
      'It has {o}.',
      'How many legs does {s} have?|If you count the legs of {s}, what do you get?',
    ),
    zh: phrasing(
      '仔细数一数，{s}{o}。|大家都知道，{s}{o}。|我们看到，{s}{o}。',
      '在每张图画上，{s}都{o}。',
      '它{o}。',
      '{s}有几条腿？|数一数，{s}有多少条腿？',
    ),
  },
  young: {
    title: ['Young animals', '动物的幼崽'],
    en: phrasing(
      'The young of {s} is called {o}.|The child of {s} is {o}.|When it is young, {s} is called {o}.',
      '{o} is the young of {s}.',
      'Its young is called {o}.',
      'What is the young of {s} called?|What do you call the child of {s}?',
    ),
    zh: phrasing('{s}的幼崽叫{o}。|{s}的孩子是{o}。|{s}小的时候叫{o}。', '{o}是{s}的孩子。', '它的幼崽叫{o}。', '{s}的幼崽叫什么？|{s}的孩子叫什么？'),
  },
  'next month': {
    title: ['The months in order', '月份的顺序'],
    en: phrasing(
      'The month after {s} is {o}.|After {s} comes {o}.|When {s} is over, the next month is {o}.',
      '{o} comes after {s}.',
      'The next month is {o}.',
      'Which month comes after {s}?|What is the month after {s}?',
    ),
    zh: phrasing('{s}的下一个月是{o}。|{s}之后是{o}。|{s}过完了，接着就是{o}。', '{o}在{s}之后。', '下一个月是{o}。', '{s}的下一个月是几月？|{s}之后是几月？'),
  },
  'month place': {
    title: ['The place of the months', '月份的位置'],
    en: phrasing(
      '{s} is {o}.|Counted from the new year, {s} is {o}.|In the calendar, {s} is {o}.',
      'The name of {o} is {s}.',
      'It is {o}.',
      'Which month of the year is {s}?|What place does {s} have in the year?',
    ),
    zh: phrasing('{s}是{o}。|从新年数起，{s}是{o}。|在日历上，{s}是{o}。', '{o}叫{s}。', '它是{o}。', '{s}是一年的第几个月？|{s}在一年中排第几？'),
  },
  'month days': {
    title: ['The length of the months', '月份的天数'],
    en: phrasing(
      '{s} has {o}.|The length of {s} is {o}.|From its first to its last day, {s} has {o}.',
      'With {o}, {s} is a month like many others.',
      'It has {o}.',
      'How many days does {s} have?|How long is {s}?',
    ),
    zh: phrasing('{s}有{o}。|{s}的长度是{o}。|从第一天到最后一天，{s}共有{o}。', '有{o}的月份，{s}是其中一个。', '它有{o}。', '{s}有多少天？|{s}有多长？'),
  },
  'next day': {
    title: ['The days of the week', '一周的日子'],
    en: phrasing(
      'The day after {s} is {o}.|After {s} comes {o}.|If today is {s}, tomorrow is {o}.',
      '{o} comes after {s}.',
      'The next day is {o}.',
      'Which day comes after {s}?|If today is {s}, which day is tomorrow?',
    ),
    zh: phrasing(
      '{s}的第二天是{o}。|{s}之后是{o}。|如果今天是{s}，明天就是{o}。',
      '{o}在{s}之后。',
      '第二天是{o}。',
      '{s}的第二天是星期几？|如果今天是{s}，明天是星期几？',
    ),
  },
  script: {
    title: ['Languages and scripts', '语言与文字'],
    en: phrasing(
      '{s} is written in {o}.|The script of {s} is {o}.|To read {s} you must know {o}.',
      '{o} is used to write {s}.',
      'It is written in {o}.',
      'In which script is {s} written?|Which script does {s} use?',
    ),
    zh: phrasing(
      '{s}的书写用{o}。|{s}使用的文字是{o}。|要读{s}，必须认识{o}。',
      '{o}用来书写{s}。',
      '它的书写用{o}。',
      '{s}用什么文字书写？|{s}使用哪种文字？',
    ),
  },
  colour: {
    title: ['Colours of things', '事物的颜色'],
    en: phrasing(
      'The colour of {s} is {o}.|{s} is {o}.|A child paints {s} in {o}.',
      '{o} is the colour of {s}.',
      'Its colour is {o}.',
      'What colour is {s}?|What is the colour of {s}?',
    ),
    zh: phrasing('{s}的颜色是{o}。|{s}通常是{o}。|孩子画{s}时用{o}。', '{o}就是{s}的颜色。', '它的颜色是{o}。', '{s}是什么颜色？|{s}的颜色是什么？'),
  },
  mixture: {
    title: ['Mixing colours', '混合颜色'],
    en: phrasing(
      'The paints {s} together make {o}.|If you mix {s}, you get {o}.|Mixing {s} gives {o}.',
      'You get {o} when you mix {s}.',
      'Together they make {o}.',
      'What do you get if you mix {s}?|Which colour do {s} make?',
    ),
    zh: phrasing(
      '{s}混合成{o}。|把{s}混在一起，得到{o}。|{s}加在一起变成{o}。',
      '想得到{o}，就混合{s}。',
      '它们混合成{o}。',
      '把{s}混在一起得到什么颜色？|{s}混合成什么颜色？',
    ),
  },
  family: {
    title: ['The family', '家庭成员'],
    en: phrasing(
      '{s} is {o}.|You call {s} {o}.|In a family, {s} is {o}.',
      'The words {o} can mean {s}.',
      'That person is {o}.',
      'Who is {s}?|What do you call {s}?',
    ),
    zh: phrasing('{s}是{o}。|你把{s}叫作{o}。|在家里，{s}就是{o}。', '{o}就是{s}。', '这个人是{o}。', '{s}是谁？|你把{s}叫什么？'),
  },
  unit: {
    title: ['Units', '单位换算'],
    en: phrasing('{s} is {o}.|{s} equals {o}.|{s} is the same as {o}.', '{o} make {s}.', 'That is {o}.', 'How much is {s}?|What does {s} equal?'),
    zh: phrasing('{s}是{o}。|{s}等于{o}。|{s}相当于{o}。', '{o}是{s}。', '也就是{o}。', '{s}是多少？|{s}等于多少？'),
  },
  year: {
    title: ['Years of history', '历史年份'],
    en: phrasing(
      'The year of {s} was {o}.|{s} took place in {o}.|In history books, {s} is dated to {o}.',
      'In {o} came {s}.',
      'The year was {o}.',
      'In which year was {s}?|When did {s} take place?',
    ),
    zh: phrasing('{s}的年份是{o}。|{s}是在{o}。|历史书上写着，{s}的时间是{o}。', '{o}，{s}。', '那一年是{o}。', '{s}是哪一年？|{s}发生于哪一年？'),
  },
  author: {
    title: ['Books and authors', '书籍与作者'],
    en: phrasing(
      'The author of {s} is {o}.|{s} was written by {o}.|The book {s} is a work of {o}.',
      '{o} is the author of {s}.',
      'Its author is {o}.',
      'Who wrote {s}?|Who is the author of {s}?',
    ),
    zh: phrasing('{s}的作者是{o}。|写{s}的人是{o}。|{s}这本书出自{o}。', '{o}是{s}的作者。', '它的作者是{o}。', '谁写了{s}？|{s}的作者是谁？'),
  },
  landmark: {
    title: ['Famous sights', '著名景点'],
    en: phrasing(
      'The country of {s} is {o}.|{s} is in {o}.|To see {s}, you travel to {o}.',
      '{o} is the country of {s}.',
      'It is in {o}.',
      'In which country is {s}?|Where do you find {s}?',
    ),
    zh: phrasing('{s}所在的国家是{o}。|{s}在{o}。|想看{s}，就要去{o}。', '{o}有{s}。', '它在{o}。', '{s}在哪个国家？|{s}位于哪个国家？'),
  },
  zodiac: {
    title: ['The Chinese zodiac', '十二生肖'],
    en: phrasing(
      'In the Chinese zodiac, {s} is the year of {o}.|The zodiac animal of {s} is {o}.|In the Chinese calendar, the year {s} belongs to {o}.',
      'The year of {o} is {s}.',
      'It is the year of {o}.',
      'Which zodiac animal does {s} have?|In the Chinese zodiac, what is {s}?',
    ),
    zh: phrasing(
      '{s}是{o}。|按照十二生肖，{s}为{o}。|在中国的农历里，{s}叫{o}。',
      '生肖中的{o}有{s}。',
      '这一年是{o}。',
      '{s}是什么年？|按照十二生肖，{s}是什么年？',
    ),
  },
  numeral: {
    title: ['Numbers in words', '数字的写法'],
    en: phrasing(
      'The number {s} is written {o}.|In words, {s} is {o}.|You read {s} as {o}.',
      'The word {o} means {s}.',
      'In words it is {o}.',
      'How do you write {s} in words?|How do you read {s}?',
    ),
    zh: phrasing('数字{s}写作{o}。|{s}用汉字写是{o}。|{s}读作{o}。', '汉字{o}表示{s}。', '用汉字写是{o}。', '数字{s}怎么写？|{s}用汉字怎么写？'),
  },
  word: {
    title: ['English and Chinese words', '英汉词语'],
    en: phrasing(
      'The Chinese word for "{s}" is {o}.|In Chinese, "{s}" is {o}.|A Chinese speaker calls "{s}" {o}.',
      '{o} is Chinese for "{s}".',
      'In Chinese it is {o}.',
      'What is "{s}" in Chinese?|How do you say "{s}" in Chinese?',
    ),
    zh: phrasing(
      '“{s}”的英语是{o}。|“{s}”用英语说是{o}。|说英语的人把“{s}”叫作{o}。',
      '{o}在英语里的意思是“{s}”。',
      '英语是{o}。',
      '“{s}”的英语是什么？|“{s}”用英语怎么说？',
    ),
  },
  'country name': {
    title: ['Countries in two languages', '国家的中英文名称'],
    en: phrasing(
      'The Chinese name of {s} is {o}.|In Chinese, {s} is called {o}.|A Chinese map shows {s} as {o}.',
      '{o} is the Chinese name of {s}.',
      'Its Chinese name is {o}.',
      'What is the Chinese name of {s}?|How do you say {s} in Chinese?',
    ),
    zh: phrasing(
      '{s}的英文名是{o}。|{s}用英语说是{o}。|英文地图把{s}标作{o}。',
      '{o}是{s}的英文名。',
      '它的英文名是{o}。',
      '{s}的英文名是什么？|{s}用英语怎么说？',
    ),
  },
};
