/**
 * Chats as parts: marks (ids of their own) and text (encoded as plain text, so that nothing in a message can forge a
 * mark). What an assistant says and the mark that ends it are learnt, in every turn; all else is read only.
 *
 * - `plain`: `<bos>[system⏎⏎]User: …⏎Assistant: …<eos>⏎User: …`, for any tokenizer with an end mark; text as it stands.
 * - `llama-2`: `<bos>[INST] <<SYS>>⏎system⏎<</SYS>>⏎⏎user [/INST] answer <eos>`, a begin mark each turn; each turn trimmed, the
 *   system text as part of the first.
 *   Source: the chat format of Touvron et al. 2023, "Llama 2", as its reference code writes it.
 * - `llama-3`: `<bos>` and `<|start_header_id|>role<|end_header_id|>⏎⏎…<|eot_id|>` a turn; text trimmed.
 * - `chatml`: `<|im_start|>role⏎…<|im_end|>⏎` a turn; text as it stands.
 */
import type { Message } from '../doc.ts';

/** The built-in chat templates. */
const BUILT_IN = ['plain', 'llama-2', 'llama-3', 'chatml'] as const;
export type BuiltInTemplate = (typeof BUILT_IN)[number];

/** Chat templates by name; `tokenizer` is the one that lies beside the tokenizer (Jinja, see `text/jinja-template.ts`). */
export const TEMPLATES = [...BUILT_IN, 'tokenizer'] as const;
export type TemplateName = (typeof TEMPLATES)[number];

/** The template that a word names, written with a dash or without; null for none. */
export function templateNamed(word: string): TemplateName | null {
  return TEMPLATES.find((name) => name === word || name.replace('-', '') === word) ?? null;
}

/** A mark by its name in the vocabulary (`bos` and `eos`: the tokenizer's own), or a stretch of text. */
export type Part = { readonly mark: string; readonly learnt: boolean } | { readonly text: string; readonly learnt: boolean };

/** Why a document is left out. */
export interface Refusal {
  readonly reason: string;
  readonly note: string;
}

export const isRefusal = (value: object): value is Refusal => 'reason' in value;

