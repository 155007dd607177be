/**
 * A model with an adapter folded in: W + scale * B A for every module that has a product, one parameter in memory at a
 * time, so that a merged folder is streamed as any other export is. Products are summed in float64 and rounded to f32 once. A head that
 * shares the embedding is no longer the same matrix when only one of them is adapted: the merged model then has both.
 */
import type { LlamaConfig } from '../../nn/config.ts';
import { loraScale } from '../../nn/lora.ts';
import type { ModelSource } from '../source.ts';
import { type AdapterModule, EMBED_MODULE, HEAD_MODULE } from './modules.ts';
import type { OpenAdapter, WholeModule } from './read.ts';

/** Adds scale * B A to the rows of a module in its parameter. A [r, in], B [out, r]; an embedding's A [r, V], B [D, r]. */
export function addProduct(values: Float32Array, m: AdapterModule, rank: number, scale: number, pair: { a: Float32Array; b: Float32Array }): void {
  // An embedding's W^T is B A, so its rows are A's columns and the parts change places.
  const embedding = m.module === EMBED_MODULE;
  const sums = new Float64Array(m.in);
  const { a, b } = pair;
  for (let o = 0; o < m.out; o++) {
    sums.fill(0);
    for (let k = 0; k < rank; k++) {
      if (embedding) {
        const factor = a[k * m.out + o];
        for (let i = 0; i < m.in; i++) sums[i] += factor * b[i * rank + k];
      } else {
        const factor = b[o * rank + k];
        const row = k * m.in;
        for (let i = 0; i < m.in; i++) sums[i] += factor * a[row + i];
      }
    }
    const at = (m.row + o) * m.in;
    for (let i = 0; i < m.in; i++) values[at + i] += scale * sums[i];
  }
}

/** True where the two whole matrices are one and may stay tied. */
async function sameMatrices(adapter: OpenAdapter): Promise<boolean> {
  const [embed, head] = [adapter.whole.get(EMBED_MODULE), adapter.whole.get(HEAD_MODULE)];
  if (!embed || !head || embed.underProduct || head.underProduct) return false;
  const [a, b] = [await adapter.readWhole(EMBED_MODULE), await adapter.readWhole(HEAD_MODULE)];
  return a.every((x, i) => Object.is(x, b[i]));
}

/**
 * The merged model. Closing it closes the base and the adapter; so does a failure here.
 * @throws ScionError `format` where a file is damaged.
 */
export async function mergeAdapter(base: ModelSource, adapter: OpenAdapter): Promise<ModelSource> {
  const close = async (): Promise<void> => {
    await Promise.all([base.close(), adapter.close()]);
  };
  try {
    const warnings = [...base.warnings, ...adapter.warnings];
    const touched = (module: WholeModule): boolean => adapter.whole.has(module) || adapter.modules.some((m) => m.module === module);
    const unties = base.config.tied && (touched(EMBED_MODULE) || touched(HEAD_MODULE)) && !(await sameMatrices(adapter));
    if (unties) warnings.push('the adapter changes embedding and head apart; the merged model stores both (tie_word_embeddings: false)');
    const config: LlamaConfig = unties ? { ...base.config, tied: false } : base.config;
    const scale = loraScale(adapter.spec);
    /** The matrix under a product: the base's, or the one that the adapter brings. */
    const under = async (parameter: string): Promise<Float32Array<ArrayBuffer>> => {
      const module = parameter === 'embed' ? EMBED_MODULE : parameter === 'head' ? HEAD_MODULE : null;
      if (module !== null && adapter.whole.has(module)) return adapter.readWhole(module);
      if (parameter !== 'head' || !base.config.tied) return base.read(parameter);
      // What lies under the embedding's product is the head's as well; what replaces the embedding is the embedding's alone.
      return adapter.whole.get(EMBED_MODULE)?.underProduct ? adapter.readWhole(EMBED_MODULE) : base.read('embed');
    };
    return {
      config,
      warnings,
      async read(parameter) {
        const values = await under(parameter);
        for (const m of adapter.modules) {
          if (m.parameter === parameter) addProduct(values, m, adapter.spec.rank, scale, await adapter.readPair(m));
        }
        return values;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
