/**
 * Short continuations of fixed prompts, written with the weights as they are: at each validation one sees what the
 * model says by then. Greedy, so that two samples differ by the training between them alone. The generator borrows the
 * run's weights and only reads them; its caches live for as long as the writing takes.
 */
import { Generator } from '../infer/generator.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import type { Stepper } from './stepper.ts';

/** A prompt and what came after it. */
export interface TextSample {
  readonly prompt: string;
  readonly text: string;
}

/** What is to be written at each validation. */
export interface SampleRequest {
  readonly tokenizer: Tokenizer;
  readonly prompts: readonly string[];
  /** Tokens of each continuation. Default 24. */
  readonly maxNewTokens?: number;
}

/** Prompts that are written side by side. */
const MOST_AT_ONCE = 8;

/** What was written, and the bytes that writing took on the device beside the run's own. */
export interface WrittenSamples {
  readonly samples: readonly TextSample[];
  readonly bytes: number;
}

/** A continuation of every prompt. A prompt that is too long for the context is cut at its front. */
export async function writeSamples(stepper: Stepper, request: SampleRequest): Promise<WrittenSamples> {
  const { tokenizer, prompts, maxNewTokens = 24 } = request;
  const { model, precision, tokens, lora } = stepper.setup;
  const fresh = Math.min(maxNewTokens, tokens - 1);
  const started = prompts.map((prompt) => {
    const ids = tokenizer.encode(prompt, { bos: true });
    return ids.length <= tokens - fresh ? ids : [ids[0], ...ids.slice(1 - (tokens - fresh))];
  });
  const batch = Math.min(MOST_AT_ONCE, started.length);
  const generator = Generator.attach(stepper.session, model, { precision, capacity: tokens, batch, ...(lora && { lora }) });
  try {
    const texts: string[] = [];
    for (let at = 0; at < started.length; at += batch) {
      const some = started.slice(at, at + batch);
      const written = some.map((): number[] => []);
      for await (const { sequence, id } of generator.generateBatch(some, { maxNewTokens: fresh })) written[sequence].push(id);
      some.forEach((start, i) => {
        texts.push(tokenizer.decode([...start, ...written[i]]).slice(tokenizer.decode(start).length));
      });
    }
    return { samples: prompts.map((prompt, i) => ({ prompt, text: texts[i] })), bytes: generator.memory.total };
  } finally {
    generator.destroy();
  }
}
