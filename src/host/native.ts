/**
 * Calls into C libraries: Node by koffi (an optional package, loaded when a library is first asked for), Deno by its own `dlopen`. Values are whole numbers of 32
 * or 64 bits, which is all that MPI's calls take: pointers and handles go as 64-bit addresses, so one table of functions serves both hosts. Calls run on the
 * calling thread. Memory whose address is handed out must stay referenced by the caller until C is done with it; engines do not move it once it has an address.
 */
import { ScionError } from '../base/errors.ts';

/** Types of arguments and results. 64-bit ones take numbers and bigints. */
export type NativeType = 'i32' | 'u64' | 'void';
export type NativeFunction = (...values: (number | bigint)[]) => number | bigint;

/** A C library that is loaded for the rest of the process. */
export interface NativeLibrary {
  /** A function by its name; a ScionError (`device`) if the library lacks it. */
  fn(name: string, result: NativeType, parameters: readonly NativeType[]): NativeFunction;
  /** Where a symbol lies; null if the library lacks it. */
  symbol(name: string): bigint | null;
}

export interface Native {
  /**
   * Loads a library by name or path. Its symbols are visible to libraries that it loads itself (Open MPI's plug-ins need that).
   * @returns null if the system's loader does not find it
   */
  open(path: string): NativeLibrary | null;
  /** The address of the first byte. */
  address(bytes: ArrayBufferView): bigint;
}

async function koffiNative(): Promise<Native> {
  let koffi: typeof import('koffi');
  try {
    koffi = await import('koffi');
  } catch (error) {
    throw new ScionError('device', 'MPI under Node needs the npm package "koffi", which does not load here; run: npm install koffi', {}, error);
  }
  const type = (t: NativeType): string => (t === 'i32' ? 'int32' : t === 'u64' ? 'uint64' : 'void');
  return {
    open(path) {
      let library: ReturnType<typeof koffi.load>;
      try {
        library = koffi.load(path, { global: true });
      } catch {
        return null;
      }
      return {
        fn(name, result, parameters) {
          try {
            return library.func(name, type(result), parameters.map(type));
          } catch (error) {
            throw missing(path, name, error);
          }
        },
        symbol(name) {
          try {
            return BigInt(koffi.address(library.symbol(name)));
          } catch {
            return null;
          }
        },
      };
    },
    address(bytes) {
      // Small arrays lie on the engine's heap until somebody asks for their buffer.
      void bytes.buffer;
      return koffi.address(bytes);
    },
  };
}

interface DenoFfi {
  dlopen(
    path: string,
    symbols: Record<string, { parameters: readonly string[]; result: string }>,
  ): { symbols: Record<string, (...values: unknown[]) => unknown> };
  UnsafePointer: { of(bytes: ArrayBufferView): object | null; value(pointer: object | null): bigint };
}

const RTLD_NOW = 2;
const RTLD_GLOBAL = 0x100;

function denoNative(deno: DenoFfi): Native {
  const address = (bytes: ArrayBufferView): bigint => {
    void bytes.buffer;
    return BigInt(deno.UnsafePointer.value(deno.UnsafePointer.of(bytes)));
  };
  const loader = deno.dlopen('libc.so.6', {
    dlopen: { parameters: ['u64', 'i32'], result: 'u64' },
    dlsym: { parameters: ['u64', 'u64'], result: 'u64' },
  }).symbols;
  const withName = <T>(name: string, use: (at: bigint) => T): T => {
    const bytes = new TextEncoder().encode(`${name}\0`);
    const result = use(address(bytes));
    // Read once more, so that it is alive until here.
    return bytes.length > 0 ? result : result;
  };
  return {
    open(path) {
      const handle = withName(path, (at) => loader.dlopen(at, RTLD_NOW | RTLD_GLOBAL) as bigint);
      if (BigInt(handle) === 0n) return null;
      return {
        fn(name, result, parameters) {
          try {
            return deno.dlopen(path, { [name]: { parameters, result } }).symbols[name] as NativeFunction;
          } catch (error) {
            throw missing(path, name, error);
          }
        },
        symbol(name) {
          const at = BigInt(withName(name, (text) => loader.dlsym(handle, text) as bigint));
          return at === 0n ? null : at;
        },
      };
    },
    address,
  };
}

function missing(path: string, name: string, cause: unknown): ScionError {
  return new ScionError('device', `${path} has no function ${name}: is it the library that was meant?`, { path, name }, cause);
}

/** The door to C libraries; a ScionError (`device`) where the host has none. */
export async function native(): Promise<Native> {
  const deno = (globalThis as { Deno?: DenoFfi }).Deno;
  if (deno !== undefined) {
    if (typeof deno.dlopen !== 'function') throw new ScionError('device', 'this Deno may not load libraries; start it with --allow-ffi (or -A)');
    return denoNative(deno);
  }
  if ((globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node) return koffiNative();
  throw new ScionError('device', 'a page cannot load C libraries; use threads there');
}
