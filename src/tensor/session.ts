/**
 * Plans made real: a session allocates exactly the buffers its plans name (states once, one arena
 * for all programs, data and uniforms per program) and makes every pipeline and bind group ahead. After
 * that a run creates nothing: it writes step data, re-encodes a flat command list and submits once.
 */
import { invariant, ScionError } from '../base/errors.ts';
import { floatToHalf, fromHalfBits } from '../base/half.ts';
import type { GpuDevice, Pipeline } from '../gpu/device.ts';
import { resolveGrid, writeParams } from '../gpu/params.ts';
import type { Profiler } from '../gpu/profiler.ts';
import { type DeviceRange, type Exchange, mapMove } from './exchange.ts';
import type { StepScalars } from './op.ts';
import { type BufferRef, type Command, type Plan, UNIFORM_STRIDE } from './plan.ts';
import type { States } from './states.ts';
import { dtypeBytes, roundUp, sizeOf } from './types.ts';

/** GPUBufferUsage values; the global is absent in Node until Dawn is loaded. */
const USAGE = { mapRead: 1, copySrc: 4, copyDst: 8, uniform: 64, storage: 128 } as const;

/** Arrays for the data leaves of a program, by name. */
export type Feeds = Readonly<Record<string, Float32Array | Uint32Array | Int32Array>>;

/** Numbers by output name, converted to f32 where stored as f16. */
export type Results = Record<string, Float32Array | Uint32Array | Int32Array>;

/** Bytes by kind, as planned and as allocated. */
export interface MemoryUse {
  readonly states: Readonly<Record<string, number>>;
  readonly arena: number;
  readonly constants: number;
  readonly data: number;
  readonly uniforms: number;
  readonly staging: number;
  readonly total: number;
}

interface Launch {
  readonly command: Extract<Command, { kind: 'dispatch' }>;
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  readonly slot: number;
}

/**
 * What the plans of one session need together: states once, the largest arena, the rest summed. No device needed.
 * State buffers named in `shared` belong to another session and do not count.
 */
export function memoryOf(plans: readonly Plan[], shared: ReadonlySet<string> = new Set()): MemoryUse {
  const states: Record<string, number> = {};
  const seen = new Set<States>();
  for (const plan of plans) {
    if (!plan.states || seen.has(plan.states)) continue;
    seen.add(plan.states);
    for (const b of plan.states.buffers()) if (!shared.has(b.key)) states[b.kind] = (states[b.kind] ?? 0) + roundUp(b.bytes, 256);
  }
  const pages = Math.max(0, ...plans.map((p) => p.arena.length));
  let arena = 0;
  for (let i = 0; i < pages; i++) arena += Math.max(...plans.map((p) => p.arena[i] ?? 0));
  const constants = constantLayout(plans).bytes;
  const data = plans.reduce((sum, p) => sum + p.dataBytes, 0);
  const uniforms = plans.reduce((sum, p) => sum + p.uniformBytes, 0);
  const staging = plans.reduce((sum, p) => sum + p.stagingBytes, 0) + transferBytes([...seen]) + exchangeBytes(plans);
  const total = Object.values(states).reduce((a, b) => a + b, 0) + arena + constants + data + uniforms + staging;
  return { states, arena, constants, data, uniforms, staging, total };
}

/** Bytes of the buffer through which the collectives of a session leave the device. */
const exchangeBytes = (plans: readonly Plan[]): number => Math.max(0, ...plans.map((p) => p.exchangeBytes));

/** Constants of all plans, those of equal name and content stored once. */
function constantLayout(plans: readonly Plan[]): {
  bytes: number;
  offsets: Map<string, number>;
  contents: Map<string, Float32Array | Uint32Array | Int32Array>;
} {
  const offsets = new Map<string, number>();
  const contents = new Map<string, Float32Array | Uint32Array | Int32Array>();
  let bytes = 0;
  for (const plan of plans) {
    for (const c of plan.constants) {
      const known = contents.get(c.name);
      if (known) {
        invariant(known.length === c.contents.length && known.every((x, i) => Object.is(x, c.contents[i])), `constant ${c.name} has one content in a session`);
        continue;
      }
      offsets.set(c.name, bytes);
      contents.set(c.name, c.contents);
      bytes += roundUp(c.contents.byteLength, 256);
    }
  }
  return { bytes, offsets, contents };
}

