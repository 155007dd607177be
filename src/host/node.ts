/**
 * The Node adapter: Dawn through the `webgpu` package. The object that Dawn's `create()` returns
 * must stay referenced for the life of the process (else hangs and crashes once it is collected),
 * so each one is kept in a module-level list for ever.
 */
import * as os from 'node:os';
// The default export: what process inherits (on, off) is no part of the module's namespace.
import process from 'node:process';
import { createInterface } from 'node:readline';
import { parentPort, Worker } from 'node:worker_threads';
import { ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { MessageQueue, workerFailure } from './ports.ts';
import { posixFiles, posixSha256, posixUnzstd } from './posix.ts';
import type { GpuOptions, Host, HostPort, HostTerminal, HostWorker, WorkerLimits } from './types.ts';

/** Dawn instances by their flags; referenced for ever on purpose. */
const instances = new Map<string, GPU>();

/** Opens Dawn with the toggles training needs (f16 on NVIDIA, subgroup matrices, exact timestamps). */
export async function openDawn(options: GpuOptions = {}): Promise<GPU> {
  const enabled = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'];
  if (options.fast) enabled.push('disable_robustness', 'disable_workgroup_init');
  const flags = [`enable-dawn-features=${enabled.join(',')}`, 'disable-dawn-features=timestamp_quantization'];
  if (options.backend) flags.push(`backend=${options.backend}`);
  if (options.adapter) flags.push(`adapter=${options.adapter}`);
  const key = flags.join(' ');
  const known = instances.get(key);
  if (known) return known;
  let dawn: typeof import('webgpu');
  try {
    dawn = await import('webgpu');
  } catch (error) {
    throw new ScionError('device', 'the npm package "webgpu" (Dawn) does not load here; run: npm install webgpu', {}, error);
  }
  Object.assign(globalThis, dawn.globals);
  const gpu = dawn.create(flags);
  instances.set(key, gpu);
  return gpu;
}

function nodeWorker(entry: URL, { youngMb }: WorkerLimits = {}): HostWorker {
  const worker = new Worker(entry, youngMb === undefined ? {} : { resourceLimits: { maxYoungGenerationSizeMb: youngMb } });
  const queue = new MessageQueue();
  worker.on('message', (message) => queue.push(message));
  worker.on('messageerror', (error) => queue.fail(workerFailure(entry, 'a message could not be read', error)));
  worker.on('error', (error) => queue.fail(workerFailure(entry, String(error), error)));
  worker.on('exit', (code) => queue.fail(workerFailure(entry, `code ${code}`)));
  return {
    post: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    receive: () => queue.receive(),
    async end() {
      await worker.terminate();
    },
  };
}

let ownPort: HostPort | undefined;

function nodeWorkerPort(): HostPort | null {
  const port = parentPort;
  if (port === null) return null;
  if (ownPort === undefined) {
    const queue = new MessageQueue();
    port.on('message', (message) => queue.push(message));
    ownPort = { post: (message, transfer = []) => port.postMessage(message, [...transfer]), receive: () => queue.receive() };
  }
  return ownPort;
}

/** The host of a Node process. */
export const nodeHost: Host = {
  kind: 'node',
  version: `Node ${process.versions.node}`,
  files: posixFiles,
  gpu: openDawn,
  sha256: posixSha256,
  unzstd: posixUnzstd,
  now: () => performance.now(),
  env: (name) => process.env[name],
  cwd: process.cwd(),
  pid: process.pid,
  processAlive(pid) {
    try {
      process.kill(pid, 0);
      return true;
    } catch (error) {
      return (error as { code?: string }).code === 'EPERM';
    }
  },
  cacheDir: process.env.SCION_CACHE ?? joinPath(process.env.XDG_CACHE_HOME ?? joinPath(os.homedir(), '.cache'), 'scion'),
  residentBytes: () => process.memoryUsage.rss(),
  peakResidentBytes: () => process.resourceUsage().maxRSS * 1024,
  memoryBytes() {
    // Of a container where one sets a limit; without one it is 0 or beyond all memory.
    const limit = process.constrainedMemory?.() ?? 0;
    return limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem();
  },
  heapBytes: () => process.memoryUsage().heapUsed,
  onInterrupt(stop) {
    const onInt = () => stop('SIGINT');
    const onTerm = () => stop('SIGTERM');
    process.on('SIGINT', onInt);
    process.on('SIGTERM', onTerm);
    return () => {
      process.off('SIGINT', onInt);
      process.off('SIGTERM', onTerm);
    };
  },
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  cores: os.availableParallelism(),
  worker: nodeWorker,
  workerPort: nodeWorkerPort,
};

/** Standard streams and exit of a Node process. */
export const nodeTerminal: HostTerminal = {
  args: process.argv.slice(2),
  isTerminal: process.stderr.isTTY === true,
  outIsTerminal: process.stdout.isTTY === true,
  columns: process.stderr.columns ?? 100,
  out: (text) => {
    process.stdout.write(text);
  },
  err: (text) => {
    process.stderr.write(text);
  },
  lines: () => createInterface({ input: process.stdin }),
  exit: (code) => process.exit(code),
};
