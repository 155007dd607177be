/**
 * The recipe of `npm start`: the whole graft on text that scion makes itself, or on the user's own files in place of the Chinese. Written
 * as text, so that `recipes/sample.yaml` (the same, to read and to change) is made from it and cannot drift away.
 */
import { SAMPLE_GRAFT } from '../train/sample-run.ts';

/** How the sample's graft differs from the whole one. */
export interface SampleRecipeOptions {
  /** All steps of base and stages together; by default those of `SAMPLE_GRAFT`. */
  readonly steps?: number;
  readonly seed?: number;
  /** The user's files in place of the generated Chinese; absolute paths. */
  readonly data?: readonly string[];
  /** A smaller model. */
  readonly quick?: boolean;
  /** Also the same graft without replay, to compare with; by default. */
  readonly compare?: boolean;
}

const { base, stages, model, basePieces, grownPieces } = SAMPLE_GRAFT;
const [inject, replay] = stages;
const whole = base.schedule.steps + inject.schedule.steps + replay.schedule.steps;

/** The recipe as YAML. */
export function sampleRecipe(options: SampleRecipeOptions = {}): string {
  const { steps = whole, seed = 1, data, quick = false, compare = true } = options;
  const scaled = (n: number): number => Math.max(1, Math.round((n * steps) / whole));
  const often = (n: number, times: number): number => Math.max(1, Math.ceil(scaled(n) / times));
  /** Held-out text a category; a model that learns nothing is looked at less. */
  const bytes = quick ? 6144 : 49_152;
  const own = data !== undefined && data.length > 0;
  const sources = own ? data.map((path) => `{ path: ${JSON.stringify(path)}, category: own }`).join(', ') : '{ sample: zh }, { sample: facts }';
  const prompts = own ? '' : `, prompts: ["The capital of France is", "中国的首都是"]`;
  const mix = (shares: { readonly zh?: number; readonly facts?: number }): string => (own ? '{ own: 1 }' : `{ zh: ${shares.zh}, facts: ${shares.facts} }`);
  return `# The whole graft on ${own ? 'your own text' : 'text that scion makes itself'}: a tiny English base, new pieces, their rows by mean, the new text, replay. No download.
# This is what npm start runs. Cost: about five minutes on two idle CPU cores, some 500 MB of memory.
# Result: ${own ? 'bits per byte of your text before and after' : 'Chinese questions from chance to four of five and more'}; English no worse than the base, and lost without replay.
name: start
seed: ${seed}

base:
  train:
    vocab: { size: ${basePieces} }
    shape: { hidden: ${quick ? 32 : model.hidden}, intermediate: ${quick ? 86 : model.intermediate}, layers: ${model.layers}, heads: ${model.heads}, initializerRange: ${model.initializerRange} }
    # Generated text has no boilerplate, and says the same things again and again.
    data: { data: [{ sample: en }], clean: false, dedup: false }
    stage:
      name: base
      steps: ${scaled(base.schedule.steps)}
      length: ${model.tokens}
      # The last fifth at a rate that hardly moves it: the base has come to rest.
      schedule: { kind: cosine, peak: ${base.schedule.peak}, warmup: ${scaled(base.schedule.warmup)}, minimum: ${base.schedule.minimum}, settle: ${base.schedule.settle} }
      optimizer: { decay: ${model.decay} }
      maxEpochs: 100
      validate: { every: ${often(base.schedule.steps, 2)}, bytes: ${bytes} }

data: { data: [${sources}], clean: ${own ? 'web' : false}, dedup: ${own}${own ? ', validation: { share: 0.05, bytes: 65536 }' : ''} }

# ${own ? 'Up to ' : ''}${grownPieces - basePieces} new pieces on top of ${basePieces} English ones; each new row is the mean of the rows its text was spelt with.
vocab: { add: ${grownPieces - basePieces}${own ? ', fewer: true' : ''} }
init: { method: mean }

stages:
  # Knowledge injection: mostly the new text at warm rates, a third of it the old English.
  - name: inject
    kind: inject
    mix: ${mix(inject.mix)}
    temperature: 0
    replay: { share: ${inject.mix.en} }
    steps: ${scaled(inject.schedule.steps)}
    length: ${model.tokens}
    schedule: { kind: cosine, peak: ${inject.schedule.peak}, warmup: ${scaled(inject.schedule.warmup)}, minimum: ${inject.schedule.minimum} }
    optimizer: { decay: ${model.decay} }
    maxEpochs: 100
    validate: { every: ${often(inject.schedule.steps, 1)}, bytes: ${bytes}${prompts} }
  # Replay: mostly English while the rate falls, which takes back what warm rates undid.
  - name: replay
    kind: replay
    mix: ${mix(replay.mix)}
    temperature: 0
    replay: { share: ${replay.mix.en} }
    steps: ${scaled(replay.schedule.steps)}
    length: ${model.tokens}
    schedule: { kind: cosine, peak: ${replay.schedule.peak}, warmup: 0, minimum: ${replay.schedule.minimum} }
    optimizer: { decay: ${model.decay} }
    maxEpochs: 100
    validate: { every: ${often(replay.schedule.steps, 1)}, bytes: ${bytes}${prompts} }
${
  own
    ? ''
    : `
evaluate:
  questions: [{ name: zh, sample: zh }, { name: en, sample: en }]
  at: ends
`
}${
  compare
    ? `
# The same new text without any English: what is forgotten.
arms:
  no-replay: { replay: false }
`
    : ''
}`;
}