/** A program: one plan, compiled. */
export class Program {
  readonly plan: Plan;
  private readonly session: Session;
  readonly device: GpuDevice;
  private readonly launches: (Launch | Exclude<Command, { kind: 'dispatch' }>)[] = [];
  private readonly uniforms: GPUBuffer | null;
  private readonly uniformBytes: ArrayBuffer;
  private readonly dynamic: Launch[] = [];
  private readonly dataBuffer: GPUBuffer | null;
  private readonly dataBytes: ArrayBuffer;
  private readonly staging: GPUBuffer | null;
  private reading = false;

  constructor(session: Session, plan: Plan) {
    this.session = session;
    this.device = session.device;
    this.plan = plan;
    const { device } = session;
    this.uniforms = plan.uniformBytes > 0 ? device.createBuffer(`${plan.name} uniforms`, plan.uniformBytes, USAGE.uniform | USAGE.copyDst) : null;
    this.dataBuffer = plan.dataBytes > 0 ? device.createBuffer(`${plan.name} data`, plan.dataBytes, USAGE.storage | USAGE.copyDst | USAGE.copySrc) : null;
    this.staging = plan.stagingBytes > 0 ? device.createBuffer(`${plan.name} staging`, plan.stagingBytes, USAGE.mapRead | USAGE.copyDst) : null;
    this.uniformBytes = new ArrayBuffer(plan.uniformBytes);
    this.dataBytes = new ArrayBuffer(plan.dataBytes);
    let slot = 0;
    const words = new DataView(this.uniformBytes);
    for (const command of plan.commands) {
      if (command.kind !== 'dispatch') {
        this.launches.push(command);
        continue;
      }
      const pipeline = device.pipeline(command.kernel, command.switches, command.constants, command.entry);
      const entries: GPUBindGroupEntry[] = pipeline.kernel.bindings.map((b) => ({
        binding: b.index,
        resource: b.name in command.bind ? this.resource(command.bind[b.name]) : session.besides(b.name),
      }));
      if (pipeline.kernel.params.length > 0) {
        invariant(this.uniforms, 'uniform buffer exists');
        entries.unshift({
          binding: 0,
          resource: { buffer: this.uniforms, offset: slot * UNIFORM_STRIDE, size: roundUp(pipeline.kernel.params.length * 4, 16) },
        });
      }
      const launch = { command, pipeline, group: device.bindGroup(pipeline, entries), slot };
      writeParams(words, slot * UNIFORM_STRIDE, pipeline.kernel.params, command.params, null);
      if (Object.values(command.params).some((p) => typeof p === 'function')) this.dynamic.push(launch);
      this.launches.push(launch);
      slot++;
    }
    if (this.uniforms) device.raw.queue.writeBuffer(this.uniforms, 0, this.uniformBytes);
  }

  private resource(ref: BufferRef): GPUBufferBinding {
    // Bindings are rounded up to whole vec4s; allocations are multiples of 256, so this stays inside.
    const size = roundUp(ref.bytes, 16);
    if (ref.buffer === 'data') {
      invariant(this.dataBuffer, 'data buffer exists');
      return { buffer: this.dataBuffer, offset: ref.offset, size };
    }
    const { buffer, offset } = this.session.locate(ref, this.plan);
    return { buffer, offset, size };
  }

