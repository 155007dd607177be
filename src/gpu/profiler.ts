/**
 * Device times of single launches by timestamp queries: each launch gets a pass of its own while
 * profiling, so a profiled step is slower than a real one and is taken for one step at a time (long use of
 * query sets has deadlocked drivers).
 */
import { ScionError } from '../base/errors.ts';
import type { GpuDevice } from './device.ts';

/** Most launches of one profiled submit: a query set holds 4,096 timestamps. */
const MOST = 2048;

/** Begin and end of a launch in nanoseconds of the device's clock. */
export interface LaunchTime {
  readonly begin: number;
  readonly end: number;
}

/** Timestamps of one submit. */
export class Profiler {
  private readonly device: GpuDevice;
  private readonly set: GPUQuerySet;
  private readonly resolved: GPUBuffer;
  private readonly readable: GPUBuffer;
  private used = 0;

  /** @throws ScionError `device` where there are no timestamp queries. */
  constructor(device: GpuDevice) {
    if (!device.facts.features.includes('timestamp-query')) {
      throw new ScionError(
        'device',
        `${device.facts.name} offers no timestamp queries here; profile on another device or runtime (scion doctor lists features)`,
      );
    }
    this.device = device;
    this.set = device.raw.createQuerySet({ type: 'timestamp', count: 2 * MOST });
    this.resolved = device.createBuffer('profile resolve', 16 * MOST, 0x200 | 4);
    this.readable = device.createBuffer('profile read', 16 * MOST, 1 | 8);
  }

  /** Forgets earlier launches. */
  start(): void {
    this.used = 0;
  }

  /** What the next launch's pass takes as `timestampWrites`. */
  next(): GPUComputePassTimestampWrites {
    if (this.used === MOST) throw new ScionError('device', `one submit has more than ${MOST} launches; profile a smaller program`);
    const at = 2 * this.used++;
    return { querySet: this.set, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  /** Adds the copy out of the query set; call before `finish`. */
  resolve(encoder: GPUCommandEncoder): void {
    encoder.resolveQuerySet(this.set, 0, 2 * this.used, this.resolved, 0);
    encoder.copyBufferToBuffer(this.resolved, 0, this.readable, 0, 16 * this.used);
  }

  /** The times of the last submit, in launch order. */
  async read(): Promise<LaunchTime[]> {
    await this.device.guard(this.readable.mapAsync(1, 0, 16 * this.used), 'reading timestamps');
    const words = new BigUint64Array(this.readable.getMappedRange(0, 16 * this.used).slice(0));
    this.readable.unmap();
    const origin = words[0] ?? 0n;
    return Array.from({ length: this.used }, (_, i) => ({ begin: Number(words[2 * i] - origin), end: Number(words[2 * i + 1] - origin) }));
  }

  destroy(): void {
    this.set.destroy();
    this.device.destroyBuffer(this.resolved);
    this.device.destroyBuffer(this.readable);
  }
}
