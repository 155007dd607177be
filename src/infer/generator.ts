/**
 * A model opened for use on one device: KV caches, decoding and prefill programs, scoring. Everything is
 * compiled and allocated at opening; a generated token then costs one submit and a readback of 4 bytes (greedy) or
 * of its logits. Sequences do not slide: a cache that is full is an error, never a silent loss of context.
 */
import { ScionError } from '../base/errors.ts';
import type { ReadParameter } from '../checkpoint/source.ts';
import type { GpuDevice } from '../gpu/device.ts';
import type { LlamaConfig } from '../nn/config.ts';
import { loraParameters } from '../nn/lora.ts';
import { listParameters, weightName } from '../nn/parameters.ts';
import { type MemoryUse, type Program, Session } from '../tensor/session.ts';
import { chunkClass, type InferOptions, type InferPlans, planInference, stepName } from './plans.ts';
import { isPlainGreedy, Sampler, type SamplingOptions } from './sampler.ts';

export { type InferOptions, planInference } from './plans.ts';
export type { SamplingOptions } from './sampler.ts';

/** What one generation is asked for. */
export interface GenerateOptions extends SamplingOptions {
  /** At most so many tokens; by default what the cache has room for. */
  readonly maxNewTokens?: number;
  /** Ids that end the answer; not part of it. By default the config's end mark. */
  readonly stopIds?: readonly number[];
  /**
   * Keep what the cache holds of an equal beginning (a chat's earlier turns). Off by default: the rest of a prompt is
   * then rounded as it was chunked before, and a training session's weights may have changed since.
   */
  readonly reuse?: boolean;
}

/** Slot of padding: the cache is not written. */
const NO_SLOT = 0xffffffff;

/** A cached program with its upload arrays, made once. */
interface Step {
  readonly T: number;
  readonly program: Program;
  readonly ids: Uint32Array;
  readonly positions: Uint32Array;
  readonly ranges: Uint32Array;
  readonly slots: Uint32Array;
  readonly last: Uint32Array;
}

/** A model ready to generate and score. One generation at a time. */
export class Generator {
  readonly config: LlamaConfig;
  readonly options: InferOptions;
  readonly session: Session;
  private readonly steps = new Map<number, Step>();
  private readonly classes: readonly number[];
  /** What the cache of each sequence holds. */
  private readonly held: number[][];
  private busy = false;

  private constructor(session: Session, config: LlamaConfig, options: InferOptions, plans: InferPlans) {
    this.session = session;
    this.config = config;
    this.options = options;
    this.classes = plans.classes;
    const B = options.batch ?? 1;
    this.held = Array.from({ length: B }, () => []);
    for (const T of plans.classes) {
      const make = (n: number) => new Uint32Array(n);
      this.steps.set(T, {
        T,
        program: session.programs[stepName(T)],
        ids: make(B * T),
        positions: make(B * T),
        ranges: make(B * T * 4),
        slots: make(B * T),
        last: make(B),
      });
    }
  }

  /**
   * Opens a model with weights of its own.
   * @param read gives each parameter's f32 values, fused as scion holds them.
   */
  static async open(device: GpuDevice, config: LlamaConfig, read: ReadParameter, options: InferOptions): Promise<Generator> {
    const plans = planInference(config, options, device.facts);
    const session = new Session(device, plans.plans, { states: plans.states });
    try {
      for (const p of [...listParameters(config), ...(options.lora ? loraParameters(config, options.lora) : [])]) {
        session.writeState(plans.states.get(p.name) ? p.name : weightName(p.name), await read(p.name));
      }
    } catch (error) {
      session.destroy();
      throw error;
    }
    return new Generator(session, config, options, plans);
  }

  /**
   * Opens a model on the weights of another session (a training run's), without copying them: what is generated
   * follows what was trained. The session must outlive the generator, and its precision must be the one asked for.
   */
  static attach(owner: Session, config: LlamaConfig, options: InferOptions): Generator {
    const plans = planInference(config, options, owner.device.facts, owner.states ?? undefined);
    const session = new Session(owner.device, plans.plans, { states: plans.states, share: owner });
    const own = plans.states.buffers().filter((b) => b.kind !== 'cache' && !session.shared.has(b.key));
    if (own.length > 0) {
      session.destroy();
      throw new ScionError(
        'internal',
        `attach: the session holds no ${own.map((b) => b.key).join(', ')}; it was made for another model or another precision than ${options.precision}`,
      );
    }
    return new Generator(session, config, options, plans);
  }