  /** Puts feeds into the upload image; a missing or extra name, or a wrong length, is an error. */
  private fill(feeds: Feeds): void {
    for (const name of Object.keys(feeds)) {
      if (!this.plan.data.some((d) => d.name === name))
        throw new ScionError('internal', `${this.plan.name}: no data named "${name}"; it takes ${this.plan.data.map((d) => d.name).join(', ')}`);
    }
    for (const d of this.plan.data) {
      const array = feeds[d.name];
      const size = sizeOf(d.shape);
      if (!array || array.length !== size)
        throw new ScionError('internal', `${this.plan.name}: data "${d.name}" needs ${size} numbers, got ${array?.length ?? 'none'}`);
      if (d.dtype === 'f16') new Uint16Array(this.dataBytes, d.ref.offset, size).set(floatToHalf(array));
      else if (d.dtype === 'f32') new Float32Array(this.dataBytes, d.ref.offset, size).set(array);
      else if (d.dtype === 'u32') new Uint32Array(this.dataBytes, d.ref.offset, size).set(array);
      else new Int32Array(this.dataBytes, d.ref.offset, size).set(array);
    }
    if (this.dataBuffer) this.device.raw.queue.writeBuffer(this.dataBuffer, 0, this.dataBytes);
  }

  /** Uploads step data and the uniforms that depend on the step's scalars. */
  private upload(feeds: Feeds, scalars: StepScalars): void {
    this.device.check();
    invariant(!this.reading, `${this.plan.name} runs while its outputs are being read`);
    this.fill(feeds);
    if (this.dynamic.length === 0 || !this.uniforms) return;
    const words = new DataView(this.uniformBytes);
    for (const { command, pipeline, slot } of this.dynamic) writeParams(words, slot * UNIFORM_STRIDE, pipeline.kernel.params, command.params, scalars);
    const from = this.dynamic[0].slot * UNIFORM_STRIDE;
    const to = (this.dynamic[this.dynamic.length - 1].slot + 1) * UNIFORM_STRIDE;
    this.device.raw.queue.writeBuffer(this.uniforms, from, this.uniformBytes, from, to - from);
  }

  /** Uploads step data, encodes and submits once. Gives back nothing; use `read` for outputs. A profiler gets a pass for each launch. */
  run(feeds: Feeds = {}, scalars: StepScalars = {}, profiler?: Profiler): void {
    this.upload(feeds, scalars);
    const encoding = new Encoding(this, scalars, profiler);
    for (const launch of this.launches) {
      if ('kind' in launch && launch.kind !== 'clear') throw new ScionError('internal', `${this.plan.name} takes part in collectives: it needs runWith`);
      encoding.add(launch);
    }
    this.device.submit([this.finish(encoding)]);
  }

  /**
   * As `run` for a program with collectives: submits up to each, and goes on with what stands behind it while it is carried out.
   * Resolves once everything is submitted.
   */
  async runWith(exchange: Exchange, feeds: Feeds = {}, scalars: StepScalars = {}): Promise<void> {
    this.upload(feeds, scalars);
    const flying = new Map<number, Promise<void>>();
    let encoding = new Encoding(this, scalars);
    const flush = (): void => {
      if (encoding.empty) return;
      this.device.submit([encoding.end().finish()]);
      encoding = new Encoding(this, scalars);
    };
    for (const launch of this.launches) {
      if (!('kind' in launch) || launch.kind === 'clear') encoding.add(launch);
      else if (launch.kind === 'exchange') {
        flush();
        const flight = exchange.run(mapMove(launch.move, (ref): DeviceRange => ({ ...this.locate(ref), bytes: ref.bytes })));
        // It is awaited below; until then its failure is no unhandled one.
        flight.catch(() => undefined);
        flying.set(launch.id, flight);
      } else {
        // What was encoded since the collective began works beside it.
        flush();
        await flying.get(launch.id);
      }
    }
    this.device.submit([this.finish(encoding)]);
  }

