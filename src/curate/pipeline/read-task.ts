/**
 * The task `read.unit`: reads a unit, takes its documents through the first group of steps, and writes shards. Where a shard
 * ends depends on what was read and on nothing else, so a unit that is begun again passes over the shards that are there.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { type Doc, docText } from '../../data/doc.ts';
import type { ReadConfig, Source } from '../read/config.ts';
import { type Piece, readUnit } from '../read/read-unit.ts';
import { countsPath, Flow, type FlowPlaces } from './flow.ts';
import { MAX_PARTS, shardNumber, writeJson } from './shard-files.ts';
import { makeSteps, type StepSpec } from './steps.ts';
import type { TaskContext } from './tasks.ts';

export interface ReadUnitInput {
  readonly unit: number;
  readonly source: Source;
  readonly pieces: readonly Piece[];
  readonly config: ReadConfig;
  readonly steps: readonly StepSpec[];
  readonly places: FlowPlaces;
}

/** Counted for a record beside its text, so that millions of tiny or broken ones fill a shard too. */
const RECORD_BYTES = 64;

export const unitPath = (work: string, unit: number): string => joinPath(work, `unit-${String(unit).padStart(5, '0')}.json`);

/** A cheap measure of what a document takes, the same in every run. */
const weightOf = (doc: Doc): number => docText(doc).length * 2 + RECORD_BYTES;

/** Gives the number of shards. */
export async function readUnitTask(input: ReadUnitInput, context: TaskContext): Promise<number> {
  const { host } = context;
  const { files } = host;
  const { unit, source, pieces, config, places } = input;
  const marker = unitPath(places.work, unit);
  if ((await files.stat(marker)) !== null) return (JSON.parse(new TextDecoder().decode(await files.read(marker))) as { parts: number }).parts;
  const steps = await makeSteps(input.steps, context);
  let part = 0;
  let weight = 0;
  let flow: Flow | null = null;
  /** Null for a shard that is there already. */
  const open = async (): Promise<Flow | null> => {
    if (part >= MAX_PARTS) throw new ScionError('input', `${pieces[0].path}: more than ${MAX_PARTS} shards in one packed file; split it`, { part });
    const shard = shardNumber(unit, part);
    return (await files.stat(countsPath(places.work, shard))) === null ? new Flow(host, places, shard, steps) : null;
  };
  // Time of the reading alone: all that passes outside of `push`.
  let since = host.now();
  let reading = 0;
  try {
    flow = await open();
    for await (const item of readUnit(files, source, config, pieces)) {
      reading += host.now() - since;
      if (weight >= 2 * config.shardBytes) {
        flow?.counts.spend('read', reading / 1000);
        await flow?.finish();
        reading = 0;
        weight = 0;
        part++;
        flow = await open();
      }
      if ('doc' in item) {
        weight += weightOf(item.doc);
        await flow?.push(item.doc, 'read');
      } else {
        weight += RECORD_BYTES;
        await flow?.drop('read', item, item.drop, item.text);
      }
      since = host.now();
    }
    flow?.counts.spend('read', (reading + host.now() - since) / 1000);
    await flow?.finish();
  } catch (error) {
    await flow?.abandon();
    throw error;
  }
  await writeJson(files, marker, { parts: part + 1 });
  return part + 1;
}
