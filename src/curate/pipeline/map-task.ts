/**
 * The task `map.shard`: takes the documents of one shard through a group of steps and writes the shard of the same number.
 */
import type { Doc } from '../../data/doc.ts';
import { readJsonl } from '../../formats/jsonl.ts';
import { countsPath, Flow, type FlowPlaces } from './flow.ts';
import { makeSteps, type StepSpec } from './steps.ts';
import type { TaskContext } from './tasks.ts';

export interface MapShardInput {
  readonly shard: number;
  readonly path: string;
  readonly steps: readonly StepSpec[];
  readonly places: FlowPlaces;
}

/** Longest line of a shard: what came so far passed a limit when it was read. */
export const SHARD_LINE_BYTES = 512 * 2 ** 20;

export async function mapShardTask({ shard, path, steps: specs, places }: MapShardInput, context: TaskContext): Promise<void> {
  const { files } = context.host;
  if ((await files.stat(countsPath(places.work, shard))) !== null) return;
  const flow = new Flow(context.host, places, shard, await makeSteps(specs, context));
  const reader = await files.open(path);
  try {
    for await (const { value } of readJsonl(reader, { name: path, maxLineBytes: SHARD_LINE_BYTES })) await flow.push(value as Doc);
    await flow.finish();
  } catch (error) {
    await flow.abandon();
    throw error;
  } finally {
    await reader.close();
  }
}
