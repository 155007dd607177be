/**
 * Talking to a model: messages to ids, ids to text as they come. A conversation that outgrows the cache loses
 * its oldest turns (the system text stays), and says so; earlier turns that the cache still holds are not run again.
 */
import { ScionError } from '../base/errors.ts';
import { type ChatMessage, encodeChat } from '../text/chat-template.ts';
import type { Tokenizer } from '../text/types.ts';
import type { GenerateOptions, Generator } from './generator.ts';

/**
 * Text of ids as it becomes certain: what is yielded joins to the whole.
 * @param after ids that stand before, so that the first piece keeps the space it begins with inside a text.
 */
export async function* streamText(tokenizer: Tokenizer, ids: AsyncIterable<number>, after: Iterable<number> = []): AsyncGenerator<string, void, void> {
  const decoder = tokenizer.decoder();
  for (const id of after) decoder.push(id);
  for await (const id of ids) {
    const text = decoder.push(id);
    if (text !== '') yield text;
  }
  const rest = decoder.end();
  if (rest !== '') yield rest;
}

export interface ChatOptions extends Omit<GenerateOptions, 'reuse'> {
  /** Put before the first message. */
  readonly system?: string;
  /** Messages to a prompt; LLaMA 2's form by default. */
  readonly encode?: (tokenizer: Tokenizer, messages: readonly ChatMessage[]) => readonly number[];
  /** Room for an answer below which old turns are dropped; by default `maxNewTokens`, or an eighth of the cache. */
  readonly reserve?: number;
}

/** One conversation. Each answer has a random stream of its own under the seed. */
export class Chat {
  private readonly model: Generator;
  private readonly tokenizer: Tokenizer;
  private readonly options: ChatOptions;
  private turns: ChatMessage[] = [];
  private answers = 0;
  /** Messages dropped so far because the cache could not hold them. */
  dropped = 0;

  constructor(model: Generator, tokenizer: Tokenizer, options: ChatOptions = {}) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.options = options;
  }

  /** The conversation so far, the system message included. */
  get messages(): readonly ChatMessage[] {
    const { system } = this.options;
    return system === undefined ? [...this.turns] : [{ role: 'system', content: system }, ...this.turns];
  }

  /** Begins anew; the system message stays. */
  clear(): void {
    this.turns = [];
    this.dropped = 0;
  }

  /**
   * Says something and streams the answer's text. If the stream is left early, what had been said so far counts.
   * @throws ScionError `input` where the message alone does not fit the cache; the message is then not part of the chat.
   */
  async *say(content: string): AsyncGenerator<string, void, void> {
    const { system: _, encode = (t, m) => encodeChat(t, m).ids, reserve, maxNewTokens, seed = 0, stopIds = this.tokenizer.stopIds, ...sampling } = this.options;
    const { capacity } = this.model.options;
    const room = Math.max(1, reserve ?? maxNewTokens ?? capacity >> 3);
    this.turns.push({ role: 'user', content });
    let prompt: readonly number[];
    try {
      prompt = encode(this.tokenizer, this.messages);
      while (prompt.length + room - 1 > capacity && this.turns.length > 2) {
        this.turns.splice(0, 2);
        this.dropped += 2;
        prompt = encode(this.tokenizer, this.messages);
      }
    } catch (error) {
      // A message that the form refuses is not part of the chat either.
      this.turns.pop();
      throw error;
    }
    const fits = capacity - prompt.length + 1;
    if (fits < 1) {
      this.turns.pop();
      throw new ScionError(
        'input',
        `the message makes a prompt of ${prompt.length} ids, the model was opened with a capacity of ${capacity}; say less, or open it with more`,
        { prompt: prompt.length, capacity },
      );
    }
    const ids = this.model.generate(prompt, {
      ...sampling,
      maxNewTokens: Math.min(maxNewTokens ?? fits, fits),
      // Another stream for each answer: the same question twice may be answered differently.
      seed: (seed + this.answers++) >>> 0,
      stopIds,
      reuse: true,
    });
    let answer = '';
    let failed = false;
    try {
      for await (const text of streamText(this.tokenizer, ids)) {
        answer += text;
        yield text;
      }
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      // A failure takes the question back, so that it may be asked again; an answer left early counts as said.
      if (failed) this.turns.pop();
      else this.turns.push({ role: 'assistant', content: answer });
    }
  }
}
