/**
 * A document as token ids and flags: begin mark, source (read), target (learnt), end mark (learnt); a chat by its template.
 *
 * Parts are encoded **apart**, so the border between what is read and what is learnt lies exactly between two tokens by
 * construction, and a prompt is cut as it will be cut when the model is used. A part that goes on from another one is
 * encoded as the middle of a text: without the space that some tokenizers put before a text. So the ids of source and
 * target decode to the two texts joined, nothing between. What it costs: a merge across the border is not used. A template
 * that a model brings along is encoded as one text instead, as the model's own tools do; a token on a border is then learnt.
 */
import { isScionError, ScionError } from '../../base/errors.ts';
import type { JinjaTemplate } from '../../text/jinja-template.ts';
import type { Tokenizer } from '../../text/types.ts';
import type { Doc, Message } from '../doc.ts';
import { bitBytes, setBits } from './bits.ts';
import { type BuiltInTemplate, chatParts, chatTurns, isRefusal, type Part, promptParts, type Refusal, TEMPLATE_MARKS, type Turn } from './templates.ts';

/** Ids and flags of many documents, one behind the other; grows. */
export class TokenBuffer {
  ids: Uint32Array;
  learnt: Uint8Array;
  length = 0;

  /** `room`: ids it holds before it grows. */
  constructor(room = 1 << 16) {
    this.ids = new Uint32Array(room);
    this.learnt = new Uint8Array(bitBytes(room));
  }

  add(ids: ArrayLike<number>, learnt: boolean): void {
    const end = this.length + ids.length;
    if (end > this.ids.length) {
      const room = Math.max(end, this.ids.length * 2);
      const wider = new Uint32Array(room);
      wider.set(this.ids.subarray(0, this.length));
      this.ids = wider;
      const flags = new Uint8Array(bitBytes(room));
      flags.set(this.learnt.subarray(0, bitBytes(this.length)));
      this.learnt = flags;
    }
    this.ids.set(ids, this.length);
    if (learnt) setBits(this.learnt, this.length, ids.length);
    this.length = end;
  }

  /** Forgets everything from `length` on. */
  truncate(length: number): void {
    for (let i = length; i < this.length; i++) this.learnt[i >> 3] &= ~(1 << (i & 7));
    this.length = length;
  }
}

/** Texts to stand before a part, so that it is encoded as the middle of one: first those that merge with nothing. */
const ANCHORS = ['\u0001', '\n', '。', 'a'];

/** Turns documents into tokens by one tokenizer and one template. */
export class DocumentEncoder {
  readonly tokenizer: Tokenizer;
  readonly template: BuiltInTemplate | JinjaTemplate;
  readonly #marks = new Map<string, number | null>();
  readonly #anchors: readonly { readonly text: string; readonly ids: readonly number[] }[];
  /** Parts that had to be encoded as texts of their own, with a space before: no anchor stood clear of them. */
  spaced = 0;

  /**
   * Throws `input` for a tokenizer without an end mark. Marks of the template are looked for when the first chat comes:
   * documents need none of them.
   */
  constructor(tokenizer: Tokenizer, template: BuiltInTemplate | JinjaTemplate = 'plain') {
    if (tokenizer.eosId === null) {
      throw new ScionError('input', 'this tokenizer names no end of text; documents need one (tokenizer_config.json: eos_token)');
    }
    this.tokenizer = tokenizer;
    this.template = template;
    this.#marks.set('bos', tokenizer.bosId);
    this.#marks.set('eos', tokenizer.eosId);
    // Only where a text gets something before it does a part in the middle need help.
    const lengthOf = (ids: readonly number[]): number => ids.reduce((sum, id) => sum + tokenizer.bytesOf(id).length, 0);
    const prefixes = lengthOf(tokenizer.encode('a')) > 1;
    this.#anchors = prefixes ? ANCHORS.map((text) => ({ text, ids: tokenizer.encode(text) })) : [];
  }

