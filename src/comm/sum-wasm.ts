/**
 * `sum.wat`, assembled (its first lines tell how): the bytes are committed so that nobody needs an assembler. One instance a thread, over the shared memory.
 */

const BYTES =
  'AGFzbQEAAAABDgJgBH9/f38AYAN/f38AAhQBBXNjaW9uBm1lbW9yeQIDAYCABAMDAgABBw4CA2FkZAAABGNvcHkAAQqWAQKGAQEBfyADRQRADwsgACADaiEEA0AgACAB/QAEACAC/QAEAP3kAf0LBAAgACAB/QAEECAC/QAEEP3kAf0LBBAgACAB/QAEICAC/QAEIP3kAf0LBCAgACAB/QAEMCAC/QAEMP3kAf0LBDAgAUHAAGohASACQcAAaiECIABBwABqIgAgBEcNAAsLDAAgACABIAL8CgAACw==';

/** Addresses and lengths in bytes. */
export interface SumKernel {
  /** out = a + b in f32; `bytes` a multiple of 64. */
  add(out: number, a: number, b: number, bytes: number): void;
  copy(to: number, from: number, bytes: number): void;
}

/** The kernel over a memory; fails where the engine lacks SIMD or threads, which all that run WebGPU have. */
export function sumKernel(memory: WebAssembly.Memory): SumKernel {
  const module = new WebAssembly.Module(Uint8Array.from(atob(BYTES), (c) => c.charCodeAt(0)));
  return new WebAssembly.Instance(module, { scion: { memory } }).exports as unknown as SumKernel;
}
