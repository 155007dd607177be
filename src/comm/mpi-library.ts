/**
 * The few MPI calls that scion makes, and how each family of MPI libraries writes its constants: MPICH (and Intel MPI, MVAPICH) has 32-bit integers as handles,
 * Open MPI addresses of symbols, and the binary interface that MPI 5.0 standardised (libmpi_abi) small integers of pointer size. Only calls that return at once,
 * beside the first and the last; nothing that sums. Which library: the one `SCION_MPI` names, else the one the launcher's variables speak of, else the first found.
 */
import { ScionError } from '../base/errors.ts';
import type { Host } from '../host/index.ts';
import { type Native, type NativeFunction, type NativeLibrary, type NativeType, native } from '../host/native.ts';

/** Families of MPI libraries by their binary interface. */
export type MpiFamily = 'mpich' | 'openmpi' | 'abi';

interface Constants {
  readonly handle: NativeType;
  readonly world: bigint;
  readonly byte: bigint;
  readonly errorsReturn: bigint;
  /** MPI_THREAD_FUNNELED: other threads live beside, one calls MPI. */
  readonly funneled: number;
}

/** MPI_MAX_ERROR_STRING is 512 in all families; the longest version text is 8,192. */
const TEXT_BYTES = 8192;

/** Names to try, by family; the loader looks for them where it looks for libraries (`LD_LIBRARY_PATH`, ld.so.conf). */
const NAMES: Record<MpiFamily, readonly string[]> = {
  openmpi: ['libmpi.so.40', 'libmpi.so.80', 'libmpi.40.dylib'],
  mpich: ['libmpich.so.12', 'libmpi.so.12', 'libmpi.12.dylib'],
  abi: ['libmpi_abi.so.1', 'libmpi_abi.so.0', 'libmpi_abi.so', 'libmpi_abi.dylib'],
};

/** Variables that launchers give to each rank. */
const OPEN_MPI_VARIABLES = ['OMPI_COMM_WORLD_RANK'];
const MPICH_VARIABLES = ['PMI_RANK', 'PMI_FD', 'PMI_ID', 'MPI_LOCALRANKID'];
/** PMIx serves both families. */
const SHARED_VARIABLES = ['PMIX_RANK'];

/** True if an MPI launcher started this process, or `SCION_MPI` names a library. */
export function underMpi(host: Host): boolean {
  return [...OPEN_MPI_VARIABLES, ...MPICH_VARIABLES, ...SHARED_VARIABLES, 'SCION_MPI'].some((name) => host.env(name) !== undefined);
}

/** A request with its flag and its status, in memory that C sees: 8 bytes, 8 bytes, and 48 where the longest status takes 32. */
export interface MpiSlot {
  /** Words of the slot: the flag, or a count, is word 2. */
  readonly words: Int32Array;
  readonly request: bigint;
  readonly flag: bigint;
  readonly status: bigint;
}

const SLOT_WORDS = 16;
const SLOTS_AT_ONCE = 64;
const FLAG = 2;

/** An MPI library that was loaded and started. */
export class MpiLibrary {
  readonly family: MpiFamily;
  readonly version: string;
  readonly rank: number;
  readonly size: number;
  readonly #native: Native;
  readonly #constants: Constants;
  readonly #calls: Record<keyof typeof SIGNATURES, NativeFunction>;
  readonly #free: MpiSlot[] = [];

  constructor(door: Native, library: NativeLibrary, path: string) {
    this.#native = door;
    this.family = familyOf(library, path);
    this.#constants = constantsOf(this.family, library, path);
    const { handle } = this.#constants;
    const typed = Object.entries(SIGNATURES).map(([name, parameters]) => [
      name,
      library.fn(
        name,
        'i32',
        parameters.map((p) => (p === 'handle' ? handle : p)),
      ),
    ]);
    this.#calls = Object.fromEntries(typed);
    const out = new Int32Array(2);
    const at = door.address(out);
    this.#check('MPI_Init_thread', this.#calls.MPI_Init_thread(0, 0, this.#constants.funneled, at));
    // From here on errors come back as codes, to be told as ours.
    this.#check('MPI_Comm_set_errhandler', this.#calls.MPI_Comm_set_errhandler(this.#world, this.#handle(this.#constants.errorsReturn)));
    this.#check('MPI_Comm_rank', this.#calls.MPI_Comm_rank(this.#world, at));
    this.#check('MPI_Comm_size', this.#calls.MPI_Comm_size(this.#world, at + 4n));
    [this.rank, this.size] = out;
    this.version = this.#text((bytes, length) => this.#calls.MPI_Get_library_version(bytes, length));
  }