  /** Ids of a text that goes on from another one. */
  continuation(text: string): ArrayLike<number> {
    if (this.#anchors.length === 0 || text === '') return this.tokenizer.encode(text);
    for (const anchor of this.#anchors) {
      const ids = this.tokenizer.encode(anchor.text + text);
      // The anchor's own ids in front prove that the cut between it and the text is the encoder's own.
      if (ids.length >= anchor.ids.length && anchor.ids.every((id, i) => ids[i] === id)) return ids.slice(anchor.ids.length);
    }
    this.spaced++;
    return this.tokenizer.encode(text);
  }

  /** Adds a document to the buffer, or says why not and adds nothing. */
  add(doc: Doc, into: TokenBuffer): Refusal | null {
    const start = into.length;
    try {
      const refusal = this.#add(doc, into);
      if (refusal !== null) into.truncate(start);
      // Nothing stands before the first token that could predict it.
      else if (into.length > start) into.learnt[start >> 3] &= ~(1 << (start & 7));
      return refusal;
    } catch (error) {
      into.truncate(start);
      throw error;
    }
  }

  #add(doc: Doc, into: TokenBuffer): Refusal | null {
    let parts: Part[];
    const { template } = this;
    if (doc.messages !== undefined && typeof template === 'object') return this.#addRendered(doc.messages, template, into);
    if (doc.messages !== undefined && typeof template === 'string') {
      const chat = chatParts(doc.messages, template);
      if (isRefusal(chat)) return chat;
      this.#findMarks(template);
      parts = chat;
    } else {
      const { source = '', target } = doc;
      if (target === '') return { reason: 'tokenize.empty', note: source === '' ? 'no text' : 'a source, but nothing to learn' };
      parts = [
        { mark: 'bos', learnt: false },
        { text: source, learnt: false },
        { text: target, learnt: true },
        { mark: 'eos', learnt: true },
      ];
    }
    this.#addParts(parts, into);
    return null;
  }

  /**
   * Ids of a chat that ends with the user, up to where the answer begins: those that stand before the answer in a pack.
   * @throws ScionError `input` for another order, or a tokenizer without the template's marks.
   */
  prompt(turns: readonly Turn[]): number[] {
    const { template } = this;
    if (typeof template === 'object') return template.encode(turns, { prompt: true }).ids;
    const parts = promptParts(turns, template);
    if (isRefusal(parts)) throw new ScionError('input', `chat: ${parts.note}`, { template });
    this.#findMarks(template);
    const into = new TokenBuffer(1 << 10);
    this.#addParts(parts, into);
    return [...into.ids.subarray(0, into.length)];
  }

  #addParts(parts: readonly Part[], into: TokenBuffer): void {
    // A text at the beginning, or behind a begin mark, is one of its own; all others go on.
    let fresh = true;
    for (const part of parts) {
      if ('mark' in part) {
        const id = this.#marks.get(part.mark);
        if (id === undefined) throw new ScionError('internal', `the template ${String(this.template)} has no mark ${part.mark}`);
        if (id !== null) into.add([id], part.learnt);
        fresh = part.mark === 'bos';
      } else if (part.text !== '') {
        into.add(fresh ? this.tokenizer.encodeTyped(part.text) : this.continuation(part.text), part.learnt);
        fresh = false;
      }
    }
  }

  /** A chat by a template that the model brings along. */
  #addRendered(messages: readonly Message[], template: JinjaTemplate, into: TokenBuffer): Refusal | null {
    const turns = chatTurns(messages);
    if (isRefusal(turns)) return turns;
    try {
      const { ids, trained } = template.encode(turns);
      for (let from = 0, to = 0; from < ids.length; from = to) {
        while (to < ids.length && trained[to] === trained[from]) to++;
        into.add(ids.slice(from, to), trained[from] === 1);
      }
      return trained.includes(1) ? null : { reason: 'tokenize.no-answer', note: 'the chat template marks nothing as learnt' };
    } catch (error) {
      if (isScionError(error, 'input')) return { reason: 'tokenize.template', note: error.message.slice(0, 200) };
      throw error;
    }
  }

  #findMarks(template: BuiltInTemplate): void {
    for (const name of TEMPLATE_MARKS[template]) {
      if (this.#marks.get(name) != null) continue;
      const id = this.tokenizer.idOf(name);
      if (name === 'bos' || id === null || !this.tokenizer.isSpecial(id)) {
        throw new ScionError(
          'input',
          `the template ${template} needs ${name === 'bos' ? 'a begin mark' : `the mark ${name}`}, which this tokenizer ${id === null ? 'does not have' : 'takes for text, so that messages could forge it'}; choose another template`,
          { template, mark: name },
        );
      }
      this.#marks.set(name, id);
    }
  }
}
