/**
 * What scion asks of the machine it runs on: files, clock, hashing, memory, signals and the GPU
 * entry. One interface, three adapters (`node.ts`, `deno.ts`, `browser.ts`); nothing else in `src`
 * touches `node:`, `Deno.*`, OPFS or `navigator`.
 */

/** Facts of one file or folder. */
export interface FileStat {
  readonly size: number;
  readonly isDirectory: boolean;
  /** Milliseconds since the epoch. */
  readonly modified: number;
}

/** One entry of a folder listing. */
export interface DirEntry {
  readonly name: string;
  readonly isDirectory: boolean;
}

/** Random access to an open file. Reads past the end give fewer bytes, never an error. */
export interface FileReader {
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** Sequential writing; nothing is durable before `sync`. */
export interface FileWriter {
  write(bytes: Uint8Array): Promise<void>;
  /** Makes everything written so far durable (fsync where the host has one). */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Files. Paths are `/`-separated strings; errors are ScionError of kind `io`, `space` or `input`. */
export interface HostFiles {
  read(path: string): Promise<Uint8Array<ArrayBuffer>>;
  open(path: string): Promise<FileReader>;
  /** Creates or truncates, or appends. Parent folders must exist. */
  create(path: string, options?: { append?: boolean }): Promise<FileWriter>;
  write(path: string, bytes: Uint8Array): Promise<void>;
  stat(path: string): Promise<FileStat | null>;
  list(path: string): Promise<DirEntry[]>;
  makeDir(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file or a whole folder; a missing one is fine. */
  remove(path: string): Promise<void>;
  /** fsync of a folder, where the host has one: makes renames durable. */
  syncDir(path: string): Promise<void>;
  /** Bytes free on the file system of `path`, where the host can tell. */
  free(path: string): Promise<number | null>;
  /** Creates a file that must not exist yet, with this content; false if it exists. For lock files. */
  createExclusive(path: string, bytes: Uint8Array): Promise<boolean>;
  /** A second name for a file (hard link), where the host has such; false where it cannot be (other file system, no support): copy then. */
  link?(from: string, to: string): Promise<boolean>;
}

/** Incremental SHA-256; `hex` ends it. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  hex(): string;
}

/** How the GPU entry is opened. */
export interface GpuOptions {
  /** Part of an adapter's name; the first match is taken. */
  readonly adapter?: string;
  /** Dawn only: `null` compiles and validates without executing. */
  readonly backend?: 'vulkan' | 'metal' | 'd3d12' | 'null';
  /** Dawn only: faster, less guarded code (robustness off). Never in tests. */
  readonly fast?: boolean;
}

/** One end of a line between a thread and its worker. Messages come in order; values are cloned, buffers in `transfer` moved. */
export interface HostPort {
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  /** The next message. Rejects with a ScionError (`internal`) if the other end broke or is gone. */
  receive(): Promise<unknown>;
}

/** What a worker may use; wishes, where a host has no such setting. */
export interface WorkerLimits {
  /** MiB of memory for young objects. Less means a smaller process and more frequent, shorter collections. */
  readonly youngMb?: number;
}

/** A thread that runs a module. What is posted before its first message may be lost: let it speak first. */
export interface HostWorker extends HostPort {
  /** Ends it at once, whatever it does. */
  end(): Promise<void>;
}

/** The machine. */
export interface Host {
  readonly kind: 'node' | 'deno' | 'browser';
  /** For example `Node 24.21.0`. */
  readonly version: string;
  readonly files: HostFiles;
  /** The WebGPU entry; a ScionError of kind `device` says what to install if there is none. */
  gpu(options?: GpuOptions): Promise<GPU>;
  sha256(): Promise<Hasher>;
  /** Unpacks one Zstandard frame, where the host has a decoder of its own. Fails with the decoder's own error. */
  readonly unzstd?: (frame: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
  /** Monotonic milliseconds. */
  now(): number;
  env(name: string): string | undefined;
  readonly cwd: string;
  readonly pid: number;
  /** True if a process with this id runs; null where the host cannot tell. */
  processAlive(pid: number): boolean | null | Promise<boolean>;
  /** Folder for caches that may be deleted at any time. */
  readonly cacheDir: string;
  /** Resident memory of this process in bytes, where known. */
  residentBytes(): number | null;
  /** The most that was resident since the process began, in bytes, where known. */
  peakResidentBytes(): number | null;
  /** Memory that programs on this machine can have, in bytes, where known. */
  memoryBytes(): number | null;
  /** JavaScript heap in use in bytes, where known. */
  heapBytes(): number | null;
  /** Calls `stop` on SIGINT and SIGTERM; gives back the way to stop listening. */
  onInterrupt(stop: (signal: string) => void): () => void;
  sleep(ms: number): Promise<void>;
  /** Threads that can run at once. */
  readonly cores: number;
  /** Starts a worker; `siblingModule` says where a module lies in a checkout and in the built package. */
  worker(entry: URL, limits?: WorkerLimits): HostWorker;
  /** In a worker: the way to the thread that started it. Elsewhere null. */
  workerPort(): HostPort | null;
}

/** What only the command line uses: arguments, standard streams, exit. */
export interface HostTerminal {
  readonly args: string[];
  /** True where messages (standard error) go to a person. */
  readonly isTerminal: boolean;
  /** True where results (standard output) go to a person and not to a file or a program. */
  readonly outIsTerminal: boolean;
  readonly columns: number;
  out(text: string): void;
  err(text: string): void;
  /** Lines of standard input until its end. */
  lines(): AsyncIterable<string>;
  exit(code: number): never;
}
