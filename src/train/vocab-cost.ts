/**
 * What a vocabulary costs in training, from the planner: parameters and arithmetic of a step at two sizes, and
 * the straight line between them, since both grow linearly with the rows. Nothing is allocated.
 */
import { assumedFacts } from '../gpu/facts.ts';
import { countParameters, type LlamaConfig } from '../nn/config.ts';
import type { VocabularyCost } from '../text/sweep.ts';
import { LLAMA_ADAMW, planTraining } from './programs.ts';

/** Shape of a step. */
export interface StepShape {
  readonly batch: number;
  readonly tokens: number;
  readonly accumulate: number;
}

/** Sizes far apart, so that what the planner rounds does not count. */
const NEAR = 1024;
const FAR = 65536;
/** Sizes are compared on paper; no binding shall stand in the way. */
const NO_LIMIT = 2 ** 42;

function flopsOfStep(model: LlamaConfig, { batch, tokens, accumulate }: StepShape): number {
  const facts = assumedFacts({ profile: 'specialised', limits: { maxBufferSize: NO_LIMIT, maxStorageBufferBindingSize: NO_LIMIT } });
  const { plans } = planTraining({ model, precision: 'f32', batch, tokens, optimizer: LLAMA_ADAMW, clip: 1, recompute: 'none' }, facts);
  return plans.micro.flops * accumulate + plans.update.flops;
}

/** The cost of each size. `config` is the model; its own vocabulary size does not matter. */
export function vocabularyCosts(config: LlamaConfig, sizes: readonly number[], shape: StepShape): VocabularyCost[] {
  const at = (vocabSize: number): LlamaConfig => ({ ...config, vocabSize });
  const [near, far] = [NEAR, FAR].map((size) => flopsOfStep(at(size), shape));
  const tokensPerStep = shape.batch * shape.tokens * shape.accumulate;
  return sizes.map((size) => ({
    parameters: countParameters(at(size)),
    embeddingParameters: size * config.hiddenSize * (config.tied ? 1 : 2),
    flopsPerToken: (near + ((far - near) * (size - NEAR)) / (FAR - NEAR)) / tokensPerStep,
  }));
}