  /** Submits the launches of one kernel alone, as the last run left their data, `times` over in a single pass: for timing it. */
  repeat(kernel: string, times: number, scalars: StepScalars = {}, profiler?: Profiler): void {
    this.device.check();
    const encoder = this.device.raw.createCommandEncoder({ label: `${this.plan.name} ${kernel}` });
    const pass = encoder.beginComputePass(profiler ? { timestampWrites: profiler.next() } : undefined);
    for (let i = 0; i < times; i++) {
      for (const launch of this.launches) {
        if ('kind' in launch || launch.command.kernel !== kernel) continue;
        pass.setPipeline(launch.pipeline.pipeline);
        pass.setBindGroup(0, launch.group);
        pass.dispatchWorkgroups(...resolveGrid(launch.command.grid, scalars));
      }
    }
    pass.end();
    profiler?.resolve(encoder);
    this.device.submit([encoder.finish()]);
  }

  /** Buffer and offset of a reference. */
  locate(ref: BufferRef): { buffer: GPUBuffer; offset: number } {
    return ref.buffer === 'data' ? { buffer: this.dataBuffer as GPUBuffer, offset: ref.offset } : this.session.locate(ref, this.plan);
  }

  /** Ends the encoding with the copies of the outputs. */
  private finish(encoding: Encoding): GPUCommandBuffer {
    const encoder = encoding.end();
    let at = 0;
    for (const output of this.plan.outputs) {
      invariant(this.staging, 'staging exists');
      const { buffer, offset } = this.locate(output.ref);
      encoder.copyBufferToBuffer(buffer, offset, this.staging, at, roundUp(output.ref.bytes, 4));
      at += roundUp(output.ref.bytes, 8);
    }
    return encoder.finish();
  }

  /** Waits for the last run and reads its outputs, or one of them alone. */
  async read(only?: string): Promise<Results> {
    if (!this.staging) return {};
    this.reading = true;
    try {
      const wanted: { output: Plan['outputs'][number]; at: number }[] = [];
      let end = 0;
      for (const output of this.plan.outputs) {
        if (only === undefined || only === output.name) wanted.push({ output, at: end });
        end += roundUp(output.ref.bytes, 8);
      }
      invariant(wanted.length > 0, `${this.plan.name} has an output ${only}`);
      const from = wanted[0].at;
      const last = wanted[wanted.length - 1];
      const length = last.at + roundUp(last.output.ref.bytes, 8) - from;
      await this.device.guard(this.staging.mapAsync(1, from, length), `reading the outputs of ${this.plan.name}`);
      const mapped = this.staging.getMappedRange(from, length);
      const results: Results = {};
      for (const { output, at } of wanted) results[output.name] = decode(mapped, at - from, output.dtype, sizeOf(output.shape));
      this.staging.unmap();
      return results;
    } finally {
      this.reading = false;
    }
  }

  destroy(): void {
    for (const buffer of [this.uniforms, this.dataBuffer, this.staging]) if (buffer) this.device.destroyBuffer(buffer);
  }
}

/** Commands on their way into one submit, in as few passes as they allow. */
class Encoding {
  empty = true;
  private readonly program: Program;
  private readonly scalars: StepScalars;
  private readonly profiler: Profiler | undefined;
  private readonly encoder: GPUCommandEncoder;
  private pass: GPUComputePassEncoder | null = null;
  private bound: GPUComputePipeline | null = null;

  constructor(program: Program, scalars: StepScalars, profiler?: Profiler) {
    this.program = program;
    this.scalars = scalars;
    this.profiler = profiler;
    this.encoder = program.device.raw.createCommandEncoder({ label: program.plan.name });
  }

  add(launch: Launch | Extract<Command, { kind: 'clear' }>): void {
    this.empty = false;
    if ('kind' in launch) {
      this.endPass();
      const { buffer, offset } = this.program.locate(launch.ref);
      this.encoder.clearBuffer(buffer, offset, roundUp(launch.ref.bytes, 4));
      return;
    }
    if (this.profiler) this.endPass();
    if (!this.pass) {
      this.pass = this.encoder.beginComputePass(this.profiler ? { timestampWrites: this.profiler.next() } : undefined);
      this.bound = null;
    }
    if (this.bound !== launch.pipeline.pipeline) {
      this.bound = launch.pipeline.pipeline;
      this.pass.setPipeline(this.bound);
    }
    this.pass.setBindGroup(0, launch.group);
    const [x, y, z] = resolveGrid(launch.command.grid, this.scalars);
    this.pass.dispatchWorkgroups(x, y, z);
    this.program.device.created.dispatches++;
  }

