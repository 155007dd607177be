/**
 * Chats as ids by a template that a model brings along (Jinja, as transformers' `apply_chat_template` runs it), with the answers
 * marked. The rendered text is encoded as one, marks included, so the ids are transformers'; that costs the safety of the built-in
 * forms, where a message cannot forge a mark: here a message that spells one out is refused.
 *
 * What is learnt: what stands between `{% generation %}` and `{% endgeneration %}`, if the template has these; else, for each
 * answer, what is added to the text rendered up to it (with the generation prompt) by the answer itself, up to and with the last mark in
 * it. That needs each rendering to begin with the one before; a template for which a plain chat does not (those that drop
 * earlier thoughts, for one) is refused, and a chat for which it does not is left out.
 */
import { ScionError } from '../base/errors.ts';
import type { ChatMessage, EncodedChat } from './chat-template.ts';
import { isObject } from './json-read.ts';
import type { Tokenizer } from './types.ts';

/** Noncharacters, for use inside a program (Unicode 23.7): where learnt text begins and ends. */
const [OPEN, CLOSE] = ['\uFDD0', '\uFDD1'];
const GENERATION = /\{%(-?)\s*(end)?generation\s*(-?)%\}/g;
/** Longest template that is run; published ones have at most some 20,000 characters. */
const MAX_TEMPLATE = 1 << 20;

/** A stretch of the rendered text, in UTF-16 units. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** A template ready for one tokenizer. */
export interface JinjaTemplate {
  readonly kind: 'jinja';
  /** True where the template itself says what is learnt. */
  readonly marked: boolean;
  /** The text of a chat; with `prompt` the beginning of an answer is added. Throws `input` with the template's own words where it refuses. */
  render(messages: readonly ChatMessage[], options?: { readonly prompt?: boolean }): string;
  /** Ids and what is learnt of them. Throws `input` for a message that spells out a mark, and where the rule of prefixes fails. */
  encode(messages: readonly ChatMessage[], options?: { readonly prompt?: boolean }): EncodedChat;
  /** Marks that the template puts behind an answer; none where that is text. */
  answerEnds(): number[];
}

/** The template beside a tokenizer: `chat_template.jinja`, else `chat_template` of tokenizer_config.json (of several the one named `default`); or null. */
export function chatTemplateText(tokenizer: Tokenizer): string | null {
  const decode = (name: string): string | null => {
    const bytes = tokenizer.source.neighbours?.get(name);
    return bytes === undefined ? null : new TextDecoder().decode(bytes);
  };
  const own = decode('chat_template.jinja');
  if (own !== null) return own;
  const config = decode('tokenizer_config.json');
  if (config === null) return null;
  const json: unknown = JSON.parse(config);
  const found = isObject(json) ? json.chat_template : undefined;
  if (typeof found === 'string') return found;
  if (!Array.isArray(found)) return null;
  const named = (found as unknown[]).find((entry) => isObject(entry) && entry.name === 'default');
  return isObject(named) && typeof named.template === 'string' ? named.template : null;
}

/** Makes the markers of learnt text into output. As an `if`, so that the white space around them is treated as that of any tag. */
function withSentinels(text: string): string {
  return text.replace(GENERATION, (_, before: string, end: string | undefined, after: string) => {
    return `{%${before} if true %}{{ '${end === undefined ? OPEN : CLOSE}' }}{% endif ${after}%}`;
  });
}

/** Takes the sentinels out of a rendered text. */
function takeSpans(rendered: string): { text: string; spans: Span[] } {
  const spans: Span[] = [];
  let text = '';
  let from = -1;
  for (const part of rendered.split(/([\uFDD0\uFDD1])/)) {
    if (part === OPEN) from = text.length;
    else if (part === CLOSE) {
      if (from >= 0 && text.length > from) spans.push({ from, to: text.length });
      from = -1;
    } else text += part;
  }
  return { text, spans };
}

const PROBE: readonly ChatMessage[] = [
  { role: 'user', content: 'one' },
  { role: 'assistant', content: 'two' },
  { role: 'user', content: 'three' },
  { role: 'assistant', content: 'four' },
];

/**
 * Prepares a template: its text, or by default the one that lies beside the tokenizer. `prompts`: it is only asked for prompts, so it need not be
 * told what is learnt.
 * @throws ScionError `input` where there is none, where it cannot be read, or where the rule for what is learnt does not hold.
 */