  /** Bytes as planned and allocated; shared weights do not count. */
  get memory(): MemoryUse {
    return this.session.memory;
  }

  /** B: sequences side by side. */
  get batch(): number {
    return this.held.length;
  }

  /** Forgets what the caches hold. */
  reset(): void {
    for (const row of this.held) row.length = 0;
  }

  /**
   * The tokens after a prompt, one by one.
   * @param prompt ids, begin mark included where the model wants one; at least one.
   * @throws ScionError `input` for an empty prompt, a foreign id, or a prompt that does not fit with its answer;
   *   `numeric` where the logits hold NaN.
   */
  async *generate(prompt: readonly number[], options: GenerateOptions = {}): AsyncGenerator<number, void, void> {
    for await (const { id } of this.generateBatch([prompt], options)) yield id;
  }

  /**
   * As `generate` for up to B prompts at once; gives tokens with the index of their prompt, in rounds. The random
   * stream of a sequence is told by its index, so a prompt at index 0 gives what it gives alone.
   */
  async *generateBatch(prompts: readonly (readonly number[])[], options: GenerateOptions = {}): AsyncGenerator<{ sequence: number; id: number }, void, void> {
    const { stopIds = this.config.eosIds } = options;
    if (prompts.length < 1 || prompts.length > this.batch) {
      throw new ScionError('usage', `${prompts.length} prompts at once; this model was opened for 1 to ${this.batch}`, { prompts: prompts.length });
    }
    const greedy = isPlainGreedy(options);
    const room = prompts.map((p) => this.roomFor(p, options.maxNewTokens));
    const samplers = prompts.map((_, i) => new Sampler(options, i));
    const stops = new Set(stopIds);
    this.take();
    try {
      const seen = prompts.map((p) => [...p]);
      let waiting = prompts.map((p, row) => (room[row] > 0 ? p.slice(this.keepCommon(row, options.reuse ? p : [])) : []));
      while (waiting.some((w) => w.length > 0)) {
        const chosen = greedy ? await this.extendGreedy(waiting) : await this.extendSampled(waiting, (row, logits) => samplers[row].next(logits, seen[row]));
        waiting = prompts.map(() => []);
        for (const [row, id] of chosen) {
          if (stops.has(id)) continue;
          seen[row].push(id);
          yield { sequence: row, id };
          if (--room[row] > 0) waiting[row] = [id];
        }
      }
    } catch (error) {
      this.reset();
      throw error;
    } finally {
      this.busy = false;
    }
  }

  /** The logits f32 [V] after a sequence, computed from scratch. */
  async logits(ids: readonly number[]): Promise<Float32Array> {
    this.roomFor(ids, 1);
    this.take();
    try {
      this.keepCommon(0, []);
      return await this.extendLogits(ids);
    } finally {
      this.busy = false;
    }
  }

  /** Appends ids to the first sequence's cache and gives the logits f32 [V] after them. */
  async append(ids: readonly number[]): Promise<Float32Array> {
    if (this.held[0].length + ids.length > this.options.capacity || ids.length === 0) {
      throw new ScionError(
        'input',
        `${ids.length} ids after ${this.held[0].length} in the cache; the model was opened with a capacity of ${this.options.capacity}`,
      );
    }
    this.take();
    try {
      return await this.extendLogits(ids);
    } finally {
      this.busy = false;
    }
  }

  private async extendLogits(ids: readonly number[]): Promise<Float32Array> {
    let found = new Float32Array(0);
    await this.extend([ids], async (program, rows) => {
      if (rows.length > 0) found = ((await program.read('logits')).logits as Float32Array<ArrayBuffer>).subarray(0, this.config.vocabSize);
    });
    return found;
  }

  /** Marks the caches as in use. */
  private take(): void {
    if (this.busy) throw new ScionError('usage', 'this model is generating already; end that first, or open it a second time');
    this.busy = true;
  }

