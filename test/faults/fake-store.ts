/**
 * States in plain memory: a StateStore without a GPU, and a small model's worth of states whose content
 * follows from a seed, so that "the previous checkpoint or the new one" can be told by comparing bytes.
 */

import { floatToHalf } from '../../src/base/half.ts';
import { Random } from '../../src/base/random.ts';
import type { StateStore } from '../../src/checkpoint/store.ts';
import { assumedFacts } from '../../src/gpu/facts.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { declareModel, weightName } from '../../src/nn/parameters.ts';
import { freshStepState, STEP, STEP_WORDS } from '../../src/tensor/ops/step_state.ts';
import { States } from '../../src/tensor/states.ts';
import { byteSize, sizeOf } from '../../src/tensor/types.ts';

/** Buffers by key. */
export class FakeStore implements StateStore {
  readonly states: States;
  private readonly buffers = new Map<string, Uint8Array<ArrayBuffer>>();

  constructor(states: States) {
    this.states = states;
    for (const b of states.buffers()) this.buffers.set(b.key, new Uint8Array(b.bytes).fill(0xa5));
  }

  private buffer(key: string): Uint8Array<ArrayBuffer> {
    const buffer = this.buffers.get(key);
    if (!buffer) throw new Error(`no buffer ${key}`);
    return buffer;
  }

  async readBytes(key: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const buffer = this.buffer(key);
    if (offset % 4 !== 0 || offset + length > buffer.length) throw new Error(`bytes ${offset} + ${length} of ${key}, which has ${buffer.length}`);
    return buffer.slice(offset, offset + length);
  }

  writeBytes(key: string, offset: number, bytes: Uint8Array): void {
    if (offset % 4 !== 0) throw new Error(`offset ${offset} of ${key}`);
    this.buffer(key).set(bytes, offset);
  }

  clearKind(kind: string): void {
    for (const b of this.states.buffers()) if (b.kind === kind) this.buffer(b.key).fill(0);
  }

  /** The bytes of a state. */
  bytes(name: string): Uint8Array<ArrayBuffer> {
    const { buffer, offset, bytes } = this.states.place(name);
    return this.buffer(buffer).slice(offset, offset + bytes);
  }

  put(name: string, bytes: Uint8Array): void {
    const { buffer, offset } = this.states.place(name);
    this.writeBytes(buffer, offset, bytes);
  }

  /** All states as one text, to compare stores. */
  image(): string {
    return this.states
      .all()
      .map((spec) => `${spec.name} ${Buffer.from(this.bytes(spec.name)).toString('base64')}`)
      .join('\n');
  }
}

/** The states of a model of about 3,000 parameters; `width` makes it larger. */
export function smallStates(options: { moments?: 1 | 2; width?: number; precision?: 'f32' | 'mixed'; maxBufferSize?: number } = {}): States {
  const D = options.width ?? 10;
  const config = makeConfig({ vocabSize: 31, hiddenSize: D, intermediateSize: 14, numLayers: 2, numHeads: 1, tied: true });
  const states = new States();
  declareModel(states, config, { precision: options.precision ?? 'mixed', train: { moments: options.moments ?? 2 } });
  states.declare('step', 'step', 'step', [STEP_WORDS], 'u32');
  return states.freeze(assumedFacts(options.maxBufferSize === undefined ? {} : { limits: { maxBufferSize: options.maxBufferSize } }));
}

/** A store as training would leave it after `step` steps: random numbers, gradients zero, 16-bit copies equal to their masters. */
export function storeAt(states: States, step: number): FakeStore {
  const store = new FakeStore(states);
  for (const [i, spec] of states.all().entries()) {
    if (spec.kind === 'weight') continue;
    const random = new Random(step, i);
    const values = Float32Array.from({ length: sizeOf(spec.shape) }, () => (spec.kind === 'grad' ? 0 : random.normal()));
    if (spec.kind !== 'step') store.put(spec.name, new Uint8Array(values.buffer));
    if (states.get(weightName(spec.name)) && spec.kind === 'param') store.put(weightName(spec.name), new Uint8Array(floatToHalf(values).buffer));
  }
  const words = freshStepState(1024);
  words[STEP.t] = step;
  store.put('step', new Uint8Array(words.buffer));
  return store;
}

/** Bytes that a checkpoint of these states holds, headers not counted. */
export function stateBytes(states: States): number {
  return states
    .all()
    .filter((spec) => spec.kind !== 'grad' && spec.kind !== 'weight')
    .reduce((sum, spec) => sum + byteSize(spec), 0);
}
