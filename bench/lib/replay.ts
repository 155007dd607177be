/**
 * A plan's commands made ready to be encoded many times into one submit, so that what is timed is the
 * device and not the way to it. Smaller than a Session: nothing is read back but on request, states are not held.
 */
import { invariant } from '../../src/base/errors.ts';
import { floatToHalf } from '../../src/base/half.ts';
import type { GpuDevice } from '../../src/gpu/device.ts';
import { resolveGrid, writeParams } from '../../src/gpu/params.ts';
import type { StepScalars } from '../../src/tensor/op.ts';
import { type BufferRef, type Plan, UNIFORM_STRIDE } from '../../src/tensor/plan.ts';
import type { Feeds } from '../../src/tensor/session.ts';
import { roundUp } from '../../src/tensor/types.ts';

/** GPUBufferUsage: storage, copyDst, copySrc; uniform, copyDst. */
const STORAGE = 128 | 8 | 4;
const UNIFORM = 64 | 8;

/** A plan on a device, its data uploaded once. */
export class Replay {
  readonly plan: Plan;
  private readonly device: GpuDevice;
  private readonly buffers = new Map<string, GPUBuffer>();
  private readonly steps: (
    | { pipeline: GPUComputePipeline; group: GPUBindGroup; grid: readonly [number, number, number] }
    | { clear: GPUBuffer; offset: number; bytes: number }
  )[] = [];

  constructor(device: GpuDevice, plan: Plan, feeds: Feeds, scalars: StepScalars = {}) {
    this.device = device;
    this.plan = plan;
    const make = (key: string, bytes: number, usage: number) =>
      this.buffers.set(key, device.createBuffer(`bench ${key}`, roundUp(Math.max(bytes, 256), 256), usage));
    plan.arena.forEach((bytes, i) => {
      make(`arena/${i}`, bytes, STORAGE);
    });
    make('data', plan.dataBytes, STORAGE);
    make(
      'constants',
      plan.constants.reduce((sum, c) => Math.max(sum, c.ref.offset + c.ref.bytes), 0),
      STORAGE,
    );
    make('uniforms', plan.uniformBytes, UNIFORM);
    const write = (ref: BufferRef, bytes: Uint8Array) => {
      const whole = new Uint8Array(roundUp(bytes.length, 4));
      whole.set(bytes);
      device.raw.queue.writeBuffer(this.buffer(ref), ref.offset, whole);
    };
    const bytesOf = (a: ArrayBufferView) => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
    for (const d of plan.data) write(d.ref, bytesOf(d.dtype === 'f16' ? floatToHalf(feeds[d.name]) : feeds[d.name]));
    for (const c of plan.constants) write(c.ref, bytesOf(c.contents));
    const uniforms = new DataView(new ArrayBuffer(Math.max(plan.uniformBytes, UNIFORM_STRIDE)));
    const uniformBuffer = this.buffers.get('uniforms');
    invariant(uniformBuffer, 'uniforms exist');
    let slot = 0;
    for (const command of plan.commands) {
      if (command.kind === 'clear') {
        this.steps.push({ clear: this.buffer(command.ref), offset: command.ref.offset, bytes: roundUp(command.ref.bytes, 4) });
        continue;
      }
      invariant(command.kind === 'dispatch', 'bench rows take part in no collective');
      const pipeline = device.pipeline(command.kernel, command.switches, command.constants, command.entry);
      const entries: GPUBindGroupEntry[] = pipeline.kernel.bindings.map((b) => {
        const ref = command.bind[b.name];
        return { binding: b.index, resource: { buffer: this.buffer(ref), offset: ref.offset, size: roundUp(ref.bytes, 16) } };
      });
      const { params } = pipeline.kernel;
      if (params.length > 0) {
        entries.unshift({ binding: 0, resource: { buffer: uniformBuffer, offset: slot * UNIFORM_STRIDE, size: roundUp(params.length * 4, 16) } });
        writeParams(uniforms, slot * UNIFORM_STRIDE, params, command.params, scalars);
      }
      this.steps.push({ pipeline: pipeline.pipeline, group: device.bindGroup(pipeline, entries), grid: resolveGrid(command.grid, scalars) });
      slot++;
    }
    device.raw.queue.writeBuffer(uniformBuffer, 0, uniforms.buffer as ArrayBuffer);
  }

  private buffer(ref: BufferRef): GPUBuffer {
    const buffer = this.buffers.get(ref.buffer);
    invariant(buffer, `buffer ${ref.buffer} is no state: bench rows feed data`);
    return buffer;
  }

  /** Submits the commands `times` over and gives a promise of their end. */
  submit(times: number): Promise<void> {
    this.device.check();
    const encoder = this.device.raw.createCommandEncoder();
    let pass: GPUComputePassEncoder | null = null;
    for (let i = 0; i < times; i++) {
      for (const step of this.steps) {
        if ('clear' in step) {
          pass?.end();
          pass = null;
          encoder.clearBuffer(step.clear, step.offset, step.bytes);
          continue;
        }
        pass ??= encoder.beginComputePass();
        pass.setPipeline(step.pipeline);
        pass.setBindGroup(0, step.group);
        pass.dispatchWorkgroups(...step.grid);
      }
    }
    pass?.end();
    this.device.submit([encoder.finish()]);
    return this.device.idle();
  }

  destroy(): void {
    for (const buffer of this.buffers.values()) this.device.destroyBuffer(buffer);
  }
}
