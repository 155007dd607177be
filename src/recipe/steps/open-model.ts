/** A model's weights, wherever they are: a Hugging Face folder, or the checkpoint that a stage left, or its average; adapters are added in. */
import { joinPath } from '../../base/path.ts';
import { mergedReader } from '../../checkpoint/adapter/index.ts';
import { importHf } from '../../checkpoint/hf.ts';
import { type OpenCheckpoint, openCheckpoint } from '../../checkpoint/load.ts';
import type { ReadParameter } from '../../checkpoint/source.ts';
import type { ModelAt, RunContext } from './context.ts';

/** The weights of a checkpoint that a model means, or their average; adapters by their own names. */
export const weightsOf = (opened: OpenCheckpoint, { average }: Pick<ModelAt, 'average'>): ReadParameter => (average ? opened.readAverage : opened.read);

/** Opens weights for reading; a checkpoint also tells moments. Close it. */
export async function openModel(context: RunContext, at: ModelAt): Promise<{ readonly read: ReadParameter; close(): Promise<void> } | OpenCheckpoint> {
  const path = joinPath(context.dir, at.path);
  if (at.kind === 'folder') return importHf(context.host.files, path);
  const opened = await openCheckpoint(context.host.files, path);
  if (!at.lora && !at.average) return opened;
  const read = weightsOf(opened, at);
  return { read: at.lora ? mergedReader(at.config, at.lora, read) : read, close: () => opened.close() };
}
