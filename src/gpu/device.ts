/**
 * One open GPU device: all features and limits requested, uncaptured errors and loss made fatal,
 * pipelines cached, buffers counted. WebGPU drops a bad submit silently and a destroyed device
 * swallows work without a word, so `check()` is called every step and every await is guarded.
 */
import { ScionError } from '../base/errors.ts';
import { host } from '../host/index.ts';
import type { GpuOptions } from '../host/types.ts';
import { type ExpandedKernel, expandKernel, type SourceOf, type Switches } from './expand.ts';
import type { DeviceFacts, DeviceLimits, Profile } from './facts.ts';

const LIMIT_NAMES = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
] as const satisfies readonly (keyof DeviceLimits)[];

/** Seconds before an await on the GPU counts as hung. CPU drivers may compile for minutes in one submit. */
const GPU_TIMEOUT_S = 600;

/** How a device is opened. */
export interface DeviceOptions extends GpuOptions {
  /** Forces a kernel profile; by default `generic` on CPU adapters, `specialised` elsewhere. */
  readonly profile?: Profile;
  /** Forces kernel variants by op (`DeviceFacts.choices`): what a tuner found, or what a checkpoint was made with. */
  readonly choices?: Readonly<Record<string, string>>;
  /** Smaller limits than the device has, for tests of row windows. Larger values are ignored. */
  readonly limits?: Partial<DeviceLimits>;
  /** Features to leave off even where offered (tests of the portable kernels). */
  readonly without?: readonly string[];
  /** Kernel texts that stand in for the built-in ones (the playground). */
  readonly sourceOf?: SourceOf;
}

/** A compiled compute pipeline with the layout its bind groups need. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly kernel: ExpandedKernel;
}

/** Reads the facts of an adapter. `isFallbackAdapter` is true for lavapipe and SwiftShader. */
function factsOf(adapter: GPUAdapter, device: GPUDevice, options: DeviceOptions): DeviceFacts {
  const info = adapter.info as GPUAdapterInfo & { isFallbackAdapter?: boolean; subgroupMinSize?: number; subgroupMaxSize?: number };
  const fallback = info.isFallbackAdapter === true || /llvmpipe|lavapipe|swiftshader/i.test(`${info.device} ${info.description} ${info.architecture}`);
  const limits = Object.fromEntries(
    LIMIT_NAMES.map((name) => [name, Math.min(Number(device.limits[name]), options.limits?.[name] ?? Number.POSITIVE_INFINITY)]),
  ) as unknown as DeviceLimits;
  const features = [...device.features].sort();
  return {
    // wgpu (Deno) gives the PCI number of the device, which tells a reader nothing.
    name: (/^\d+$/.test(info.device) ? '' : info.device) || info.description || info.architecture || info.device || 'unnamed',
    vendor: info.vendor,
    architecture: info.architecture,
    description: info.description,
    fallback,
    features,
    limits,
    subgroups: device.features.has('subgroups' as GPUFeatureName) ? { min: info.subgroupMinSize ?? 4, max: info.subgroupMaxSize ?? 128 } : null,
    profile: options.profile ?? (fallback ? 'generic' : 'specialised'),
    choices: { ...options.choices },
  };
}

async function requestDevice(adapter: GPUAdapter, without: readonly string[]): Promise<GPUDevice> {
  // A feature that builds on subgroups (a fixed width, matrices) would bring them back in.
  const left = (f: string): boolean => without.includes(f) || (without.includes('subgroups') && f.includes('subgroup'));
  const features = [...adapter.features].filter((f) => !left(f)) as GPUFeatureName[];
  const limits: Record<string, number> = {};
  // Only what lowering looks at: a limit at its type's maximum is refused by some implementations.
  for (const name of [...LIMIT_NAMES, 'maxComputeWorkgroupSizeY', 'maxComputeWorkgroupSizeZ'] as const) limits[name] = Number(adapter.limits[name]);
  // Timestamps and subgroups are wanted; a feature that requestDevice refuses is dropped with all experimental ones.
  const plain = features.filter((f) => ['shader-f16', 'subgroups', 'timestamp-query'].includes(f));
  try {
    return await adapter.requestDevice({ requiredFeatures: features, requiredLimits: limits });
  } catch {
    return await adapter.requestDevice({ requiredFeatures: plain, requiredLimits: limits });
  }
}