  private endPass(): void {
    this.pass?.end();
    this.pass = null;
  }

  /** The encoder, with no pass open. */
  end(): GPUCommandEncoder {
    this.endPass();
    this.profiler?.resolve(this.encoder);
    return this.encoder;
  }
}

function decode(mapped: ArrayBuffer, at: number, dtype: string, size: number): Float32Array | Uint32Array | Int32Array {
  if (dtype === 'f16') {
    const bits = new Uint16Array(mapped, at, size);
    const out = new Float32Array(size);
    for (let i = 0; i < size; i++) out[i] = fromHalfBits(bits[i]);
    return out;
  }
  if (dtype === 'f32') return new Float32Array(mapped, at, size).slice();
  return dtype === 'u32' ? new Uint32Array(mapped, at, size).slice() : new Int32Array(mapped, at, size).slice();
}

/** Most bytes of the buffer through which states are read. */
const TRANSFER_BYTES = 4 << 20;

/** Bytes of the transfer buffer: enough for the largest state buffer, up to the most; none without states. */
function transferBytes(states: readonly (States | null)[]): number {
  const sizes = states.flatMap((s) => s?.buffers() ?? []).map((b) => roundUp(b.bytes, 256));
  return Math.min(TRANSFER_BYTES, Math.max(0, ...sizes));
}

/** Programs, states and memory on one device. */
export class Session {
  readonly device: GpuDevice;
  readonly programs: Readonly<Record<string, Program>>;
  readonly memory: MemoryUse;
  readonly states: States | null;
  private readonly stateBuffers = new Map<string, GPUBuffer>();
  /** State buffers that belong to another session. */
  readonly shared: ReadonlySet<string>;
  private readonly pages: GPUBuffer[] = [];
  private readonly constants: GPUBuffer | null;
  private readonly constantOffsets: Map<string, number>;
  private readonly beside: Readonly<Record<string, GPUBuffer>>;
  private readonly transfer: GPUBuffer | null;
  /** Where collectives leave the device, in sessions that have any. */
  readonly exchangeStaging: GPUBuffer | null;

