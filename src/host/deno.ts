/**
 * The Deno adapter: Deno's own WebGPU (wgpu), or Dawn through `npm:webgpu` on request
 * (`SCION_GPU=dawn`). Files and hashing go through Deno's `node:` modules.
 */
import { ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { openDawn } from './node.ts';
import { webWorker, webWorkerPort } from './ports.ts';
import { posixFiles, posixSha256, posixUnzstd } from './posix.ts';
import type { Host, HostTerminal } from './types.ts';

interface DenoLike {
  version: { deno: string };
  args: string[];
  pid: number;
  cwd(): string;
  env: { get(name: string): string | undefined };
  memoryUsage(): { rss: number; heapUsed: number };
  systemMemoryInfo(): { total: number };
  readTextFileSync(path: string): string;
  addSignalListener(signal: string, f: () => void): void;
  removeSignalListener(signal: string, f: () => void): void;
  kill(pid: number, signal: string): void;
  exit(code: number): never;
  consoleSize(): { columns: number };
  stdin: { readable: ReadableStream<Uint8Array<ArrayBuffer>> };
  stdout: { writeSync(bytes: Uint8Array): number; isTerminal(): boolean };
  stderr: { writeSync(bytes: Uint8Array): number; isTerminal(): boolean };
}

const deno = (globalThis as unknown as { Deno: DenoLike }).Deno;

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
}

async function* stdinLines(): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of deno.stdin.readable) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield line.replace(/\r$/, '');
  }
  if (rest !== '') yield rest;
}

/** The host of a Deno process. */
export const denoHost: Host = {
  kind: 'deno',
  version: `Deno ${deno?.version.deno ?? '?'}`,
  files: posixFiles,
  async gpu(options = {}) {
    if (deno.env.get('SCION_GPU') === 'dawn' || options.backend === 'null') return openDawn(options);
    const gpu = (globalThis.navigator as Navigator | undefined)?.gpu;
    if (!gpu) throw new ScionError('device', 'this Deno has no navigator.gpu; use Deno 2.9 or newer, or set SCION_GPU=dawn');
    return gpu;
  },
  sha256: posixSha256,
  unzstd: posixUnzstd,
  now: () => performance.now(),
  env: (name) => deno.env.get(name),
  cwd: deno?.cwd() ?? '/',
  pid: deno?.pid ?? 0,
  processAlive(pid) {
    try {
      deno.kill(pid, 'SIGCONT');
      return true;
    } catch (error) {
      return (error as { name?: string }).name === 'PermissionDenied';
    }
  },
  cacheDir: deno
    ? (deno.env.get('SCION_CACHE') ?? joinPath(deno.env.get('XDG_CACHE_HOME') ?? joinPath(deno.env.get('HOME') ?? '/tmp', '.cache'), 'scion'))
    : '/',
  residentBytes: () => deno.memoryUsage().rss,
  // Deno has no call for it; Linux tells it in a file.
  peakResidentBytes() {
    try {
      const found = /^VmHWM:\s+(\d+) kB/m.exec(deno.readTextFileSync('/proc/self/status'));
      return found ? Number(found[1]) * 1024 : null;
    } catch {
      return null;
    }
  },
  memoryBytes() {
    try {
      return deno.systemMemoryInfo().total;
    } catch {
      // Without the permission.
      return null;
    }
  },
  heapBytes: () => deno.memoryUsage().heapUsed,
  onInterrupt(stop) {
    const onInt = () => stop('SIGINT');
    const onTerm = () => stop('SIGTERM');
    deno.addSignalListener('SIGINT', onInt);
    deno.addSignalListener('SIGTERM', onTerm);
    return () => {
      deno.removeSignalListener('SIGINT', onInt);
      deno.removeSignalListener('SIGTERM', onTerm);
    };
  },
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  cores: globalThis.navigator?.hardwareConcurrency ?? 1,
  worker: webWorker,
  workerPort: webWorkerPort,
};

/** Standard streams and exit of a Deno process. */
export const denoTerminal: HostTerminal = {
  args: deno?.args ?? [],
  get isTerminal() {
    return deno.stderr.isTerminal();
  },
  get outIsTerminal() {
    return deno.stdout.isTerminal();
  },
  get columns() {
    try {
      return deno.consoleSize().columns;
    } catch {
      return 100;
    }
  },
  out: (text) => writeAll(deno.stdout, text),
  err: (text) => writeAll(deno.stderr, text),
  lines: stdinLines,
  exit: (code) => deno.exit(code),
};
