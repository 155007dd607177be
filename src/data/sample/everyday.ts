/**
 * The project's own tables about everyday things: animals, colours, family, units, words, numbers,
 * the calendar. Numbers and dates are computed, so they cannot be wrong by a slip of the pen.
 */
import { rows } from './world.ts';

/** English with article | Chinese | class | legs | English young with article | Chinese young (may be empty). */
export const ANIMALS: readonly string[][] = rows(`
a cat|猫|mammal|4|a kitten|小猫
a dog|狗|mammal|4|a puppy|小狗
a horse|马|mammal|4|a foal|马驹
a cow|牛|mammal|4|a calf|牛犊
a sheep|绵羊|mammal|4|a lamb|羊羔
a goat|山羊|mammal|4|a kid|小山羊
a pig|猪|mammal|4|a piglet|猪崽
a lion|狮子|mammal|4|a cub|幼狮
a tiger|老虎|mammal|4|a cub|幼虎
a wolf|狼|mammal|4|a pup|狼崽
a deer|鹿|mammal|4|a fawn|小鹿
an elephant|大象|mammal|4|a calf|小象
a mouse|老鼠|mammal|4||
a giraffe|长颈鹿|mammal|4|a calf|小长颈鹿
a panda|大熊猫|mammal|4|a cub|熊猫幼崽
a bat|蝙蝠|mammal|2||
a chicken|鸡|bird|2|a chick|小鸡
a duck|鸭子|bird|2|a duckling|小鸭
a goose|鹅|bird|2|a gosling|小鹅
a swan|天鹅|bird|2|a cygnet|小天鹅
an eagle|老鹰|bird|2|an eaglet|雏鹰
an owl|猫头鹰|bird|2|an owlet|小猫头鹰
a penguin|企鹅|bird|2|a chick|小企鹅
an ostrich|鸵鸟|bird|2|a chick|小鸵鸟
a frog|青蛙|amphibian|4|a tadpole|蝌蚪
a toad|蟾蜍|amphibian|4|a tadpole|蝌蚪
a crocodile|鳄鱼|reptile|4||
a turtle|乌龟|reptile|4||
a lizard|蜥蜴|reptile|4||
a snake|蛇|reptile|0||
a bee|蜜蜂|insect|6||
an ant|蚂蚁|insect|6||
a butterfly|蝴蝶|insect|6|a caterpillar|毛毛虫
a fly|苍蝇|insect|6|a maggot|蛆
a spider|蜘蛛|arachnid|8||
a scorpion|蝎子|arachnid|8||
a salmon|三文鱼|fish|0||
a shark|鲨鱼|fish|0|a pup|幼鲨
a whale|鲸|mammal|0|a calf|幼鲸
a dolphin|海豚|mammal|0|a calf|小海豚
`);

/** Animal class | English with article | Chinese. */
export const ANIMAL_CLASSES: Readonly<Record<string, readonly [string, string]>> = {
  mammal: ['a mammal', '哺乳动物'],
  bird: ['a bird', '鸟类'],
  amphibian: ['an amphibian', '两栖动物'],
  reptile: ['a reptile', '爬行动物'],
  insect: ['an insect', '昆虫'],
  arachnid: ['an arachnid', '蛛形动物'],
  fish: ['a fish', '鱼类'],
};

/** English name of a colour | Chinese. */
export const COLOURS: Readonly<Record<string, string>> = {
  red: '红色',
  orange: '橙色',
  yellow: '黄色',
  green: '绿色',
  blue: '蓝色',
  purple: '紫色',
  pink: '粉红色',
  brown: '棕色',
  black: '黑色',
  white: '白色',
  grey: '灰色',
};

/** Thing with article | Chinese | colour. */
export const COLOURED: readonly string[][] = rows(`
grass|草地|green
snow|雪|white
milk|牛奶|white
coal|煤|black
a raven|乌鸦|black
blood|血|red
a ripe tomato|成熟的西红柿|red
a ripe banana|成熟的香蕉|yellow
a ripe lemon|成熟的柠檬|yellow
the clear sky|晴朗的天空|blue
a carrot|胡萝卜|orange
chocolate|巧克力|brown
a flamingo|火烈鸟|pink
an elephant's skin|大象的皮肤|grey
an emerald|祖母绿宝石|green
a ruby|红宝石|red
a sapphire|蓝宝石|blue
an amethyst|紫水晶|purple
`);

/** Two paints | what they give. */
export const MIXTURES: readonly string[][] = rows(`
blue|yellow|green
red|yellow|orange
red|blue|purple
red|white|pink
black|white|grey
`);

