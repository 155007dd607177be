/**
 * LoRA adapters on disk: folders in PEFT's layout written, read and merged into the model they belong to.
 */
export {
  ADAPTER_CONFIG_NAME,
  ADAPTER_WEIGHTS_NAME,
  type AdapterConfig,
  type AdapterSpec,
  checkAdapterSpec,
  parseAdapterConfig,
  SAVED_MODULES,
} from './config.ts';
export { addProduct, mergeAdapter } from './merge.ts';
export { type AdapterModule, listAdapterModules, loraA, loraB } from './modules.ts';
export { type OpenAdapter, openAdapter } from './read.ts';
export { mergedReader, partsTied } from './stacked.ts';
export { type WriteAdapterOptions, writeAdapter } from './write.ts';
