/**
 * The project's own tables about the world: chemical elements, planets, history, books, landmarks,
 * scripts of languages. Written by hand, checked by the tests where a rule can check them (atomic
 * numbers, order, uniqueness); only facts that do not change and are not disputed.
 */

/** Rows of `a|b|c`, one a line. */
export function rows(text: string): string[][] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.split('|'));
}

/** Atomic number | symbol | English | Chinese | state at room temperature (gas, liquid, solid). */
export const ELEMENTS: readonly string[][] = rows(`
1|H|hydrogen|氢|gas
2|He|helium|氦|gas
3|Li|lithium|锂|solid
4|Be|beryllium|铍|solid
5|B|boron|硼|solid
6|C|carbon|碳|solid
7|N|nitrogen|氮|gas
8|O|oxygen|氧|gas
9|F|fluorine|氟|gas
10|Ne|neon|氖|gas
11|Na|sodium|钠|solid
12|Mg|magnesium|镁|solid
13|Al|aluminium|铝|solid
14|Si|silicon|硅|solid
15|P|phosphorus|磷|solid
16|S|sulfur|硫|solid
17|Cl|chlorine|氯|gas
18|Ar|argon|氩|gas
19|K|potassium|钾|solid
20|Ca|calcium|钙|solid
26|Fe|iron|铁|solid
29|Cu|copper|铜|solid
30|Zn|zinc|锌|solid
35|Br|bromine|溴|liquid
47|Ag|silver|银|solid
50|Sn|tin|锡|solid
53|I|iodine|碘|solid
79|Au|gold|金|solid
80|Hg|mercury|汞|liquid
82|Pb|lead|铅|solid
92|U|uranium|铀|solid
`);

/** English | Chinese | kind; in the order of their distance from the Sun. */
export const PLANETS: readonly string[][] = rows(`
Mercury|水星|rocky
Venus|金星|rocky
Earth|地球|rocky
Mars|火星|rocky
Jupiter|木星|gas
Saturn|土星|gas
Uranus|天王星|ice
Neptune|海王星|ice
`);

/** Year | English noun phrase | Chinese. */
export const EVENTS: readonly string[][] = rows(`
618|the founding of the Tang dynasty|唐朝建立
960|the founding of the Song dynasty|宋朝建立
1066|the Battle of Hastings|黑斯廷斯战役
1215|the sealing of Magna Carta|英国《大宪章》的签署
1368|the founding of the Ming dynasty|明朝建立
1492|the first voyage of Columbus to America|哥伦布首次到达美洲
1666|the Great Fire of London|伦敦大火
1687|the publication of Newton's Principia|牛顿《自然哲学的数学原理》的出版
1776|the American Declaration of Independence|美国《独立宣言》的发表
1789|the storming of the Bastille|攻占巴士底狱
1805|the Battle of Trafalgar|特拉法尔加海战
1815|the Battle of Waterloo|滑铁卢战役
1859|the publication of On the Origin of Species|《物种起源》的出版
1869|the opening of the Suez Canal|苏伊士运河通航
1876|the patent for the telephone|电话专利的授予
1889|the opening of the Eiffel Tower|埃菲尔铁塔落成
1903|the first flight of the Wright brothers|莱特兄弟首次飞行
1911|the Wuchang Uprising|武昌起义
1912|the sinking of the Titanic|泰坦尼克号沉没
1914|the beginning of the First World War|第一次世界大战爆发
1918|the end of the First World War|第一次世界大战结束
1919|the May Fourth Movement|五四运动
1928|the discovery of penicillin|青霉素的发现
1939|the beginning of the Second World War|第二次世界大战爆发
1945|the founding of the United Nations|联合国成立
1949|the founding of the People's Republic of China|中华人民共和国成立
1953|the first ascent of Mount Everest|人类首次登顶珠穆朗玛峰
1957|the launch of Sputnik 1|第一颗人造卫星发射
1961|the space flight of Yuri Gagarin|加加林进入太空
1969|the first landing on the Moon|人类首次登月
1970|the launch of the first Chinese satellite|东方红一号发射
1989|the fall of the Berlin Wall|柏林墙倒塌
1990|the reunification of Germany|两德统一
2003|the space flight of Yang Liwei|杨利伟进入太空
2008|the Beijing Olympic Games|北京奥运会
2012|the London Olympic Games|伦敦奥运会
`);

