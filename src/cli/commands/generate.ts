/**
 * `scion generate`: continues a text. What is printed grows as it becomes certain (a character of several tokens is held back
 * until it is whole) and begins with the prompt.
 */
import { ScionError } from '../../base/errors.ts';
import { host } from '../../host/index.ts';
import { streamText } from '../../infer/chat.ts';
import { checkSampling } from '../../infer/sampler.ts';
import type { Command } from '../command.ts';
import { countOf, MODEL_FLAGS, openForUse, SAMPLING_FLAGS, samplingOf, withGenerator } from '../load-model.ts';

/** New tokens where none were asked for and the context has room. */
const NEW_TOKENS = 128;

export const command: Command = {
  name: 'generate',
  summary: 'continue a text',
  flags: {
    ...MODEL_FLAGS,
    prompt: { kind: 'string', value: 'S', summary: 'the text to continue; may be empty', default: '' },
    'max-new-tokens': { kind: 'integer', value: 'N', summary: `at most N; by default ${NEW_TOKENS}, or what the context has room for` },
    ...SAMPLING_FLAGS,
    stop: { kind: 'boolean', summary: 'end at the model’s end marks (--no-stop goes on)', default: true },
  },
  examples: [
    'scion generate --model models/stories --prompt "Once upon a time" --max-new-tokens 100',
    'scion generate --model runs/notes --prompt "Dear" --temperature 0.8 --top-p 0.9 --seed 7 --json',
  ],
  async run(context) {
    const { flags, terminal, status, result, stop } = context;
    const machine = await host();
    const sampling = samplingOf(flags);
    checkSampling(sampling);
    const asked = countOf(flags, 'max-new-tokens', 0);
    const { model, tokenizer } = await openForUse(context, machine.files);
    const { config } = model.source;
    let promptIds: number[];
    try {
      const prompt = flags.string('prompt') ?? '';
      // A fresh text begins with the mark where the model was trained so; an empty one has nothing else to begin with.
      const bosId = tokenizer.bosId ?? config.bosId;
      promptIds = [...(bosId !== null && (tokenizer.adds.bos || prompt === '') ? [bosId] : []), ...tokenizer.encode(prompt)];
      if (promptIds.length === 0) throw new ScionError('usage', 'this model has no begin mark; give a --prompt');
    } catch (error) {
      await model.source.close();
      throw error;
    }
    const newTokens = asked ?? Math.max(1, Math.min(NEW_TOKENS, config.maxPositions - promptIds.length));
    const length = promptIds.length + newTokens;
    if (length > config.maxPositions)
      status.note(`note: ${length} tokens are more than the ${config.maxPositions} that the model was made for; what lies beyond may be worse`);
    const json = flags.boolean('json');
    const write = (text: string): void => (json ? terminal.err(text) : terminal.out(text));
    await withGenerator(context, model, { capacity: length }, async (generator, device) => {
      const newIds: number[] = [];
      let first = 0;
      let last = 0;
      const began = machine.now();
      const stopIds = flags.boolean('stop') ? [...new Set([...tokenizer.stopIds, ...config.eosIds])] : [];
      async function* counted(): AsyncGenerator<number, void, void> {
        for await (const id of generator.generate(promptIds, { ...sampling, maxNewTokens: newTokens, stopIds })) {
          last = machine.now();
          if (newIds.length === 0) first = last;
          newIds.push(id);
          yield id;
          if (stop.requested) return;
        }
      }
      let text = tokenizer.decode(promptIds);
      const promptLength = text.length;
      write(text);
      for await (const part of streamText(tokenizer, counted(), promptIds)) {
        text += part;
        write(part);
      }
      write('\n');
      // The first token waits for the prompt and for kernels to compile; the rate is that of the others.
      const rate = newIds.length > 1 ? (newIds.length - 1) / ((last - first) / 1000) : null;
      if (rate !== null) status.note(`${newIds.length} tokens, ${rate.toFixed(1)} tokens/s, first after ${((first - began) / 1000).toFixed(2)} s`);
      result({ promptIds, newIds, text, newText: text.slice(promptLength), tokensPerSecond: rate, device: device.facts.name, runtime: machine.version });
      if (stop.requested) throw new ScionError('interrupted', `stopped after ${newIds.length} tokens`);
    });
  },
};