/** English relative | Chinese | what you call them | Chinese. */
export const FAMILY: readonly string[][] = rows(`
the father of your father|爸爸的爸爸|your grandfather|爷爷
the mother of your father|爸爸的妈妈|your grandmother|奶奶
the father of your mother|妈妈的爸爸|your grandfather|外公
the mother of your mother|妈妈的妈妈|your grandmother|外婆
the younger brother of your father|爸爸的弟弟|your uncle|叔叔
the brother of your mother|妈妈的兄弟|your uncle|舅舅
the sister of your father|爸爸的姐妹|your aunt|姑姑
the sister of your mother|妈妈的姐妹|your aunt|姨妈
the son of your son|儿子的儿子|your grandson|孙子
the daughter of your son|儿子的女儿|your granddaughter|孙女
the son of your brother|兄弟的儿子|your nephew|侄子
the daughter of your brother|兄弟的女儿|your niece|侄女
the wife of your elder brother|哥哥的妻子|your sister-in-law|嫂子
the husband of your elder sister|姐姐的丈夫|your brother-in-law|姐夫
`);

/** Larger unit, how many, smaller unit, by the keys of UNIT_NAMES; one row for each larger unit, so that a question has one answer. */
export const CONVERSIONS: readonly (readonly [string, number, string])[] = [
  ['kilometer', 1000, 'meter'],
  ['meter', 100, 'centimeter'],
  ['centimeter', 10, 'millimeter'],
  ['kilogram', 1000, 'gram'],
  ['liter', 1000, 'milliliter'],
  ['hour', 60, 'minute'],
  ['minute', 60, 'second'],
  ['day', 24, 'hour'],
  ['week', 7, 'day'],
  ['year', 12, 'month'],
];

/** English word | Chinese word. */
export const WORDS: readonly string[][] = rows(`
water|水
fire|火
mountain|山
river|河
sea|大海
sun|太阳
moon|月亮
star|星星
rain|雨
wind|风
tree|树
flower|花
bread|面包
rice|米饭
tea|茶
fruit|水果
apple|苹果
house|房子
door|门
window|窗户
table|桌子
chair|椅子
book|书
letter|信
school|学校
teacher|老师
student|学生
doctor|医生
friend|朋友
city|城市
road|路
train|火车
ship|船
airplane|飞机
music|音乐
time|时间
money|钱
spring|春天
summer|夏天
autumn|秋天
winter|冬天
`);

/** The twelve animals of the Chinese zodiac; the year 4 was a year of the Rat. */
export const ZODIAC: readonly string[][] = rows(`
Rat|鼠
Ox|牛
Tiger|虎
Rabbit|兔
Dragon|龙
Snake|蛇
Horse|马
Goat|羊
Monkey|猴
Rooster|鸡
Dog|狗
Pig|猪
`);

/** People of stories and dialogues: English, Chinese, pronoun (she or he). */
export const PEOPLE: readonly string[][] = rows(`
Anna|安娜|she
Tom|汤姆|he
Maria|玛丽亚|she
David|大卫|he
Lucy|露西|she
Peter|彼得|he
Li Wei|李伟|he
Wang Fang|王芳|she
Chen Jing|陈静|she
Zhang Lei|张磊|he
`);

const SMALL = 'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen'.split(' ');
const TENS = 'zero ten twenty thirty forty fifty sixty seventy eighty ninety'.split(' ');
const ORDINALS = 'first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth'.split(' ');
const DIGITS_ZH = '零一二三四五六七八九';

/** 0 to 100 in English words. */
export function englishNumber(n: number): string {
  if (n === 100) return 'one hundred';
  if (n < 20) return SMALL[n];
  return n % 10 === 0 ? TENS[n / 10] : `${TENS[Math.floor(n / 10)]}-${SMALL[n % 10]}`;
}

/** 0 to 100 in Chinese numerals. */
export function chineseNumber(n: number): string {
  if (n === 100) return '一百';
  if (n < 10) return DIGITS_ZH[n];
  const tens = Math.floor(n / 10);
  return `${tens === 1 ? '' : DIGITS_ZH[tens]}十${n % 10 === 0 ? '' : DIGITS_ZH[n % 10]}`;
}

/** `first` to `twelfth`. */
export function englishOrdinal(n: number): string {
  return ORDINALS[n - 1];
}

/** Thousands with commas, as English writes them. */
export function withCommas(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Days in a month (1 to 12) of the Gregorian calendar. */
export function daysInMonth(year: number, month: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 ? (leap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** Weekday of a Gregorian date, Monday = 0: days since Monday, 1 January 1900. */
export function weekdayOf(year: number, month: number, day: number): number {
  let days = day - 1;
  for (let m = 1; m < month; m++) days += daysInMonth(year, m);
  const before = year - 1;
  const leaps = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400);
  const leapsTo1900 = Math.floor(1899 / 4) - Math.floor(1899 / 100) + Math.floor(1899 / 400);
  days += (year - 1900) * 365 + leaps - leapsTo1900;
  return ((days % 7) + 7) % 7;
}
