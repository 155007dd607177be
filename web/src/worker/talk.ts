/**
 * A model of the page's storage open for use: text continued token by token, each with what else it might have been. Every token's logits come
 * back from the device, which costs a readback of V numbers; for a person reading along that is nothing.
 */
import {
  checkSampling,
  countParameters,
  distribution,
  Generator,
  GpuDevice,
  host,
  openModel,
  Sampler,
  ScionError,
  type Tokenizer,
  tokenizerOf,
} from '../../../src/index.ts';
import type { ChosenToken, ModelView, Place, WriteOptions } from '../protocol.ts';
import { OneAtATime } from './answer.ts';
import { listRuns, RUNS } from './runs.ts';

/** Alternatives that are told of each token. */
const TOP = 8;
/** Tokens of context at most: caches cost memory. */
const MOST_CAPACITY = 2048;

interface Open {
  readonly path: string;
  readonly device: GpuDevice;
  readonly generator: Generator;
  readonly tokenizer: Tokenizer;
  readonly view: ModelView;
}

const using = new OneAtATime('the model is writing');
let open: Open | null = null;
let stopRequested = false;

export function stopWriting(): void {
  stopRequested = true;
}

/** What can be opened: finished models first, then what stages have saved so far, then bases. */
export async function modelPlaces(): Promise<Place[]> {
  const { files } = await host();
  const places: Place[] = [];
  for (const { name } of await listRuns()) {
    const dir = `${RUNS}/${name}`;
    if (await files.stat(`${dir}/model/config.json`)) places.push({ path: `${dir}/model`, label: `${name}: the finished model` });
    if (await files.stat(`${dir}/stages`)) {
      for (const stage of await files.list(`${dir}/stages`)) {
        const saved = `${dir}/stages/${stage.name}/checkpoints`;
        if ((await files.stat(saved)) && (await files.list(saved)).some((entry) => /^step-\d+$/.test(entry.name)))
          places.push({ path: `${dir}/stages/${stage.name}`, label: `${name}: ${stage.name}, as last saved` });
      }
    }
  }
  return places;
}

function close(): void {
  open?.generator.destroy();
  open?.device.destroy();
  open = null;
}

/** Closes the model; waits for nothing. */
export function closeModel(): Promise<null> {
  return using.run(async () => {
    close();
    return null;
  });
}

/** Opens a model and closes the one before. */
export function openModelAt(path: string): Promise<ModelView> {
  return using.run(async () => {
    if (open?.path === path) return open.view;
    close();
    const { files } = await host();
    const model = await openModel(files, path);
    let device: GpuDevice | null = null;
    try {
      const tokenizer = await tokenizerOf(files, model, undefined);
      if (!tokenizer) throw new ScionError('input', `${path} brings no tokenizer`);
      const { config } = model.source;
      const capacity = Math.min(MOST_CAPACITY, config.maxPositions);
      device = await GpuDevice.open();
      const generator = await Generator.open(device, config, model.source.read, { precision: 'f32', capacity });
      const view = { path, parameters: countParameters(config), capacity, bytes: generator.memory.total };
      open = { path, device, generator, tokenizer, view };
      return view;
    } catch (error) {
      device?.destroy();
      throw error;
    } finally {
      await model.source.close();
    }
  });
}

/** The likeliest tokens of these logits, and the chance of one. */
function likeliest(logits: Float32Array, tokenizer: Tokenizer, chosen: number): Pick<ChosenToken, 'top' | 'probability'> {
  const { ids, probabilities } = distribution(logits, { temperature: 1 });
  const order = Array.from(probabilities.keys())
    .sort((a, b) => probabilities[b] - probabilities[a] || ids[a] - ids[b])
    .slice(0, TOP);
  const pieceOf = (id: number): string => (id < tokenizer.vocabSize ? tokenizer.pieceOf(id) : `row ${id}`);
  return {
    top: order.map((i) => ({ piece: pieceOf(ids[i]), probability: probabilities[i] })),
    probability: probabilities[ids.indexOf(chosen)] ?? 0,
  };
}

/** Writes on after a prompt until the end mark, the limit, or a stop. */
export function write(prompt: string, options: WriteOptions, listen: (token: ChosenToken) => void): Promise<null> {
  return using.run(async () => {
    if (!open) throw new ScionError('usage', 'no model is open; choose one first');
    const { generator, tokenizer, view } = open;
    const { maxNewTokens, temperature, topK, topP, repetitionPenalty, seed } = options;
    const sampling = { temperature, topK, topP, repetitionPenalty, seed };
    checkSampling(sampling);
    const ids = tokenizer.encode(prompt, { bos: tokenizer.bosId !== null });
    const room = Math.min(maxNewTokens, view.capacity - ids.length);
    if (ids.length === 0) throw new ScionError('input', 'write a few words for it to go on from');
    if (room < 1) throw new ScionError('input', `that is ${ids.length} tokens; this model reads ${view.capacity} at most, so write less`);
    stopRequested = false;
    const sampler = new Sampler(sampling);
    const seen = [...ids];
    const stops = new Set(tokenizer.stopIds);
    const decoder = tokenizer.decoder();
    for (const id of ids) decoder.push(id);
    generator.reset();
    let logits = await generator.append(ids);
    for (let n = 0; n < room; n++) {
      if (stopRequested) break;
      const id = sampler.next(logits, seen);
      if (stops.has(id)) break;
      seen.push(id);
      listen({ id, text: decoder.push(id), piece: tokenizer.pieceOf(id), ...likeliest(logits, tokenizer, id) });
      if (n + 1 < room) logits = await generator.append([id]);
    }
    const rest = decoder.end();
    if (rest !== '') listen({ id: -1, text: rest, piece: '', top: [], probability: 1 });
    return null;
  });
}
