/** Rows for new pieces: what `scion init` does, on the model that the run begins with. */
import { joinPath } from '../../base/path.ts';
import { growModel } from '../../checkpoint/grow/grow.ts';
import { importHf } from '../../checkpoint/hf.ts';
import { streamDocuments } from '../../data/documents.ts';
import type { Step } from '../engine.ts';
import type { Recipe } from '../schema.ts';
import { armId, armPath, type DocumentsResult, type RunContext, type TokenizerResult } from './context.ts';
import { modelKey } from './model-key.ts';

export interface InitResult {
  /** The grown model's folder. */
  readonly path: string;
  readonly rows: number;
  readonly firstNew: number;
  readonly warnings: readonly string[];
}

/** Methods that learn from texts. */
const FROM_TEXTS = new Set(['weighted', 'focus', 'omp']);

/** Grows the base model to the grown tokenizer. `base.path` is a Hugging Face folder with its tokenizer at `base.tokenizer`. */
export function initStep(
  context: RunContext,
  config: Recipe['init'],
  base: () => { readonly path: string; readonly tokenizer: string },
  grown: () => TokenizerResult,
  documents: () => DocumentsResult,
): Step<InitResult> {
  const { host, dir, recipe } = context;
  const place = armPath(context, 'init');
  const out = joinPath(dir, place);
  return {
    id: armId(context, 'init'),
    title: `make rows for new pieces (${config.method})`,
    owns: [place],
    inputs: async () => ({
      config,
      seed: recipe.seed,
      base: await modelKey(host, joinPath(dir, base().path)),
      tokenizer: await modelKey(host, joinPath(dir, grown().path)),
      ...(FROM_TEXTS.has(config.method) ? { documents: context.recipe.data } : {}),
    }),
    async run(progress) {
      await host.files.remove(out);
      const texts = async function* (): AsyncGenerator<string> {
        for await (const { text } of streamDocuments(host.files, [joinPath(dir, documents().shards)], { maxTotalBytes: Number.MAX_SAFE_INTEGER })) yield text;
      };
      const report = await growModel(host.files, {
        base: joinPath(dir, base().path),
        baseTokenizer: joinPath(dir, base().tokenizer),
        tokenizer: joinPath(dir, grown().path),
        out,
        method: config.method,
        seed: recipe.seed,
        texts: FROM_TEXTS.has(config.method) ? texts : null,
        padTo: config.padTo,
        onProgress: (done, of) => progress(`${done} of ${of} rows`),
      });
      return { path: place, rows: report.rows, firstNew: report.firstNew, warnings: report.warnings };
    },
    async intact(result) {
      if ((await host.files.stat(joinPath(dir, result.path))) === null) return false;
      const source = await importHf(host.files, joinPath(dir, result.path));
      await source.close();
      return true;
    },
  };
}
