/**
 * The task `map.shard`: takes the documents of one shard through a group of steps and writes the shard of the same number.
 */
import { readDocShard } from '../../data/doc-shard.ts';
import { countsPath, Flow, type FlowPlaces } from './flow.ts';
import { makeSteps, type StepSpec } from './steps.ts';
import type { TaskContext } from './tasks.ts';

export interface MapShardInput {
  readonly shard: number;
  readonly path: string;
  readonly steps: readonly StepSpec[];
  readonly places: FlowPlaces;
}

export async function mapShardTask({ shard, path, steps: specs, places }: MapShardInput, context: TaskContext): Promise<void> {
  const { files } = context.host;
  if ((await files.stat(countsPath(places.work, shard))) !== null) return;
  const flow = new Flow(context.host, places, shard, await makeSteps(specs, context));
  try {
    for await (const doc of readDocShard(files, path)) await flow.push(doc);
    await flow.finish();
  } catch (error) {
    await flow.abandon();
    throw error;
  }
}
