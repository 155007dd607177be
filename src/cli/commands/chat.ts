/**
 * `scion chat`: talk to a model in the terminal. Each line is a message, answers stream; `clear` begins anew, `exit` or
 * the end of the input ends. Lines may come from a pipe. Turns are marked as the model's own template does, or as asked; models that
 * were never taught to chat are better served by `--template none`, which marks none.
 */
import { ScionError } from '../../base/errors.ts';
import { host } from '../../host/index.ts';
import { Chat } from '../../infer/chat.ts';
import { openChatFormat, usualFormat } from '../../infer/chat-format.ts';
import { checkSampling } from '../../infer/sampler.ts';
import type { Command } from '../command.ts';
import { lineOrStop } from '../lines.ts';
import { countOf, MODEL_FLAGS, openForUse, SAMPLING_FLAGS, samplingOf, withGenerator } from '../load-model.ts';

/** The cache where the model's own context is longer. */
const LONGEST_CONTEXT = 2048;
/** Tokens of an answer, if the context is large enough. */
const ANSWER_TOKENS = 256;

export const command: Command = {
  name: 'chat',
  summary: 'talk to a model; a line is a message, exit and clear are commands',
  flags: {
    ...MODEL_FLAGS,
    system: { kind: 'string', value: 'S', summary: 'put before the first message' },
    template: {
      kind: 'string',
      value: 'NAME|FILE',
      summary:
        'how turns are marked: llama2, llama3, chatml, plain, none, tokenizer, or a file with a Jinja template; by default as the tokenizer says, else llama2',
    },
    'max-new-tokens': { kind: 'integer', value: 'N', summary: `of one answer; by default ${ANSWER_TOKENS}, or half the context` },
    context: { kind: 'integer', value: 'N', summary: `tokens kept; by default the model’s own, at most ${LONGEST_CONTEXT}` },
    ...SAMPLING_FLAGS,
  },
  examples: [
    'scion chat --model models/llama-2-7b-chat --temperature 0.7 --top-p 0.9',
    'echo "Hello" | scion chat --model runs/start/model --template none --json',
    'scion chat --model models/mine --template my-template.jinja',
  ],
  async run(runContext) {
    const { flags, terminal, status, result, stop } = runContext;
    const machine = await host();
    const sampling = samplingOf(flags);
    checkSampling(sampling);
    const askedTokens = countOf(flags, 'max-new-tokens');
    const askedContext = countOf(flags, 'context', 2);
    const { model, tokenizer } = await openForUse(runContext, machine.files);
    const { config } = model.source;
    const format = await openChatFormat(machine.files, tokenizer, flags.string('template') ?? usualFormat(tokenizer)).catch(async (error: unknown) => {
      await model.source.close();
      throw error;
    });
    const capacity = askedContext ?? Math.min(config.maxPositions, LONGEST_CONTEXT);
    const json = flags.boolean('json');
    const write = (text: string): void => (json ? terminal.err(text) : terminal.out(text));
    await withGenerator(runContext, model, { capacity }, async (generator, device) => {
      const chat = new Chat(generator, tokenizer, {
        ...sampling,
        system: flags.string('system'),
        maxNewTokens: askedTokens ?? Math.min(ANSWER_TOKENS, Math.max(1, capacity >> 1)),
        encode: (_, messages) => format.encode(messages),
        stopIds: [...new Set([...format.stopIds, ...config.eosIds])],
      });
      status.note(`${device.facts.name} on ${machine.version}; a line is a message, "clear" begins anew, "exit" ends`);
      let dropped = 0;
      const lines = terminal.lines()[Symbol.asyncIterator]();
      for (;;) {
        if (terminal.isTerminal) terminal.err('> ');
        const next = await lineOrStop(lines.next(), stop, machine.sleep);
        if (next === null || next.done === true) break;
        const line = next.value.trim();
        if (line === 'exit') break;
        if (line === 'clear') {
          chat.clear();
          dropped = 0;
          status.note('cleared');
        }
        if (line === '' || line === 'clear') continue;
        try {
          for await (const part of chat.say(line)) {
            write(part);
            if (stop.requested) break;
          }
          write('\n');
        } catch (error) {
          // One message that is too long ends no conversation.
          if (!(error instanceof ScionError && error.kind === 'input')) throw error;
          status.note(`scion: ${error.message}`);
        }
        if (chat.dropped > dropped) status.note(`note: the context is full; ${chat.dropped - dropped} of the oldest messages were dropped`);
        dropped = chat.dropped;
        if (stop.requested) break;
      }
      if (terminal.isTerminal) terminal.err('\n');
      result({ messages: chat.messages, template: format.name, dropped: chat.dropped, device: device.facts.name, runtime: machine.version });
      if (stop.requested) throw new ScionError('interrupted', 'stopped');
    });
  },
};
