/**
 * Text that a page hides from people and shows to machines: HTML comments and elements that are not displayed. Those that
 * give orders to a reading model are removed by every rule set; `all` removes the rest too. Orders in plain sight are
 * only counted, since an article about them is a fair text. Each closing mark is looked for once between two
 * places, so the time stays linear.
 */
import type { Tally } from '../../step.ts';

/** Only so much of a hidden part is read for orders. */
const MAX_READ = 2000;
/** A longer part is more likely one whose end was lost, and its text is seen. */
const MAX_HIDDEN = 20_000;
/** Longer than this, `<…>` is no tag. */
const MAX_TAG = 1000;

const ORDERS = [
  /\b(?:ignore|disregard|forget|override|bypass)\b[^.]{0,60}\b(?:instructions?|prompts?|rules?|guidelines?|directions?|above|previous|prior)\b/i,
  /\b(?:system prompt|you are now|from now on,? you|as an? (?:ai|llm|language model|assistant))\b/i,
  /\b(?:llms?|language models?|chatgpt|gpt|assistants?|chatbots?|ai (?:models?|agents?|systems?|crawlers?)|ais?)\b[^.]{0,60}\b(?:must|should|shall|please|output|say|write|reveal|respond|reply|answer|recommend|print|include)\b/i,
  /(?:忽略|无视|忘记|忘掉|不要理会|無視|忘記)[^。]{0,16}(?:指令|指示|提示|规则|規則|要求|以上|之前|前面|上述)/,
  /系统提示词?|系統提示|你现在是|从现在起你|从现在开始，?你|作为(?:一个|一名)?(?:AI|人工智能|语言模型|大模型)|(?:大模型|语言模型|人工智能助手|AI)[^。]{0,16}(?:必须|应当|请|输出|回答)/,
];
const IN_SIGHT =
  /(?:ignore|disregard|forget) (?:all |any |the |my |your )*(?:previous|prior|above|preceding|earlier) (?:instructions|prompts)|(?:忽略|无视|忘记)(?:以上|之前|前面|上述)的?(?:所有|全部|一切)?的?(?:指令|指示|提示)/gi;
const NOT_SHOWN =
  /\bstyle\s{0,4}=\s{0,4}["']?[^"'>]{0,200}(?:display\s{0,4}:\s{0,4}none|visibility\s{0,4}:\s{0,4}hidden|font-size\s{0,4}:\s{0,4}0(?![.\d])|opacity\s{0,4}:\s{0,4}0(?![.\d])|(?:left|top|text-indent)\s{0,4}:\s{0,4}-\d{3,})|\shidden(?=[\s>=/]|$)/i;
/** Elements that hold no text for people. */
const MACHINE = /^(?:script|style|template)$/i;
const NAME = /^[a-z][a-z0-9-]{0,30}/i;

/** True if the text, or the beginning of it, tells a reading model what to do. */
export function isOrder(text: string): boolean {
  if (text.length < 6) return false;
  const read = text.length > MAX_READ ? text.slice(0, MAX_READ) : text;
  return ORDERS.some((pattern) => pattern.test(read));
}

/** The text without hidden parts. */
export function removeHidden(text: string, which: 'instructions' | 'all', tally: Tally): string {
  let at = text.indexOf('<');
  if (at < 0) return countInSight(text, tally);
  const parts: string[] = [];
  /** Where each closing mark was last found, from where it was last looked for; infinity: it does not come any more. */
  const known = new Map<string, number>();
  const find = (mark: string, from: number): number => {
    const last = known.get(mark);
    if (last !== undefined && last >= from) return last;
    const found = text.indexOf(mark, from);
    const place = found < 0 ? Number.POSITIVE_INFINITY : found;
    known.set(mark, place);
    return place;
  };
  let from = 0;
  while (at >= 0) {
    let end = -1;
    let hidden = '';
    if (text.startsWith('<!--', at)) {
      const close = find('-->', at + 4);
      if (close - at <= MAX_HIDDEN) {
        end = close + 3;
        hidden = text.slice(at + 4, Math.min(close, at + 4 + MAX_READ));
      }
    } else if (isTagStart(text.charCodeAt(at + 1))) {
      const close = find('>', at);
      if (close - at <= MAX_TAG) {
        const tag = text.slice(at + 1, close);
        const name = NAME.exec(tag)?.[0];
        if (name && !tag.endsWith('/') && ((which === 'all' && MACHINE.test(name)) || NOT_SHOWN.test(tag))) {
          const last = find(`</${name}>`, close);
          if (last - at <= MAX_HIDDEN) {
            end = last + name.length + 3;
            hidden = text.slice(close + 1, Math.min(last, close + 1 + MAX_READ));
          }
        }
      }
    }
    if (end >= 0) {
      const order = isOrder(hidden);
      if (order || which === 'all') {
        tally.count(order ? 'clean.hidden-instruction' : 'clean.hidden-text');
        parts.push(text.slice(from, at));
        from = end;
      }
    }
    // A comment that stays is passed as a whole: what looks like a tag in it is none.
    at = text.indexOf('<', Math.max(at + 1, end));
  }
  if (from === 0 && parts.length === 0) return countInSight(text, tally);
  parts.push(text.slice(from));
  return countInSight(parts.join(''), tally);
}

function countInSight(text: string, tally: Tally): string {
  if (text.includes('nstructions') || text.includes('rompts') || text.includes('指') || text.includes('提示')) {
    const found = text.match(IN_SIGHT);
    if (found) tally.count('clean.instruction-in-sight', found.length);
  }
  return text;
}

function isTagStart(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
}
