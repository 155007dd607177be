/**
 * Edits that go line by line: spaces and empty lines, boilerplate of pages and books, the line rules of C4 (Raffel et al.
 * 2020). One walk; patterns see only short lines, trimmed by hand, so that no run of spaces is walked twice. Lines
 * inside a code fence are left as they are where fences count.
 */
import type { Tally } from '../../step.ts';

export interface LineRules {
  /** `ends`: spaces at line ends, at most two empty lines. `full`: also runs of spaces inside a line, wide indents, one empty line. */
  readonly space: 'off' | 'ends' | 'full';
  /** Removes lines that are only menus, notices and buttons of a page. */
  readonly boilerplate: boolean;
  /** Removes lines that are only a page number. */
  readonly pageNumbers: boolean;
  /** Lines between ``` or ~~~ keep everything but line ends. */
  readonly fences: boolean;
  readonly c4: C4Lines | null;
}

export interface C4Lines {
  /** Keeps only lines that end in a stop, a quote, `?` or `!` (also of Chinese). */
  readonly terminal: boolean;
  /** Words a line must have, separated by spaces; lines of scripts without spaces are not asked. 0: off. */
  readonly minWords: number;
  /** Characters that a word may have; a line with a longer one goes. 0: off. */
  readonly maxWordLength: number;
  /** Removes lines with the word javascript. */
  readonly javascript: boolean;
  /** Removes lines on cookies, privacy policies and terms of use. */
  readonly policy: boolean;
  /** Removes `[12]`, `[edit]`, `[citation needed]`. */
  readonly citations: boolean;
}

/** Longest line that can be boilerplate, in UTF-16 units. */
const MAX_BOILERPLATE = 160;

/** Whole lines, trimmed. Each alternative is a notice that carries nothing of the text. */
export const BOILERPLATE: readonly RegExp[] = [
  /^(?:skip to (?:main )?(?:content|navigation)|back to (?:top|home)|return to top|go to top|table of contents|toggle (?:navigation|menu)|main menu|breadcrumbs?|sidebar|advertisements?|sponsored(?: content)?|loading(?:\.{3}|…)?|please wait(?:\.{3}|…)?)$/i,
  /^(?:home|next|previous|prev|older posts?|newer posts?|next (?:page|post|article)|previous (?:page|post|article)|log ?in|log ?out|sign ?in|sign ?up|register|subscribe(?: now)?|search|share|tweet|print(?: this page)?|reply|leave a (?:comment|reply)|add to cart|read more|learn more|view more|show more|see more|load more|click here\W*|close)$/i,
  /^(?:share (?:this (?:post|page|article|story|entry)|this ?:|on |via )|follow us|like us|find us on|connect with us|filed under|posted (?:in|by|on)|tagged(?: with| as)?:)[^.,;?!]{0,50}$/i,
  /^(?:copyright\b|©|\(c\) ?\d{4}).{0,120}$/i,
  /^.{0,80}\ball rights reserved\b.{0,40}$/i,
  /^.{0,100}\b(?:uses? cookies|use of cookies|accept (?:all )?cookies|cookie (?:policy|settings|preferences)|privacy policy|terms of (?:use|service))\b.{0,80}$/i,
  /^.{0,60}\b(?:enable|requires?|turn on|activate) javascript\b.{0,80}$/i,
  /^.{0,60}\bjavascript (?:is|must|needs|seems|appears)\b.{0,80}$/i,
  /^lorem ipsum\b.{0,150}$/i,
  /^powered by .{1,40}$/i,
  /^(?:上一篇|下一篇|上一页|下一页|上一章|下一章|上一条|下一条|上一节|下一节)(?:$|[：:｜| ]).{0,80}$/,
  /^(?:返回|回到)(?:首页|顶部|列表|上页|上一页|目录|主页)$/,
  /^(?:首页|末页|尾页|打印本页|关闭窗口|加入收藏|设为首页|联系我们|关于我们|网站地图|友情链接|免责声明|用户登录|立即注册|登录|注册|搜索|更多|展开全文|阅读全文|查看全文|查看更多|点击查看更多?|点击展开|分享到?|收藏|点赞|举报|广告)[\s>》…]*$/,
  /^(?:首页|主页|当前位置|您的位置|您现在的位置|你的位置)\s?[>》：:›»/].{0,80}$/,
  /^点击(?:这里|此处|下载|查看|进入|观看|关注|领取|阅读原文|上方|下方|图片|链接).{0,40}$/,
  /^(?:版权所有|著作权所有|Copyright).{0,100}$/,
  /^.{0,60}(?:版权所有|未经(?:书面|本站|本网|允许|许可|授权)[^。]{0,10}(?:不得|禁止|严禁)(?:转载|复制)).{0,60}$/,
  /^.{0,40}(?:ICP|icp)[备证]\s?\d{5,}.{0,60}$/,
  /^(?:责任编辑|责编|本文编辑|编辑|来源|稿件来源|文章来源|原标题|发布时间|更新时间|阅读量?|浏览次数|点击数|点击量|字号|标签|关键词)[：:].{0,40}$/,
  /^(?:扫码|扫描|长按)[^。]{0,20}(?:二维码|关注|下载|加群).{0,40}$/,
  /^.{0,20}(?:关注|搜索)(?:我们的)?(?:微信)?公众号.{0,60}$/,
  /^(?:分享到|分享至)[：:]?.{0,40}$/,
  /^(?:相关阅读|相关文章|相关新闻|相关推荐|推荐阅读|热门推荐|猜你喜欢|延伸阅读|热门文章|最新文章)[：:]?$/,
  /^.{0,40}(?:请(?:开启|启用|打开)|不支持|需要启用) ?[Jj]ava[Ss]cript.{0,40}$/,
  /^.{0,60}(?:使用|接受|允许) ?[Cc]ookies?.{0,60}$/,
];

