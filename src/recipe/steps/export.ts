/** A checkpoint as a Hugging Face folder with its tokenizer: what the base leaves for `init`, and a run for everyone else. */
import { joinPath } from '../../base/path.ts';
import { newRunId } from '../../base/run-id.ts';
import { writeAdapter } from '../../checkpoint/adapter/index.ts';
import { type ExportDtype, exportHf } from '../../checkpoint/hf.ts';
import { openCheckpoint } from '../../checkpoint/load.ts';
import { replaceFolder } from '../../host/replace-folder.ts';
import { loadTokenizer, saveTokenizer } from '../../text/tokenizer.ts';
import type { Step } from '../engine.ts';
import type { ModelAt, RunContext, TokenizerResult } from './context.ts';
import { openModel, weightsOf } from './open-model.ts';

export interface ExportResult {
  readonly path: string;
  readonly dtype: ExportDtype;
  /** Folder of the adapter alone, where the last stage trained one that stands beside its base. */
  readonly adapter: string | null;
}

/** PEFT's folder of the adapters of a checkpoint. Those of PiSSA changed their base, so they are only handed on merged. */
async function writeOwnAdapter(context: RunContext, at: ModelAt): Promise<string | null> {
  if (!at.lora || at.lora.init === 'pissa') return null;
  const { files } = context.host;
  const path = 'adapter';
  await files.remove(joinPath(context.dir, path));
  const opened = await openCheckpoint(files, joinPath(context.dir, at.path));
  try {
    await writeAdapter(files, joinPath(context.dir, path), at.config, at.lora, weightsOf(opened, at));
  } finally {
    await opened.close();
  }
  return path;
}

/** Writes `model` to `path` below the run; whole or not at all. */
export function exportStep(
  context: RunContext,
  id: string,
  path: string,
  dtype: ExportDtype,
  model: () => ModelAt,
  tokenizer: () => TokenizerResult,
): Step<ExportResult> {
  const { host, dir } = context;
  const { files } = host;
  return {
    id,
    title: `write the model folder ${path}`,
    owns: [path],
    inputs: () => ({ path, dtype, model: model().key, tokenizer: tokenizer() }),
    async run(progress) {
      const at = model();
      const words = await loadTokenizer(files, joinPath(dir, tokenizer().path));
      const source = await openModel(context, at);
      const out = joinPath(dir, path);
      const place = `${out}.new-${newRunId()}`;
      try {
        const read = (name: string): Promise<Float32Array> => {
          progress(name);
          return source.read(name);
        };
        await exportHf(files, place, at.config, read, { dtype });
        await saveTokenizer(files, words, place);
      } finally {
        await source.close();
      }
      // Alone it is what a run ends in; a base is handed on whole.
      const adapter = path === 'model' ? await writeOwnAdapter(context, at) : null;
      if ((await files.stat(out)) === null) await files.rename(place, out);
      else await replaceFolder(files, place, out, `${out}.old-${newRunId()}`);
      return { path, dtype, adapter };
    },
    intact: async (result) => (await files.stat(joinPath(dir, result.path, 'config.json'))) !== null,
  };
}
