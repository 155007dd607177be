/**
 * Memory that all ranks of a process see, for values that are summed often (staged gradients): each rank adds its shard straight out of every rank's values and
 * writes the sum straight into them, so a sum costs one pass over memory and two meetings, and nothing is copied into rings and out again. WebAssembly memory,
 * because its SIMD adds four f32 at once where JavaScript adds one; 4 GiB at most for all ranks together, taken as they ask, never given back.
 */
import { ScionError } from '../base/errors.ts';
import { type SumKernel, sumKernel } from './sum-wasm.ts';

const PAGE = 65536;
/** Everything starts on a cache line; the kernel adds whole ones. */
const LINE = 64;
/** Elements summed before they are handed out: they stay in a core's nearest cache. */
const BLOCK = 4096;

const lines = (bytes: number): number => Math.ceil(bytes / LINE);

/** Shared memory that can grow to as much as this machine lets it reserve. */
export function growingMemory(bytes: number): WebAssembly.Memory {
  const initial = Math.ceil(bytes / PAGE);
  for (let maximum = 65536; ; maximum = Math.max(initial, maximum >> 1)) {
    try {
      return new WebAssembly.Memory({ initial, maximum, shared: true });
    } catch (error) {
      if (maximum === initial)
        throw new ScionError('memory', `no shared memory of ${bytes} bytes for the ranks: close other pages or programs`, { bytes }, error);
    }
  }
}

/** The part of the shared memory that ranks take from, as one of them sees it. */
export class SharedHeap {
  readonly #memory: WebAssembly.Memory;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #top: number;
  /** Buffers through which values were handed out: growing makes a new one over the same memory. */
  readonly #buffers = new WeakSet<ArrayBufferLike>();
  readonly #kernel: SumKernel;
  #scratch: number | null = null;

  /** @param top index in `control` of the count of lines that are taken */
  constructor(memory: WebAssembly.Memory, control: Int32Array<SharedArrayBuffer>, top: number) {
    this.#memory = memory;
    this.#control = control;
    this.#top = top;
    this.#kernel = sumKernel(memory);
  }

  #take(bytes: number): number {
    const from = Atomics.add(this.#control, this.#top, lines(bytes)) * LINE;
    try {
      this.#reach(from + lines(bytes) * LINE);
    } catch (error) {
      Atomics.sub(this.#control, this.#top, lines(bytes));
      throw error;
    }
    return from;
  }

  /** The memory's buffer, at least `end` bytes long; another thread may have grown it, or does so now. */
  #reach(end: number): ArrayBufferLike {
    for (;;) {
      // Growing by nothing makes this thread see what others grew.
      this.#memory.grow(0);
      const { buffer } = this.#memory;
      if (buffer.byteLength >= end) return buffer;
      try {
        this.#memory.grow(Math.ceil((end - buffer.byteLength) / PAGE));
      } catch (error) {
        const used = Math.round(end / 2 ** 20);
        throw new ScionError(
          'memory',
          `the ranks' shared memory cannot grow to ${used} MiB: stage less at once (4 GiB for all ranks is the most there can be)`,
          { end },
          error,
        );
      }
    }
  }

  /** Zeroed values in shared memory, f32 [count]. */
  stage(count: number): Float32Array {
    // A line more: the kernel reads whole ones.
    const from = this.#take(4 * count + LINE);
    const buffer = this.#reach(from + 4 * count);
    this.#buffers.add(buffer);
    return new Float32Array(buffer, from, count);
  }

  /** Where values lie, in bytes; -1 if not in this memory. */
  locate(values: Float32Array): number {
    return this.#buffers.has(values.buffer) ? values.byteOffset : -1;
  }

  /** Values of another rank. */
  view(from: number, count: number): Float32Array {
    return new Float32Array(this.#reach(from + 4 * count), from, count);
  }

  /** Adds `count` elements of `parts` in their order (bytes where each begins) and writes the sum to all of `outs`, which may be among the parts. */
  sum(parts: readonly number[], outs: readonly number[], count: number): void {
    this.#scratch ??= this.#take(4 * BLOCK);
    const scratch = this.#scratch;
    const { add, copy } = this.#kernel;
    for (let at = 0; at < count; at += BLOCK) {
      const bytes = 4 * Math.min(BLOCK, count - at);
      // Whole lines: what lies behind the last element is added too, into scratch alone.
      const whole = lines(bytes) * LINE;
      const from = 4 * at;
      if (parts.length === 1) copy(scratch, parts[0] + from, bytes);
      else add(scratch, parts[0] + from, parts[1] + from, whole);
      for (const part of parts.slice(2)) add(scratch, scratch, part + from, whole);
      for (const out of outs) copy(out + from, scratch, bytes);
    }
  }
}
