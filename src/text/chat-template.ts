/**
 * Chats as ids, in LLaMA 2's form: `<s>[INST] … [/INST] answer </s>` a turn, the system text inside the first
 * instruction. Marks are added as ids and text is encoded as plain text, so nothing a user writes can forge a turn.
 * Templates that models bring along are run by `jinja-template.ts`.
 */

import { ScionError } from '../base/errors.ts';
import { needMark } from './sentencepiece.ts';
import type { Tokenizer } from './types.ts';

/** One message of a chat. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** A chat as ids; `trained[i]` is 1 where id i is part of an answer (its end mark included). */
export interface EncodedChat {
  readonly ids: number[];
  readonly trained: number[];
}

/**
 * Encodes a chat: an optional system message, then user and assistant in turn. A chat that ends with the user
 * is a prompt: the model's answer follows. Throws `input` for another order or a tokenizer without marks.
 */
export function encodeChat(tokenizer: Tokenizer, messages: readonly ChatMessage[]): EncodedChat {
  const bos = needMark('begin', tokenizer.bosId);
  const eos = needMark('end', tokenizer.eosId);
  const ids: number[] = [];
  const trained: number[] = [];
  const add = (more: readonly number[], answer: boolean): void => {
    for (const id of more) {
      ids.push(id);
      trained.push(answer ? 1 : 0);
    }
  };
  for (const { user, assistant } of turnsOf(messages)) {
    const prompt = tokenizer.encode(`[INST] ${user} [/INST]`);
    if (assistant === null) {
      add([bos, ...prompt], false);
      continue;
    }
    // A turn is encoded as one text, as LLaMA 2's own code does: an answer encoded by itself would get a second space mark.
    const turn = tokenizer.encode(`[INST] ${user} [/INST] ${assistant} `);
    let same = 0;
    while (same < prompt.length && turn[same] === prompt[same]) same++;
    add([bos, ...turn.slice(0, same)], false);
    add([...turn.slice(same), eos], true);
  }
  return { ids, trained };
}

interface Turn {
  readonly user: string;
  assistant: string | null;
}

function turnsOf(messages: readonly ChatMessage[]): Turn[] {
  const turns: Turn[] = [];
  let system: string | null = null;
  messages.forEach(({ role, content }, i) => {
    const text = content.trim();
    const last = turns.at(-1);
    const open = last !== undefined && last.assistant === null;
    if (role === 'system' && i === 0) {
      system = content;
    } else if (role === 'user' && !open) {
      const head = turns.length === 0 && system !== null ? `<<SYS>>\n${system}\n<</SYS>>\n\n` : '';
      turns.push({ user: (head + content).trim(), assistant: null });
    } else if (role === 'assistant' && last !== undefined && open) {
      last.assistant = text;
    } else {
      throw new ScionError('input', `chat message ${i} is of role ${role}; wanted an optional system message, then user and assistant in turn`, { i, role });
    }
  });
  if (turns.length === 0) throw new ScionError('input', `a chat of ${messages.length} messages has no user message; give one`, { messages: messages.length });
  return turns;
}