  get #world(): number | bigint {
    return this.#handle(this.#constants.world);
  }

  get #byte(): number | bigint {
    return this.#handle(this.#constants.byte);
  }

  /** 32-bit handles go as signed numbers. */
  #handle(value: bigint): number | bigint {
    return this.#constants.handle === 'i32' ? Number(BigInt.asIntN(32, value)) : value;
  }

  #text(call: (bytes: bigint, length: bigint) => unknown): string {
    const bytes = new Uint8Array(TEXT_BYTES);
    const length = new Int32Array(1);
    call(this.#native.address(bytes), this.#native.address(length));
    return new TextDecoder().decode(bytes.subarray(0, length[0])).replace(/\0.*$/s, '').trim();
  }

  #check(call: string, code: number | bigint): void {
    if (Number(code) === 0) return;
    const why = this.#text((bytes, length) => this.#calls.MPI_Error_string(Number(code), bytes, length));
    throw new ScionError('lost', `${call} failed: ${why} (code ${code})`, { call, code: Number(code) });
  }

  #slot(): MpiSlot {
    if (this.#free.length === 0) {
      const words = new Int32Array(SLOT_WORDS * SLOTS_AT_ONCE);
      const base = this.#native.address(words);
      for (let at = 0; at < words.length; at += SLOT_WORDS) {
        const request = base + BigInt(4 * at);
        this.#free.push({ words: words.subarray(at, at + SLOT_WORDS), request, flag: request + 8n, status: request + 16n });
      }
    }
    return this.#free.pop() as MpiSlot;
  }

  /** Begins to send; `bytes` at most 2^31 - 1 long, referenced and unchanged until `test` says so. */
  isend(to: number, tag: number, bytes: Uint8Array): MpiSlot {
    const slot = this.#slot();
    const code = this.#calls.MPI_Isend(this.#address(bytes), bytes.length, this.#byte, to, tag, this.#world, slot.request);
    this.#check(`MPI_Isend to rank ${to}`, code);
    return slot;
  }

  /** Begins to receive at most `bytes`. */
  irecv(from: number, tag: number, bytes: Uint8Array): MpiSlot {
    const slot = this.#slot();
    const code = this.#calls.MPI_Irecv(this.#address(bytes), bytes.length, this.#byte, from, tag, this.#world, slot.request);
    this.#check(`MPI_Irecv from rank ${from}`, code);
    return slot;
  }

  #address(bytes: Uint8Array): bigint {
    return bytes.length === 0 ? 0n : this.#native.address(bytes);
  }

  /** If the request is complete, the bytes that came (0 for a send), and the slot is gone; else -1. */
  test(slot: MpiSlot, receives: boolean): number {
    this.#check('MPI_Test', this.#calls.MPI_Test(slot.request, slot.flag, slot.status));
    if (slot.words[FLAG] === 0) return -1;
    if (receives) this.#check('MPI_Get_count', this.#calls.MPI_Get_count(slot.status, this.#byte, slot.flag));
    const count = receives ? slot.words[FLAG] : 0;
    this.#free.push(slot);
    return count;
  }

  /** Ends the whole job at once, on every rank. Does not return. */
  abort(code: number): void {
    this.#calls.MPI_Abort(this.#world, code);
  }

  /** Collective; no call after it. */
  finalize(): void {
    this.#check('MPI_Finalize', this.#calls.MPI_Finalize());
  }
}