  /**
   * Allocates for all plans. `share` takes over, without a copy, those state buffers of another session on the same
   * device that hold the same states at the same places (a training session's parameters, for generation); the
   * rest is this session's own. The other session must outlive this one. `beside`: buffers for storage bindings of kernels
   * that no plan knows of, by name (the playground's loop guard).
   */
  constructor(
    device: GpuDevice,
    plans: Readonly<Record<string, Plan>>,
    options: { share?: Session; states?: States; beside?: Readonly<Record<string, GPUBuffer>> } = {},
  ) {
    this.device = device;
    this.beside = options.beside ?? {};
    const list = Object.values(plans);
    this.states = options.states ?? list.find((p) => p.states)?.states ?? null;
    for (const p of list) invariant(!p.states || p.states === this.states, 'all programs of a session share one set of states');
    const taken = new Set<string>();
    for (const b of this.states?.buffers() ?? []) {
      // A rank may hold nothing of a small buffer.
      if (b.bytes === 0) continue;
      const shared = options.share?.stateBuffers.get(b.key);
      if (shared) taken.add(b.key);
      this.stateBuffers.set(b.key, shared ?? device.createBuffer(`state ${b.key}`, roundUp(b.bytes, 256), USAGE.storage | USAGE.copySrc | USAGE.copyDst));
    }
    this.shared = taken;
    for (const spec of taken.size > 0 ? (this.states?.all() ?? []) : []) {
      const place = this.states?.place(spec.name);
      if (!place || !taken.has(place.buffer)) continue;
      const theirs = options.share?.states?.get(spec.name) ? options.share.states.place(spec.name) : null;
      invariant(
        theirs?.buffer === place.buffer && theirs.offset === place.offset && theirs.bytes === place.bytes,
        `shared state ${spec.name} lies at one place in both sessions`,
      );
    }
    const pageCount = Math.max(0, ...list.map((p) => p.arena.length));
    for (let i = 0; i < pageCount; i++) {
      const size = Math.max(...list.map((p) => p.arena[i] ?? 0));
      this.pages.push(device.createBuffer(`arena ${i}`, size, USAGE.storage | USAGE.copySrc | USAGE.copyDst));
    }
    const layout = constantLayout(list);
    this.constantOffsets = layout.offsets;
    this.constants = layout.bytes > 0 ? device.createBuffer('constants', layout.bytes, USAGE.storage | USAGE.copyDst | USAGE.copySrc) : null;
    for (const [name, contents] of layout.contents) {
      if (this.constants)
        device.raw.queue.writeBuffer(this.constants, layout.offsets.get(name) ?? 0, contents.buffer as ArrayBuffer, contents.byteOffset, contents.byteLength);
    }
    const transfer = transferBytes([this.states]);
    this.transfer = transfer > 0 ? device.createBuffer('transfer', transfer, USAGE.mapRead | USAGE.copyDst) : null;
    const exchange = exchangeBytes(list);
    this.exchangeStaging = exchange > 0 ? device.createBuffer('exchange', exchange, USAGE.mapRead | USAGE.copyDst) : null;
    this.memory = memoryOf(list, taken);
    this.programs = Object.fromEntries(Object.entries(plans).map(([name, plan]) => [name, new Program(this, plan)]));
  }

  /** The buffer of a binding that no plan knows of. @throws ScionError where the kernel's text asks for one that nobody gave. */
  besides(name: string): GPUBufferBinding {
    const buffer = this.beside[name];
    if (!buffer) throw new ScionError('internal', `a kernel binds "${name}", which the op that launches it does not have`);
    return { buffer };
  }

  /** Buffer and offset of a plan's reference, other than its data. */
  locate(ref: BufferRef, plan: Plan): { buffer: GPUBuffer; offset: number } {
    if (ref.buffer.startsWith('arena/')) return { buffer: this.pages[Number(ref.buffer.slice(6))], offset: ref.offset };
    if (ref.buffer === 'constants') {
      const slot = plan.constants.find((c) => c.ref.offset === ref.offset);
      invariant(this.constants && slot, 'constant is laid out');
      return { buffer: this.constants, offset: this.constantOffsets.get(slot.name) ?? 0 };
    }
    const buffer = this.stateBuffers.get(ref.buffer);
    invariant(buffer, `state buffer ${ref.buffer} exists`);
    return { buffer, offset: ref.offset };
  }

  /** Writes a whole state from f32/u32/i32 numbers (converted for f16 states). */
  writeState(name: string, values: ArrayLike<number>): void {
    invariant(this.states, 'session has states');
    const spec = this.states.get(name);
    if (!spec || values.length !== sizeOf(spec.shape)) {
      throw new ScionError('internal', `state "${name}" ${spec ? `holds ${sizeOf(spec.shape)} numbers` : 'is unknown'}, got ${values.length}`);
    }
    const place = this.states.place(name);
    let bytes: Uint8Array<ArrayBuffer>;
    if (spec.dtype === 'f16') bytes = new Uint8Array(floatToHalf(values).buffer);
    else if (spec.dtype === 'f32') bytes = new Uint8Array(Float32Array.from(values).buffer);
    else if (spec.dtype === 'u32') bytes = new Uint8Array(Uint32Array.from(values).buffer);
    else bytes = new Uint8Array(Int32Array.from(values).buffer);
    this.writeBytes(place.buffer, place.offset, bytes);
  }

