/** A model's weights, wherever they are: a Hugging Face folder, or the checkpoint that a stage left. */
import { joinPath } from '../../base/path.ts';
import { importHf } from '../../checkpoint/hf.ts';
import { type OpenCheckpoint, openCheckpoint } from '../../checkpoint/load.ts';
import type { ReadParameter } from '../../checkpoint/source.ts';
import type { ModelAt, RunContext } from './context.ts';

/** Opens weights for reading; a checkpoint also tells moments. Close it. */
export async function openModel(context: RunContext, at: ModelAt): Promise<{ readonly read: ReadParameter; close(): Promise<void> } | OpenCheckpoint> {
  const path = joinPath(context.dir, at.path);
  return at.kind === 'folder' ? importHf(context.host.files, path) : openCheckpoint(context.host.files, path);
}
