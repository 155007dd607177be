/**
 * How a chat becomes a prompt: a built-in form, the template that a model brings along, or one from a file. The built-in ones are those that packs of
 * chats are made with (`data/packed/templates.ts`), encoded the same way, so that a model is asked in the very ids it learnt from. Also told is
 * which ids end an answer, which for some forms is not the end of text.
 */
import { ScionError } from '../base/errors.ts';
import { DocumentEncoder } from '../data/packed/encode.ts';
import { type BuiltInTemplate, templateNamed } from '../data/packed/templates.ts';
import { decodeUtf8 } from '../formats/bytes.ts';
import type { HostFiles } from '../host/types.ts';
import { type ChatMessage, encodeChat } from '../text/chat-template.ts';
import { chatTemplateText, openJinjaTemplate } from '../text/jinja-template.ts';
import type { Tokenizer } from '../text/types.ts';

/** Messages to prompts, for one tokenizer. */
export interface ChatFormat {
  /** The form by name; `file` for one that was read from a path. */
  readonly name: BuiltInTemplate | 'none' | 'tokenizer' | 'file';
  /** Ids of a chat that ends with the user, up to where the answer begins. Throws `input` for an order that the form does not have, or a message that spells out a mark. */
  encode(messages: readonly ChatMessage[]): readonly number[];
  /** Ids that end an answer: the tokenizer's own and the form's. */
  readonly stopIds: readonly number[];
}

/** The mark behind an answer, where it is not the end of text. */
const ENDS: Partial<Record<BuiltInTemplate, string>> = { 'llama-3': '<|eot_id|>', chatml: '<|im_end|>' };

/** Messages one under the other, as a text that goes on. */
function bareIds(tokenizer: Tokenizer, messages: readonly ChatMessage[]): number[] {
  return tokenizer.encode(messages.map((m) => m.content).join('\n'), { bos: tokenizer.bosId !== null });
}

/** The format of a model where none is asked for: the template it brings, else that of LLaMA 2. */
export const usualFormat = (tokenizer: Tokenizer): string => (chatTemplateText(tokenizer) === null ? 'llama2' : 'tokenizer');

/**
 * Opens a format by its name (`llama2`, `llama3`, `chatml`, `plain`, `none`, `tokenizer`) or from a file with a Jinja template.
 * @throws ScionError `usage` for what is neither, `input` for a template that cannot be used with this tokenizer.
 */
export async function openChatFormat(files: HostFiles, tokenizer: Tokenizer, asked: string): Promise<ChatFormat> {
  const { stopIds } = tokenizer;
  if (asked === 'none') return { name: 'none', stopIds, encode: (messages) => bareIds(tokenizer, messages) };
  const name = templateNamed(asked);
  // Encoded as the model's own code does it: the turns of the model's makers, not those of a pack.
  if (name === 'llama-2') return { name, stopIds, encode: (messages) => encodeChat(tokenizer, messages).ids };
  if (name !== null && name !== 'tokenizer') {
    const encoder = new DocumentEncoder(tokenizer, name);
    const mark = ENDS[name];
    const end = mark === undefined ? null : tokenizer.idOf(mark);
    return { name, stopIds: end === null ? stopIds : [...new Set([...stopIds, end])], encode: (messages) => encoder.prompt(messages) };
  }
  const jinja = await openJinjaTemplate(tokenizer, name === null ? await templateFile(files, asked) : undefined, { prompts: true });
  return {
    name: name ?? 'file',
    stopIds: [...new Set([...stopIds, ...jinja.answerEnds()])],
    encode: (messages) => jinja.encode(messages, { prompt: true }).ids,
  };
}

async function templateFile(files: HostFiles, path: string): Promise<string> {
  const stat = await files.stat(path);
  if (stat === null || stat.isDirectory)
    throw new ScionError(
      'usage',
      `--template ${path} is no template and no file; there are llama2, llama3, chatml, plain, none, tokenizer, or name a file with a Jinja template`,
      {
        path,
      },
    );
  return decodeUtf8(await files.read(path), path);
}