/** One test instead of twenty for the many lines that are no boilerplate: every pattern has one of these letters. */
const HINT =
  /skip|back|return|go to|table|toggle|menu|bread|side|advert|spons|load|wait|home|next|prev|older|newer|log|sign|regist|subsc|search|shar|tweet|print|reply|leave|add to|more|click|clos|follow|like us|find us|connect|filed|posted|tagged|copyr|©|\(c\)|rights|cookie|policy|terms of|javascript|lorem|powered|上一|下一|返回|回到|首页|末页|尾页|打印|关闭|加入|设为|联系|关于|网站|友情|免责|登录|注册|搜索|更多|展开|全文|查看|点击|分享|收藏|点赞|举报|广告|主页|位置|版权|著作权|未经|icp|编辑|责编|来源|标题|时间|阅读|次数|点击|字号|标签|关键词|扫码|扫描|长按|公众号|相关|推荐|猜你|延伸|热门|最新/i;

const PAGE_NUMBER =
  /^(?:[-–—·•~] ?\d{1,4} ?[-–—·•~]|(?:page|p\.) ?\d{1,4}(?: ?(?:of|\/) ?\d{1,4})?|第 ?\d{1,4} ?页(?:[ ，,/]{0,2}共 ?\d{1,4} ?页)?|\[ ?\d{1,4} ?\])$/i;

const POLICIES = ['terms of use', 'privacy policy', 'cookie policy', 'uses cookies', 'use of cookies', 'use cookies'];
const CITATION = /\[\d{0,9}\]|\[edit\]|\[citation needed\]/g;
const TERMINALS = new Set([...`.?!"'。！？”’」』…`].map((mark) => mark.charCodeAt(0)));

const isSpace = (code: number): boolean => code === 32 || code === 9 || code === 0x3000 || code === 0xa0;

/** A row of menu entries: at least three separators between short parts, and no sentence. */
function isMenu(line: string): boolean {
  if (line.length > MAX_BOILERPLATE || line[0] === '|' || !/[|»›·]/.test(line) || /[.。！？!?]$/.test(line)) return false;
  const parts = line.split(/ ?[|»›·] ?/);
  return parts.length >= 4 && parts.every((part) => part.length <= 24);
}

function isBoilerplate(line: string): boolean {
  if (line.length > MAX_BOILERPLATE) return false;
  return (HINT.test(line) && BOILERPLATE.some((pattern) => pattern.test(line))) || isMenu(line);
}

/** Why a trimmed line goes by C4, or null. */
function c4Reason(line: string, lower: string, rules: C4Lines): boolean {
  let words = 0;
  let wide = 0;
  let length = 0;
  for (let i = 0; i <= line.length; i++) {
    const code = i < line.length ? line.charCodeAt(i) : 32;
    if (isSpace(code)) {
      if (length > 0) words++;
      length = 0;
    } else if (++length > rules.maxWordLength && rules.maxWordLength > 0 && wide === 0) return true;
    if (code >= 0x2e80) wide++;
  }
  const last = line.charCodeAt(line.length - 1);
  if (rules.terminal && (!TERMINALS.has(last) || line.endsWith('...'))) return true;
  if (wide === 0 && words < rules.minWords) return true;
  if (rules.javascript && lower.includes('javascript')) return true;
  return rules.policy && POLICIES.some((phrase) => lower.includes(phrase));
}