export async function openJinjaTemplate(tokenizer: Tokenizer, source?: string, options: { readonly prompts?: boolean } = {}): Promise<JinjaTemplate> {
  const text = source ?? chatTemplateText(tokenizer);
  if (text === null || text.trim() === '')
    throw new ScionError(
      'input',
      'this tokenizer brings no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); choose a built-in one',
      {
        template: 'tokenizer',
      },
    );
  if (text.length > MAX_TEMPLATE || /[\uFDD0\uFDD1]/.test(text))
    throw new ScionError('input', `a chat template of ${text.length} characters, or with noncharacters in it, is not run; at most ${MAX_TEMPLATE} are`, {
      template: 'tokenizer',
    });
  const { Template } = await import('@huggingface/jinja');
  let template: InstanceType<typeof Template>;
  try {
    template = new Template(withSentinels(text));
  } catch (error) {
    throw new ScionError(
      'input',
      `the chat template cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      { template: 'tokenizer' },
      error,
    );
  }
  const chat = new Jinja(tokenizer, template, GENERATION.test(text));
  GENERATION.lastIndex = 0;
  if (!chat.marked && options.prompts !== true) chat.spansOf(PROBE);
  return chat;
}

class Jinja implements JinjaTemplate {
  readonly kind = 'jinja';
  readonly marked: boolean;
  readonly #tokenizer: Tokenizer;
  readonly #template: { render(items: Record<string, unknown>): string };
  readonly #names: Record<string, string>;

  constructor(tokenizer: Tokenizer, template: { render(items: Record<string, unknown>): string }, marked: boolean) {
    this.#tokenizer = tokenizer;
    this.#template = template;
    this.marked = marked;
    const { bosId, eosId, padId, unkId } = tokenizer;
    const ids = { bos_token: bosId, eos_token: eosId, pad_token: padId, unk_token: unkId };
    this.#names = Object.fromEntries(Object.entries(ids).flatMap(([name, id]) => (id === null ? [] : [[name, tokenizer.pieceOf(id)]])));
  }

  #run(messages: readonly ChatMessage[], prompt: boolean): { text: string; spans: Span[] } {
    try {
      const items = { ...this.#names, messages: messages.map((m) => ({ ...m })), add_generation_prompt: prompt, tools: null, documents: null };
      return takeSpans(this.#template.render(items));
    } catch (error) {
      throw new ScionError(
        'input',
        `the chat template refuses ${messages.length} messages: ${error instanceof Error ? error.message : String(error)}`,
        {},
        error,
      );
    }
  }

  render(messages: readonly ChatMessage[], options: { readonly prompt?: boolean } = {}): string {
    this.#check(messages);
    return this.#run(messages, options.prompt === true).text;
  }

  /** A message may not spell out what would become a mark. */
  #check(messages: readonly ChatMessage[]): void {
    for (const [i, { content }] of messages.entries()) {
      const forged = this.#tokenizer.encode(content, { allowSpecial: true }).find((id) => this.#tokenizer.isSpecial(id) && id !== this.#tokenizer.unkId);
      if (forged === undefined && !/[\uFDD0\uFDD1]/.test(content)) continue;
      const what = forged === undefined ? 'a noncharacter' : `the mark ${this.#tokenizer.pieceOf(forged)}`;
      throw new ScionError('input', `message ${i} spells out ${what}, which would count as one; take it out`, { message: i });
    }
  }

  /** What is learnt of the rendered text. */
  spansOf(messages: readonly ChatMessage[]): { text: string; spans: Span[] } {
    const whole = this.#run(messages, false);
    if (this.marked) return whole;
    const spans: Span[] = [];
    for (const [i, { role }] of messages.entries()) {
      if (role !== 'assistant') continue;
      const before = this.#run(messages.slice(0, i), true).text;
      const after = this.#run(messages.slice(0, i + 1), false).text;
      if (!after.startsWith(before) || !whole.text.startsWith(after))
        throw new ScionError(
          'input',
          `the chat template renders message ${i} of a chat otherwise when others follow, so what is learnt of it cannot be told; mark it with {% generation %} in the template, or choose a built-in one`,
          { message: i },
        );
      spans.push({ from: before.length, to: before.length + this.#throughLastMark(after.slice(before.length)) });
    }
    return { text: whole.text, spans };
  }

  answerEnds(): number[] {
    const [question, answer] = PROBE;
    const { text } = this.#run([question, answer], false);
    const behind = text.slice(text.lastIndexOf(answer.content) + answer.content.length);
    const end = this.#tokenizer.encode(behind, { allowSpecial: true }).find((id) => this.#tokenizer.isSpecial(id));
    return end === undefined ? [] : [end];
  }

  /** Where learnt text ends: behind its last mark, if only white space follows that. */
  #throughLastMark(text: string): number {
    const trimmed = text.trimEnd().length;
    const last = this.#tokenizer.encode(text.slice(0, trimmed), { allowSpecial: true }).at(-1);
    return last !== undefined && this.#tokenizer.isSpecial(last) ? trimmed : text.length;
  }

  encode(messages: readonly ChatMessage[], options: { readonly prompt?: boolean } = {}): EncodedChat {
    this.#check(messages);
    const encode = (text: string): number[] => this.#tokenizer.encode(text, { allowSpecial: true });
    if (options.prompt === true) {
      const prompt = encode(this.#run(messages, true).text);
      return { ids: prompt, trained: prompt.map(() => 0) };
    }
    const { text, spans } = this.spansOf(messages);
    const ids = encode(text);
    const trained = ids.map(() => 0);
    for (const { from, to } of spans) {
      // A token that lies on a border is learnt, as transformers' assistant mask has it.
      const begin = sharedStart(encode(text.slice(0, from)), ids);
      const end = encode(text.slice(0, to));
      const same = sharedStart(end, ids);
      trained.fill(1, begin, same < end.length ? same + 1 : same);
    }
    return { ids, trained };
  }
}

function sharedStart(a: readonly number[], b: readonly number[]): number {
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same++;
  return same;
}
