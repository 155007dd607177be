/**
 * The project's own table of countries: capitals in both languages, continent, currency, main
 * language, land neighbours. Names of countries, currencies and languages come from `intl-names.ts`.
 * A dash means that the fact is left out because it is disputed, changing or not single (Russia's
 * continent, South Africa's capital). Neighbours are true but not complete: only countries of the table.
 */

/** One row; `-` in a field means "not stated". `core` countries turn up far more often in the corpus. */
export interface CountryRow {
  readonly code: string;
  readonly capital: readonly [string, string] | null;
  readonly continent: string | null;
  readonly currency: string | null;
  readonly language: string | null;
  readonly neighbours: readonly string[];
  readonly core: boolean;
}

/** Continents by the code used in the table, English and Chinese. */
export const CONTINENTS: Readonly<Record<string, readonly [string, string]>> = {
  AS: ['Asia', '亚洲'],
  EU: ['Europe', '欧洲'],
  AF: ['Africa', '非洲'],
  NA: ['North America', '北美洲'],
  SA: ['South America', '南美洲'],
  OC: ['Oceania', '大洋洲'],
};

/** Names that take an article inside an English sentence. */
export const WITH_ARTICLE: ReadonlySet<string> = new Set(['US', 'GB', 'NL', 'PH', 'AE']);

// The order is that of importance in the corpus: earlier rows turn up more often.
// code | capital | 首都 | continent | currency | language | neighbours
const CORE = `
FR|Paris|巴黎|EU|EUR|fr|BE DE CH IT ES
CN|Beijing|北京|AS|CNY|zh|RU MN IN NP VN
JP|Tokyo|东京|AS|JPY|ja|
DE|Berlin|柏林|EU|EUR|de|DK PL CZ AT CH FR BE NL
US|Washington|华盛顿|NA|USD|en|CA MX
GB|London|伦敦|EU|GBP|en|IE
IT|Rome|罗马|EU|EUR|it|FR CH AT
ES|Madrid|马德里|EU|EUR|es|PT FR MA
RU|Moscow|莫斯科|-|RUB|ru|NO FI PL UA MN CN
IN|New Delhi|新德里|AS|INR|hi|PK CN NP BD
EG|Cairo|开罗|AF|EGP|ar|
BR|Brasília|巴西利亚|SA|BRL|pt|AR UY PE CO VE
CA|Ottawa|渥太华|NA|CAD|-|US
MX|Mexico City|墨西哥城|NA|MXN|es|US GT
AU|Canberra|堪培拉|OC|AUD|en|
GR|Athens|雅典|EU|EUR|el|TR
TR|Ankara|安卡拉|-|TRY|tr|GR IR
KR|Seoul|首尔|AS|KRW|ko|
PT|Lisbon|里斯本|EU|EUR|pt|ES
AR|Buenos Aires|布宜诺斯艾利斯|SA|ARS|es|CL UY BR
SE|Stockholm|斯德哥尔摩|EU|SEK|sv|NO FI
NL|Amsterdam|阿姆斯特丹|EU|EUR|nl|BE DE
CH|Bern|伯尔尼|EU|CHF|-|DE FR IT AT
AT|Vienna|维也纳|EU|EUR|de|DE CZ HU IT CH
VN|Hanoi|河内|AS|VND|vi|CN KH
TH|Bangkok|曼谷|AS|THB|th|KH MY
KE|Nairobi|内罗毕|AF|KES|sw|ET TZ
PL|Warsaw|华沙|EU|PLN|pl|DE CZ UA RU
NO|Oslo|奥斯陆|EU|NOK|-|SE FI RU
DK|Copenhagen|哥本哈根|EU|DKK|da|DE
FI|Helsinki|赫尔辛基|EU|EUR|-|SE NO RU
IE|Dublin|都柏林|EU|EUR|-|GB
BE|Brussels|布鲁塞尔|EU|EUR|-|NL DE FR
NG|Abuja|阿布贾|AF|NGN|-|
PE|Lima|利马|SA|PEN|-|EC CO BR CL
CL|Santiago|圣地亚哥|SA|CLP|es|PE AR
CU|Havana|哈瓦那|NA|CUP|es|
NZ|Wellington|惠灵顿|OC|NZD|en|
`;

const OTHERS = `
CZ|Prague|布拉格|EU|CZK|cs|DE PL AT
HU|Budapest|布达佩斯|EU|HUF|hu|AT UA RO
RO|Bucharest|布加勒斯特|EU|RON|ro|HU UA
UA|Kyiv|基辅|EU|UAH|uk|PL HU RO RU
IS|Reykjavik|雷克雅未克|EU|ISK|is|
MN|Ulaanbaatar|乌兰巴托|AS|MNT|mn|RU CN
NP|Kathmandu|加德满都|AS|NPR|ne|CN IN
BD|Dhaka|达卡|AS|BDT|bn|IN
PK|Islamabad|伊斯兰堡|AS|PKR|-|IN IR
IR|Tehran|德黑兰|AS|IRR|fa|PK TR
SA|Riyadh|利雅得|AS|SAR|ar|AE
AE|Abu Dhabi|阿布扎比|AS|AED|ar|SA
KH|Phnom Penh|金边|AS|KHR|km|VN TH
MY|Kuala Lumpur|吉隆坡|AS|MYR|ms|TH
PH|Manila|马尼拉|AS|PHP|-|
MA|Rabat|拉巴特|AF|MAD|-|ES DZ
DZ|Algiers|阿尔及尔|AF|DZD|-|MA
ET|Addis Ababa|亚的斯亚贝巴|AF|ETB|-|KE
TZ|Dodoma|多多马|AF|TZS|-|KE
GH|Accra|阿克拉|AF|GHS|-|
ZA|-|-|AF|ZAR|-|
GT|Guatemala City|危地马拉城|NA|GTQ|es|MX
JM|Kingston|金斯敦|NA|JMD|en|
CO|Bogotá|波哥大|SA|COP|es|VE BR PE EC
VE|Caracas|加拉加斯|SA|VES|es|CO BR
EC|Quito|基多|SA|USD|es|CO PE
UY|Montevideo|蒙得维的亚|SA|UYU|es|BR AR
`;

function parse(text: string, core: boolean): CountryRow[] {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [code, capital, capitalZh, continent, currency, language, neighbours] = line.split('|');
      const stated = (field: string) => (field === '-' ? null : field);
      return {
        code,
        capital: capital === '-' ? null : [capital, capitalZh],
        continent: stated(continent),
        currency: stated(currency),
        language: stated(language),
        neighbours: neighbours === '' ? [] : neighbours.split(' '),
        core,
      };
    });
}

/** All rows, core countries first. */
export const COUNTRIES: readonly CountryRow[] = [...parse(CORE, true), ...parse(OTHERS, false)];