/** An open device. Not shared between threads; several may be open in one process. */
export class GpuDevice {
  readonly raw: GPUDevice;
  readonly facts: DeviceFacts;
  /** Live buffer bytes made through this object. */
  liveBytes = 0;
  /** The most there ever were at once. */
  peakBytes = 0;
  liveBuffers = 0;
  /** Objects created since opening; a steady step adds none. */
  readonly created = { buffers: 0, bindGroups: 0, pipelines: 0, submits: 0, dispatches: 0 };
  private readonly pipelines = new Map<string, Pipeline>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();
  private readonly sizes = new Map<GPUBuffer, number>();
  private readonly sourceOf: SourceOf | undefined;
  private readonly errors: string[] = [];
  private lossReason: string | null = null;

  private constructor(raw: GPUDevice, facts: DeviceFacts, sourceOf: SourceOf | undefined) {
    this.raw = raw;
    this.facts = facts;
    this.sourceOf = sourceOf;
    void raw.lost.then((info) => {
      this.lossReason = `${info.reason}: ${info.message}`;
    });
    raw.onuncapturederror = (event) => {
      event.preventDefault?.();
      this.errors.push(event.error.message);
    };
  }

  /**
   * Opens an adapter with everything it offers.
   * @throws ScionError kind `device` if there is no adapter; its message says how to get one.
   */
  static async open(options: DeviceOptions = {}): Promise<GpuDevice> {
    const machine = await host();
    const gpu = await machine.gpu(options);
    let adapter: GPUAdapter | null = null;
    try {
      adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    } catch (error) {
      throw new ScionError('device', `no WebGPU adapter ${options.adapter ? `named "${options.adapter}" ` : ''}here: ${String(error)}`, {}, error);
    }
    if (!adapter) {
      const advice =
        machine.kind === 'browser'
          ? 'this browser knows WebGPU but finds no adapter; turn on hardware acceleration in its settings, or update the graphics driver'
          : `no WebGPU adapter on ${machine.version}; on Linux install a Vulkan driver (a GPU's own, or the CPU one: apt-get install mesa-vulkan-drivers libvulkan1), then run: scion doctor`;
      throw new ScionError('device', advice);
    }
    const raw = await requestDevice(adapter, options.without ?? []);
    return new GpuDevice(raw, factsOf(adapter, raw, options), options.sourceOf);
  }

  /** True once the device is gone. */
  get lost(): boolean {
    return this.lossReason !== null;
  }

  /** Throws if the device is lost (`lost`) or an error went uncaught (`device`). Called every step. */
  check(): void {
    if (this.lossReason !== null) throw new ScionError('lost', `the GPU device is gone (${this.lossReason}); reopen it and resume from the last state`);
    if (this.errors.length > 0) {
      const [first] = this.errors;
      throw new ScionError('device', `WebGPU refused work: ${first}`, { errors: this.errors.splice(0) });
    }
  }

