/**
 * Adapters as a run holds them, stacked beside the model they learn with: the same weights with the products added in, read one
 * parameter at a time. What a stage with adapters hands on, and what a run exports, is this.
 */
import type { LlamaConfig } from '../../nn/config.ts';
import { loraScale } from '../../nn/lora.ts';
import type { ReadParameter } from '../source.ts';
import type { AdapterSpec } from './config.ts';
import { addProduct } from './merge.ts';
import { cutPair, listAdapterModules, loraA, loraB } from './modules.ts';

/** Reads W + scale * B A. `read` gives the base's parameters and the stacked factors (`layers.0.qkv.lora_a` and so on) by name. */
export function mergedReader(config: LlamaConfig, spec: AdapterSpec, read: ReadParameter): ReadParameter {
  const modules = listAdapterModules(config, spec.targets);
  const scale = loraScale(spec);
  return async (parameter) => {
    const own = modules.filter((m) => m.parameter === parameter);
    const values = await read(parameter);
    if (own.length === 0) return values;
    const [a, b] = [await read(loraA(parameter)), await read(loraB(parameter))];
    const merged = values.slice();
    for (const m of own) addProduct(merged, m, spec.rank, scale, cutPair(m, spec.rank, a, b));
    return merged;
  };
}