  /** Tokens that may follow a prompt; checks it. */
  private roomFor(prompt: readonly number[], asked: number | undefined): number {
    const { capacity } = this.options;
    if (capacity === 0) throw new ScionError('usage', 'this model was opened for scoring alone; open it with a capacity to generate');
    if (prompt.length === 0) throw new ScionError('input', 'an empty prompt: give at least one id, the begin mark for a fresh text');
    for (const id of prompt) {
      if (!Number.isInteger(id) || id < 0 || id >= this.config.vocabSize)
        throw new ScionError('input', `prompt: ${id} is no id of a vocabulary of ${this.config.vocabSize}`, { id });
    }
    if (asked !== undefined && !(Number.isInteger(asked) && asked >= 0)) throw new ScionError('usage', `maxNewTokens must be an integer from 0, got ${asked}`);
    // The last new token is never put into the cache.
    const room = capacity - prompt.length + 1;
    if (room < Math.max(1, asked ?? 1)) {
      const needed = prompt.length + Math.max(1, asked ?? 1) - 1;
      throw new ScionError(
        'input',
        `a prompt of ${prompt.length} ids and ${asked ?? 1} new ones need a capacity of ${needed}, the model was opened with ${capacity}; shorten the prompt, ask for fewer, or open it with a larger capacity`,
        {
          prompt: prompt.length,
          needed,
          capacity,
        },
      );
    }
    return asked ?? room;
  }

  /** Forgets a sequence's cache from where it differs from `prompt`, so that at least the prompt's last id is left to run; gives what is kept. */
  private keepCommon(row: number, prompt: readonly number[]): number {
    const held = this.held[row];
    let same = 0;
    while (same < held.length && same < prompt.length - 1 && held[same] === prompt[same]) same++;
    held.length = same;
    return same;
  }

  private async extendGreedy(tokens: readonly (readonly number[])[]): Promise<[row: number, id: number][]> {
    const out: [number, number][] = [];
    await this.extend(tokens, async (program, rows) => {
      if (rows.length === 0) return;
      const { best } = await program.read('best');
      for (const row of rows) {
        if (best[row] >= this.config.vocabSize) throw new ScionError('numeric', 'the logits hold NaN: the weights or the run that made them are broken');
        out.push([row, best[row]]);
      }
    });
    return out.sort(([a], [b]) => a - b);
  }

  private async extendSampled(
    tokens: readonly (readonly number[])[],
    choose: (row: number, logits: Float32Array) => number,
  ): Promise<[row: number, id: number][]> {
    const V = this.config.vocabSize;
    const out: [number, number][] = [];
    await this.extend(tokens, async (program, rows) => {
      if (rows.length === 0) return;
      const { logits } = await program.read('logits');
      for (const row of rows) out.push([row, choose(row, (logits as Float32Array).subarray(row * V, (row + 1) * V))]);
    });
    return out.sort(([a], [b]) => a - b);
  }

  /** Puts tokens behind what the caches hold, in chunks; `ended` gets the sequences whose last token a chunk held. */
  private async extend(tokens: readonly (readonly number[])[], ended: (program: Program, rows: readonly number[]) => Promise<void>): Promise<void> {
    const at = tokens.map(() => 0);
    for (;;) {
      const most = Math.max(...tokens.map((t, row) => t.length - at[row]));
      if (most <= 0) return;
      const T = chunkClass(most, this.classes);
      const step = this.steps.get(T);
      if (!step) throw new ScionError('internal', `no program for ${T} tokens`);
      const rows: number[] = [];
      for (let row = 0; row < this.batch; row++) {
        const all = tokens[row] ?? [];
        const from = at[row] ?? 0;
        const part = all.slice(from, from + T);
        this.fillRow(step, row, part);
        if (part.length === 0) continue;
        this.held[row].push(...part);
        at[row] = from + part.length;
        if (at[row] === all.length) rows.push(row);
      }
      const { ids, positions, ranges, slots, last } = step;
      step.program.run(T === 1 ? { ids, positions, ranges, slots } : { ids, positions, ranges, slots, last });
      await ended(step.program, rows);
    }
  }

  /** Writes one sequence's tokens into the upload arrays; what is left of T is padding without slot or range. */
  private fillRow(step: Step, row: number, part: readonly number[]): void {
    const { T, ids, positions, ranges, slots, last } = step;
    const window = this.config.slidingWindow ?? 0;
    const first = this.held[row].length;
    for (let t = 0; t < T; t++) {
      const i = row * T + t;
      const real = t < part.length;
      const position = real ? first + t : 0;
      ids[i] = real ? part[t] : 0;
      positions[i] = position;
      slots[i] = real ? position : NO_SLOT;
      ranges[i * 4] = window > 0 ? Math.max(0, position - window + 1) : 0;
      ranges[i * 4 + 1] = real ? position + 1 : 0;
    }
    last[row] = row * T + Math.max(0, part.length - 1);
  }

  /** Frees what the generator owns; shared weights stay. */
  destroy(): void {
    this.session.destroy();
  }
}
