/**
 * The trained model of the data folder in a dedicated Worker of a page: its file goes into OPFS, is imported from there
 * as everywhere else, continues the reference's prompts greedily and scores its texts. Posts what came out.
 */
import { importLlama2c } from '../../src/checkpoint/llama2c-import.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { host } from '../../src/host/index.ts';
import { Generator } from '../../src/infer/generator.ts';
import { scoreDocuments } from '../../src/infer/score.ts';

/** What the worker asks of the page's server: `work.json`. */
export interface StoriesWork {
  readonly greedy: readonly { readonly prompt_ids: number[]; readonly new_ids: number[] }[];
  readonly documents: readonly number[][];
}

/** What the worker posts, once. */
export type StoriesMessage = { kind: 'done'; adapter: string; newIds: number[][]; meanNll: number[] } | { kind: 'error'; message: string };

const post = (message: StoriesMessage): void => globalThis.postMessage(message);
const fetched = async (name: string): Promise<Response> => {
  const response = await fetch(new URL(name, globalThis.location.href));
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response;
};

try {
  const work = (await (await fetched('/work.json')).json()) as StoriesWork;
  const { files } = await host();
  await files.write('stories.bin', new Uint8Array(await (await fetched('/stories.bin')).arrayBuffer()));
  const device = await GpuDevice.open();
  const source = await importLlama2c(files, 'stories.bin');
  const model = await Generator.open(device, source.config, source.read, { precision: 'f32', capacity: 512, score: { batch: 4, tokens: 255 } });
  await source.close();
  const newIds: number[][] = [];
  for (const { prompt_ids, new_ids } of work.greedy) {
    const ids: number[] = [];
    for await (const id of model.generate(prompt_ids, { maxNewTokens: new_ids.length, stopIds: [] })) ids.push(id);
    newIds.push(ids);
  }
  const scored = await scoreDocuments(model, work.documents, { maxTokens: 256 });
  model.destroy();
  const { name } = device.facts;
  device.destroy();
  post({ kind: 'done', adapter: name, newIds, meanNll: scored.map((d) => d.nll / d.tokens) });
} catch (error) {
  post({ kind: 'error', message: error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error) });
}