/** The text with its lines edited. */
export function editLines(text: string, rules: LineRules, tally: Tally): string {
  const { c4 } = rules;
  const lowered = c4 && (c4.javascript || c4.policy) ? text.toLowerCase() : '';
  const marked = c4 !== null && ((c4.javascript && lowered.includes('javascript')) || (c4.policy && POLICIES.some((phrase) => lowered.includes(phrase))));
  const cited = c4?.citations === true && text.includes('[');
  const out: string[] = [];
  /** Unchanged text is copied in one slice: from here to the line at hand. */
  let from = 0;
  let changed = false;
  let fence = '';
  let empty = 0;
  const maxEmpty = rules.space === 'full' ? 1 : rules.space === 'ends' ? 2 : Number.POSITIVE_INFINITY;
  const n = text.length;
  for (let start = 0; start <= n; ) {
    let end = text.indexOf('\n', start);
    if (end < 0) end = n;
    let first = start;
    let last = end;
    while (last > start && isSpace(text.charCodeAt(last - 1))) last--;
    while (first < last && isSpace(text.charCodeAt(first))) first++;
    let goes = false;
    let put: string | null = null;
    const inFence = fence !== '';
    if (rules.fences && last - first >= 3 && (text.startsWith('```', first) || text.startsWith('~~~', first))) {
      const mark = text.slice(first, first + 3);
      if (fence === '') fence = mark;
      else if (fence === mark) fence = '';
    }
    if (first === last) {
      empty++;
      // C4 keeps no empty lines: they have no stop and no words.
      goes = !inFence && (empty > maxEmpty || (c4 !== null && start < n && (c4.terminal || c4.minWords > 0)));
      if (rules.space !== 'off' && end > start) put = '';
    } else {
      empty = 0;
      if (!inFence && fence === '') {
        if (rules.boilerplate && last - first <= MAX_BOILERPLATE && isBoilerplate(text.slice(first, last))) {
          tally.count('clean.boilerplate-line');
          goes = true;
        } else if (rules.pageNumbers && last - first <= 24 && PAGE_NUMBER.test(text.slice(first, last))) {
          tally.count('clean.page-number');
          goes = true;
        } else if (c4) {
          let line = text.slice(first, last);
          if (first > start || last < end) put = line;
          if (cited && line.includes('[')) {
            const bare = line.replace(CITATION, '');
            if (bare !== line) {
              put = bare;
              line = bare;
            }
          }
          if (c4Reason(line, marked ? line.toLowerCase() : '', c4)) {
            tally.count('clean.c4-line');
            goes = true;
          }
        }
        if (!goes && rules.space !== 'off') {
          let line = put ?? (last < end ? text.slice(start, last) : null);
          if (rules.space === 'full') {
            line ??= hasRun(text, start, last) ? text.slice(start, last) : null;
            if (line !== null) line = squeeze(line);
          }
          put = line;
        }
      }
    }
    if (goes || put !== null) {
      if (!changed || start > from) out.push(text.slice(from, start));
      changed = true;
      if (!goes && put !== null) out.push(end < n ? `${put}\n` : put);
      from = Math.min(n, end + 1);
    }
    start = end + 1;
  }
  if (!changed) return text;
  out.push(text.slice(from));
  return out.join('');
}

/** A run of spaces, a tab inside the line, or a wide indent. */
function hasRun(text: string, start: number, end: number): boolean {
  if (text.charCodeAt(start) === 0x3000) return true;
  let inside = false;
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code !== 32 && code !== 9) inside = true;
    else if (inside && (code === 9 || text.charCodeAt(i + 1) === 32 || text.charCodeAt(i + 1) === 9)) return true;
  }
  return false;
}

/** One space for many inside the line; a plain indent stays, an indent of wide spaces goes. */
function squeeze(line: string): string {
  let at = 0;
  while (at < line.length && isSpace(line.charCodeAt(at))) at++;
  const indent = line.slice(0, at).replaceAll('\u3000', '');
  const parts: string[] = [];
  let from = at;
  while (at < line.length) {
    const code = line.charCodeAt(at);
    if (code !== 32 && code !== 9) {
      at++;
      continue;
    }
    let to = at + 1;
    while (to < line.length && (line.charCodeAt(to) === 32 || line.charCodeAt(to) === 9)) to++;
    if (to < line.length) parts.push(line.slice(from, at), ' ');
    else parts.push(line.slice(from, at));
    from = to;
    at = to;
  }
  parts.push(line.slice(from));
  return indent + parts.join('');
}
