/**
 * llama2.c's `.bin` as a source of weights. The file rotates interleaved pairs, scion and Hugging Face the two halves of a head, so
 * the rows of q and k are permuted; scores are the same, since q and k are permuted alike.
 */
import { baseName } from '../base/path.ts';
import { openLlama2c } from '../formats/llama2c.ts';
import type { HostFiles } from '../host/types.ts';
import { makeConfig } from '../nn/config.ts';
import { assembler, type ModelSource, permuteRotary, rotatedHeads } from './source.ts';

/** Opens a llama2.c version 0 file. Errors as `openLlama2c`. What the header leaves out is what llama2.c trains with. */
export async function importLlama2c(files: HostFiles, path: string): Promise<ModelSource> {
  const reader = await files.open(path);
  try {
    const file = await openLlama2c(reader, baseName(path));
    const c = file.config;
    const config = makeConfig({
      vocabSize: c.vocabSize,
      hiddenSize: c.hiddenSize,
      intermediateSize: c.intermediateSize,
      numLayers: c.layers,
      numHeads: c.heads,
      numKvHeads: c.kvHeads,
      headSize: c.headSize,
      maxPositions: c.maxPositions,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
      tied: c.tied,
      bosId: 1,
      eosIds: [2],
    });
    const read = assembler(config, async (view) => {
      const values = await file.readF32(view.hf);
      const heads = rotatedHeads(config, view.hf);
      return heads === null ? values : permuteRotary(values, heads, config.headSize, 'half-split');
    });
    return { config, warnings: [], read, close: () => file.close() };
  } catch (error) {
    await reader.close();
    throw error;
  }
}