  /** Waits for a GPU promise; a loss or `GPU_TIMEOUT_S` without an answer is an error, never a hang. */
  async guard<T>(promise: Promise<T>, doing: string): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new ScionError('lost', `the GPU did not answer within ${GPU_TIMEOUT_S} s while ${doing}`)), GPU_TIMEOUT_S * 1000);
    });
    const lost = this.raw.lost.then((info) => {
      throw new ScionError('lost', `the GPU device was lost while ${doing} (${info.reason}: ${info.message})`);
    });
    try {
      const value = await Promise.race([promise, timeout, lost]);
      this.check();
      return value;
    } catch (error) {
      if (error instanceof ScionError) throw error;
      this.check();
      throw new ScionError('device', `the GPU failed while ${doing}: ${String(error)}`, {}, error);
    } finally {
      clearTimeout(timer);
      lost.catch(() => {});
    }
  }

  /** A buffer, counted until `destroyBuffer`. Size in bytes, a multiple of 4. */
  createBuffer(label: string, size: number, usage: number): GPUBuffer {
    if (size > this.facts.limits.maxBufferSize) {
      throw new ScionError(
        'memory',
        `buffer "${label}" needs ${size} bytes, this device allows ${this.facts.limits.maxBufferSize}; use a smaller batch or model`,
      );
    }
    const buffer = this.raw.createBuffer({ label, size, usage });
    this.created.buffers++;
    this.liveBuffers++;
    this.liveBytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes);
    this.sizes.set(buffer, size);
    return buffer;
  }

  destroyBuffer(buffer: GPUBuffer): void {
    const size = this.sizes.get(buffer);
    if (size === undefined) return;
    this.sizes.delete(buffer);
    this.liveBuffers--;
    this.liveBytes -= size;
    buffer.destroy();
  }

  /** Bind group layout of a kernel: uniform at 0 if it has Params, storage at its binding numbers. */
  private layoutOf(kernel: ExpandedKernel): GPUBindGroupLayout {
    const uniform = kernel.params.length > 0;
    const key = `${uniform ? 'u' : ''}${kernel.bindings.map((b) => b.index).join(',')}`;
    const known = this.layouts.get(key);
    if (known) return known;
    const entries: GPUBindGroupLayoutEntry[] = kernel.bindings.map((b) => ({ binding: b.index, visibility: 4, buffer: { type: 'storage' } }));
    if (uniform) entries.unshift({ binding: 0, visibility: 4, buffer: { type: 'uniform' } });
    const layout = this.raw.createBindGroupLayout({ label: key, entries });
    this.layouts.set(key, layout);
    return layout;
  }

  /** Expands a kernel, with the playground's texts if there are any. */
  expand(name: string, switches: Switches = {}): ExpandedKernel {
    return expandKernel(name, switches, this.sourceOf);
  }

  /** The pipeline of a kernel under switches and constants; made once. Compile errors are thrown by `compiled`. */
  pipeline(name: string, switches: Switches = {}, constants: Readonly<Record<string, number>> = {}, entry = 'main'): Pipeline {
    const key = pipelineKey(name, switches, constants, entry);
    const known = this.pipelines.get(key);
    if (known) return known;
    const kernel = this.expand(name, switches);
    const module = this.raw.createShaderModule({ label: name, code: kernel.code });
    void module.getCompilationInfo().then(
      (info) => {
        for (const m of info.messages) {
          if (m.type !== 'error') continue;
          const at = kernel.lines[m.lineNum - 1];
          this.errors.push(`${at ? `${at.file}:${at.line}` : name}: ${m.message}`);
        }
      },
      () => {},
    );
    const layout = this.layoutOf(kernel);
    const pipeline = this.raw.createComputePipeline({
      label: key,
      layout: this.raw.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: entry, constants: { ...constants } },
    });
    const made = { pipeline, layout, kernel };
    this.pipelines.set(key, made);
    this.created.pipelines++;
    return made;
  }

  bindGroup(pipeline: Pipeline, entries: GPUBindGroupEntry[]): GPUBindGroup {
    this.created.bindGroups++;
    return this.raw.createBindGroup({ layout: pipeline.layout, entries });
  }

  submit(commands: GPUCommandBuffer[]): void {
    this.created.submits++;
    this.raw.queue.submit(commands);
  }

  /** Waits until all submitted work is done. */
  async idle(): Promise<void> {
    await this.guard(this.raw.queue.onSubmittedWorkDone(), 'finishing submitted work');
  }

  /** Destroys the device; everything on it is gone. */
  destroy(): void {
    this.raw.destroy();
  }
}

/** A stable name for a pipeline: kernel, entry, sorted switches and constants. */
export function pipelineKey(name: string, switches: Switches, constants: Readonly<Record<string, number>>, entry: string): string {
  const sorted = (o: Readonly<Record<string, unknown>>) =>
    Object.keys(o)
      .sort()
      .filter((k) => o[k] !== false)
      .map((k) => `${k}=${String(o[k])}`)
      .join(',');
  return `${name}#${entry}[${sorted(switches)}](${sorted(constants)})`;
}
