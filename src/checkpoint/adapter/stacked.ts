/**
 * Adapters as a run holds them, stacked beside the model they learn with: the same weights with the products added in, read one
 * parameter at a time. What a stage with adapters hands on, and what a run exports, is this.
 */
import { ScionError } from '../../base/errors.ts';
import type { LlamaConfig } from '../../nn/config.ts';
import { loraScale } from '../../nn/lora.ts';
import type { AdapterSpec } from './config.ts';
import { addProduct } from './merge.ts';
import { cutPair, listAdapterModules, loraA, loraB } from './modules.ts';

/** Whether an adapter makes two matrices out of one that embedding and head share: it can be added to the weights of neither alone. */
export const partsTied = (config: LlamaConfig, targets: readonly string[]): boolean =>
  config.tied && targets.some((target) => target === 'embed_tokens' || target === 'lm_head');

/**
 * Reads W + scale * B A. `read` gives the base's parameters and the stacked factors (`layers.0.qkv.lora_a` and so on) by name.
 * @throws ScionError `input` where embedding and head are one matrix and only one of them is adapted.
 */
export function mergedReader<A extends Float32Array>(
  config: LlamaConfig,
  spec: AdapterSpec,
  read: (parameter: string) => Promise<A>,
): (parameter: string) => Promise<A> {
  if (partsTied(config, spec.targets))
    throw new ScionError(
      'input',
      'embedding and head of this model are one matrix, and its adapter changes them apart; use targets without embed_tokens and lm_head, or write the adapter alone and merge it with scion export --adapter',
      { targets: spec.targets },
    );
  const modules = listAdapterModules(config, spec.targets);
  const scale = loraScale(spec);
  return async (parameter) => {
    const own = modules.filter((m) => m.parameter === parameter);
    const values = await read(parameter);
    if (own.length === 0) return values;
    const [a, b] = [await read(loraA(parameter)), await read(loraB(parameter))];
    const merged = values.slice() as A;
    for (const m of own) addProduct(merged, m, spec.rank, scale, cutPair(m, spec.rank, a, b));
    return merged;
  };
}