/** Parameters of each call; all give an error code. */
const SIGNATURES = {
  MPI_Init_thread: ['u64', 'u64', 'i32', 'u64'],
  MPI_Comm_set_errhandler: ['handle', 'handle'],
  MPI_Comm_rank: ['handle', 'u64'],
  MPI_Comm_size: ['handle', 'u64'],
  MPI_Get_library_version: ['u64', 'u64'],
  MPI_Error_string: ['i32', 'u64', 'u64'],
  MPI_Isend: ['u64', 'i32', 'handle', 'i32', 'i32', 'handle', 'u64'],
  MPI_Irecv: ['u64', 'i32', 'handle', 'i32', 'i32', 'handle', 'u64'],
  MPI_Test: ['u64', 'u64', 'u64'],
  MPI_Get_count: ['u64', 'handle', 'u64'],
  MPI_Abort: ['handle', 'i32'],
  MPI_Finalize: [],
} as const satisfies Record<string, readonly (NativeType | 'handle')[]>;

function familyOf(library: NativeLibrary, path: string): MpiFamily {
  if (library.symbol('ompi_mpi_comm_world') !== null) return 'openmpi';
  // Libraries that hold the standard interface are told by their name alone: the functions have the same names.
  return path.includes('mpi_abi') ? 'abi' : 'mpich';
}

function constantsOf(family: MpiFamily, library: NativeLibrary, path: string): Constants {
  if (family === 'mpich') return { handle: 'i32', world: 0x44000000n, byte: 0x4c00010dn, errorsReturn: 0x54000001n, funneled: 1 };
  if (family === 'abi') return { handle: 'u64', world: 0x101n, byte: 0x247n, errorsReturn: 0x143n, funneled: 1024 };
  const address = (name: string): bigint => {
    const at = library.symbol(name);
    if (at === null) throw new ScionError('device', `${path} looks like Open MPI but has no ${name}; name another library with SCION_MPI`, { path, name });
    return at;
  };
  return {
    handle: 'u64',
    world: address('ompi_mpi_comm_world'),
    byte: address('ompi_mpi_byte'),
    errorsReturn: address('ompi_mpi_errors_return'),
    funneled: 1,
  };
}

/** Families in the order in which the launcher's variables suggest them. */
function likelyFamilies(host: Host): MpiFamily[] {
  const has = (names: readonly string[]): boolean => names.some((name) => host.env(name) !== undefined);
  if (has(OPEN_MPI_VARIABLES)) return ['openmpi', 'abi'];
  if (has(MPICH_VARIABLES)) return ['mpich', 'abi', 'openmpi'];
  return ['openmpi', 'mpich', 'abi'];
}

const SIGUSR1 = 10;
const SIG_IGN = 1;

/**
 * MPICH's launcher tells survivors of a rank's death by SIGUSR1, at which Node and Deno open their debugger's port (9229) to the machine. Ranks start Node with
 * `--disable-sigusr1`; where they were not, the signal is ignored from here on.
 */
function ignoreDebuggerSignal(door: Native): void {
  door.open('libc.so.6')?.fn('signal', 'u64', ['i32', 'u64'])(SIGUSR1, SIG_IGN);
}

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/**
 * `scion` in a checkout starts the Node that does the work as its child (tools/lib/run.mjs), and a launcher that kills ranks kills that parent. Linux then
 * kills the child too, so that nothing lives on with the device and the memory.
 */
function dieWithParent(door: Native, host: Host): void {
  const libc = host.env('SCION_PARENT') === undefined ? null : door.open('libc.so.6');
  // The variable is inherited further down, where others are the parents.
  if (libc === null || Number(libc.fn('getppid', 'i32', [])()) !== Number(host.env('SCION_PARENT'))) return;
  libc.fn('prctl', 'i32', ['i32', 'u64', 'u64', 'u64', 'u64'])(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/** Loads and starts MPI. Once a process; on the main thread, which makes all calls. */
export async function openMpi(host: Host): Promise<MpiLibrary> {
  const door = await native();
  ignoreDebuggerSignal(door);
  dieWithParent(door, host);
  const named = host.env('SCION_MPI');
  const paths = named ? [named] : likelyFamilies(host).flatMap((family) => NAMES[family]);
  for (const path of paths) {
    const library = door.open(path);
    if (library !== null) return new MpiLibrary(door, library, path);
  }
  const tried = paths.join(', ');
  throw new ScionError(
    'device',
    `no MPI library loads (tried ${tried}); install MPICH or Open MPI, put its folder into LD_LIBRARY_PATH, or set SCION_MPI to the library's path`,
    { tried },
  );
}