/** A message whose role is one of the three. */
export interface Turn {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** Names that data sets in the wild give the three roles. */
const ROLES: Readonly<Record<string, Turn['role']>> = {
  system: 'system',
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  gpt: 'assistant',
  bot: 'assistant',
  model: 'assistant',
};

/** Marks that a template needs beside begin and end. */
export const TEMPLATE_MARKS: Readonly<Record<BuiltInTemplate, readonly string[]>> = {
  plain: ['eos'],
  'llama-2': ['bos', 'eos'],
  'llama-3': ['bos', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
  chatml: ['<|im_start|>', '<|im_end|>'],
};

const mark = (name: string, learnt = false): Part => ({ mark: name, learnt });
const said = (text: string, learnt = false): Part => ({ text, learnt });

function plain(turns: readonly Turn[]): Part[] {
  const parts = [mark('bos')];
  let text = '';
  turns.forEach(({ role, content }, i) => {
    if (role === 'system') text += `${content}\n\n`;
    else if (role === 'user') text += `User: ${content}\n`;
    else {
      parts.push(said(`${text}Assistant:`), said(` ${content}`, true), mark('eos', true));
      text = i + 1 < turns.length ? '\n' : '';
    }
  });
  if (text !== '') parts.push(said(text));
  return parts;
}

function llama2(turns: readonly Turn[]): Part[] | Refusal {
  const parts: Part[] = [];
  let system = '';
  let open = false;
  for (const [i, { role, content }] of turns.entries()) {
    const text = content.trim();
    if (role === 'system' && i === 0) system = `<<SYS>>\n${content}\n<</SYS>>\n\n`;
    else if (role === 'user' && !open) {
      parts.push(mark('bos'), said(`[INST] ${(system + content).trim()} [/INST]`));
      system = '';
      open = true;
    } else if (role === 'assistant' && open) {
      parts.push(said(` ${text} `, true), mark('eos', true));
      open = false;
    } else return { reason: 'tokenize.turns', note: `message ${i} is of role ${role}; llama-2 takes a system message, then user and assistant in turn` };
  }
  return parts;
}

function llama3(turns: readonly Turn[]): Part[] {
  return [
    mark('bos'),
    ...turns.flatMap(({ role, content }) => {
      const learnt = role === 'assistant';
      return [mark('<|start_header_id|>'), said(role), mark('<|end_header_id|>'), said('\n\n'), said(content.trim(), learnt), mark('<|eot_id|>', learnt)];
    }),
  ];
}

function chatml(turns: readonly Turn[]): Part[] {
  return turns.flatMap(({ role, content }) => {
    const learnt = role === 'assistant';
    return [mark('<|im_start|>'), said(`${role}\n`), said(content, learnt), mark('<|im_end|>', learnt), said('\n')];
  });
}

/** Neighbouring texts that are both read, or both learnt, are one text: it is cut as a whole. */
function joined(parts: readonly Part[]): Part[] {
  const out: Part[] = [];
  for (const part of parts) {
    const last = out.at(-1);
    if (last && 'text' in last && 'text' in part && last.learnt === part.learnt) out[out.length - 1] = said(last.text + part.text, part.learnt);
    else out.push(part);
  }
  return out;
}

/** A chat with its roles under one name each, or why it is none: a role that is not known, no answer to learn. */
export function chatTurns(messages: readonly Message[]): Turn[] | Refusal {
  const turns: Turn[] = [];
  for (const [i, { role, content }] of messages.entries()) {
    const known = Object.hasOwn(ROLES, role.toLowerCase()) ? ROLES[role.toLowerCase()] : undefined;
    if (known === undefined) return { reason: 'tokenize.role', note: `message ${i} is of role ${JSON.stringify(role.slice(0, 40))}` };
    turns.push({ role: known, content });
  }
  if (!turns.some(({ role, content }) => role === 'assistant' && content.trim() !== '')) {
    return { reason: 'tokenize.no-answer', note: `${turns.length} messages, none of them an answer` };
  }
  return turns;
}

/** A chat as parts, or why it cannot be one: what `chatTurns` refuses, an order the template does not have. */
export function chatParts(messages: readonly Message[], template: BuiltInTemplate): Part[] | Refusal {
  const turns = chatTurns(messages);
  return isRefusal(turns) ? turns : turnParts(turns, template);
}

/** What stands between a chat that ends with the user and the answer. */
const OPENINGS: Readonly<Record<BuiltInTemplate, readonly Part[]>> = {
  plain: [said('Assistant:')],
  'llama-2': [],
  'llama-3': [mark('<|start_header_id|>'), said('assistant'), mark('<|end_header_id|>'), said('\n\n')],
  chatml: [mark('<|im_start|>'), said('assistant\n')],
};

/** A chat that ends with the user as parts, up to where its answer begins: what `chatParts` puts before that answer. Or why it is none. */
export function promptParts(turns: readonly Turn[], template: BuiltInTemplate): Part[] | Refusal {
  if (turns.at(-1)?.role !== 'user')
    return { reason: 'tokenize.turns', note: `a prompt ends with a message of the user; this chat ends with ${turns.at(-1)?.role ?? 'nothing'}` };
  const parts = turnParts(turns, template);
  return isRefusal(parts) ? parts : joined([...parts, ...OPENINGS[template]]);
}

function turnParts(turns: readonly Turn[], template: BuiltInTemplate): Part[] | Refusal {
  if (template === 'plain') return plain(turns);
  const parts = template === 'llama-2' ? llama2(turns) : template === 'llama-3' ? llama3(turns) : chatml(turns);
  return isRefusal(parts) ? parts : joined(parts);
}