  /**
   * Writes raw bytes into a state buffer, at an offset of its whole layout; length is rounded up to a word with zeros. Of a
   * sharded buffer only what lies on this rank is written.
   */
  writeBytes(key: string, offset: number, bytes: Uint8Array): void {
    const spec = this.states?.buffer(key);
    if (spec?.sharded) {
      const first = spec.from * dtypeBytes(spec.dtype);
      const from = Math.max(offset, first);
      const to = Math.min(offset + bytes.length, first + spec.bytes);
      if (from < to) this.writeHeld(key, from - first, bytes.subarray(from - offset, to - offset));
      return;
    }
    this.writeHeld(key, offset, bytes);
  }

  private writeHeld(key: string, offset: number, bytes: Uint8Array): void {
    const buffer = this.stateBuffers.get(key);
    invariant(buffer, `state buffer ${key} exists`);
    let whole = bytes;
    if (bytes.length % 4 !== 0) {
      whole = new Uint8Array(roundUp(bytes.length, 4));
      whole.set(bytes);
    }
    this.device.raw.queue.writeBuffer(buffer, offset, whole.buffer as ArrayBuffer, whole.byteOffset, whole.byteLength);
  }

  /** Reads raw bytes of a state buffer, at an offset of its whole layout, through the transfer buffer, in pieces. They must lie on this rank. */
  async readBytes(key: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const buffer = this.stateBuffers.get(key);
    const spec = this.states?.buffer(key);
    const first = spec?.sharded ? spec.from * dtypeBytes(spec.dtype) : 0;
    invariant(!spec?.sharded || (offset >= first && offset + length <= first + spec.bytes), `bytes ${offset} to ${offset + length} of ${key} are on this rank`);
    const out = new Uint8Array(length);
    if (length === 0) return out;
    invariant(buffer, `state buffer ${key} exists`);
    invariant(this.transfer, 'a session with states has a transfer buffer');
    const step = this.transfer.size;
    for (let at = 0; at < length; at += step) {
      const n = Math.min(step, length - at);
      const encoder = this.device.raw.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, offset - first + at, this.transfer, 0, roundUp(n, 4));
      this.device.submit([encoder.finish()]);
      await this.device.guard(this.transfer.mapAsync(1, 0, roundUp(n, 4)), `reading state ${key}`);
      out.set(new Uint8Array(this.transfer.getMappedRange(0, roundUp(n, 4)), 0, n), at);
      this.transfer.unmap();
    }
    return out;
  }

  /** Reads a whole state as numbers. */
  async readState(name: string): Promise<Float32Array | Uint32Array | Int32Array> {
    const spec = this.states?.get(name);
    if (!spec || !this.states) throw new ScionError('internal', `state "${name}" is unknown`);
    const place = this.states.place(name);
    const size = sizeOf(spec.shape);
    const bytes = await this.readBytes(place.buffer, place.offset, roundUp(size * dtypeBytes(spec.dtype), 4));
    return decode(bytes.buffer, 0, spec.dtype, size);
  }

  /** Zeroes every state of a kind. */
  clearKind(kind: string): void {
    const encoder = this.device.raw.createCommandEncoder();
    for (const b of this.states?.buffers() ?? []) {
      const buffer = this.stateBuffers.get(b.key);
      if (b.kind === kind && buffer) encoder.clearBuffer(buffer);
    }
    this.device.submit([encoder.finish()]);
  }

  /** Frees every buffer of the session; shared states stay with their owner. */
  destroy(): void {
    for (const p of Object.values(this.programs)) p.destroy();
    for (const page of this.pages) this.device.destroyBuffer(page);
    if (this.constants) this.device.destroyBuffer(this.constants);
    if (this.transfer) this.device.destroyBuffer(this.transfer);
    if (this.exchangeStaging) this.device.destroyBuffer(this.exchangeStaging);
    for (const [key, b] of this.stateBuffers) if (!this.shared.has(key)) this.device.destroyBuffer(b);
  }
}