/** English title | Chinese title | English author | Chinese author. */
export const BOOKS: readonly string[][] = rows(`
Hamlet|《哈姆雷特》|William Shakespeare|莎士比亚
Don Quixote|《堂吉诃德》|Miguel de Cervantes|塞万提斯
War and Peace|《战争与和平》|Leo Tolstoy|托尔斯泰
Pride and Prejudice|《傲慢与偏见》|Jane Austen|简·奥斯汀
Oliver Twist|《雾都孤儿》|Charles Dickens|狄更斯
Les Misérables|《悲惨世界》|Victor Hugo|雨果
Faust|《浮士德》|Johann Wolfgang von Goethe|歌德
The Divine Comedy|《神曲》|Dante Alighieri|但丁
The Odyssey|《奥德赛》|Homer|荷马
Crime and Punishment|《罪与罚》|Fyodor Dostoevsky|陀思妥耶夫斯基
The Old Man and the Sea|《老人与海》|Ernest Hemingway|海明威
The Adventures of Tom Sawyer|《汤姆·索亚历险记》|Mark Twain|马克·吐温
Jane Eyre|《简·爱》|Charlotte Brontë|夏洛蒂·勃朗特
Madame Bovary|《包法利夫人》|Gustave Flaubert|福楼拜
Robinson Crusoe|《鲁滨逊漂流记》|Daniel Defoe|笛福
Around the World in Eighty Days|《八十天环游地球》|Jules Verne|儒勒·凡尔纳
The Metamorphosis|《变形记》|Franz Kafka|卡夫卡
Journey to the West|《西游记》|Wu Cheng'en|吴承恩
Romance of the Three Kingdoms|《三国演义》|Luo Guanzhong|罗贯中
Dream of the Red Chamber|《红楼梦》|Cao Xueqin|曹雪芹
The True Story of Ah Q|《阿Q正传》|Lu Xun|鲁迅
Rickshaw Boy|《骆驼祥子》|Lao She|老舍
`);

/** English | Chinese | country code. */
export const LANDMARKS: readonly string[][] = rows(`
the Eiffel Tower|埃菲尔铁塔|FR
the Great Wall|长城|CN
the Forbidden City|故宫|CN
the Taj Mahal|泰姬陵|IN
the Colosseum|罗马斗兽场|IT
the Leaning Tower of Pisa|比萨斜塔|IT
Big Ben|大本钟|GB
the Statue of Liberty|自由女神像|US
the Grand Canyon|大峡谷|US
the Pyramids of Giza|吉萨金字塔|EG
Machu Picchu|马丘比丘|PE
the Sydney Opera House|悉尼歌剧院|AU
Mount Fuji|富士山|JP
the Acropolis|雅典卫城|GR
the Brandenburg Gate|勃兰登堡门|DE
the statue of Christ the Redeemer|里约热内卢基督像|BR
Angkor Wat|吴哥窟|KH
the Kremlin|克里姆林宫|RU
the Sagrada Família|圣家族大教堂|ES
Hagia Sophia|圣索菲亚大教堂|TR
Chichen Itza|奇琴伊察|MX
`);

/** Language code | script code: languages that are written in one script. */
export const LANGUAGE_SCRIPTS: readonly string[][] = rows(`
ar|Arab
fa|Arab
ur|Arab
ru|Cyrl
uk|Cyrl
el|Grek
hi|Deva
ne|Deva
bn|Beng
ta|Taml
th|Thai
lo|Laoo
km|Khmr
he|Hebr
ko|Hang
en|Latn
fr|Latn
de|Latn
es|Latn
it|Latn
pt|Latn
nl|Latn
pl|Latn
cs|Latn
sv|Latn
fi|Latn
tr|Latn
vi|Latn
sw|Latn
id|Latn
`);
