/**
 * Carries a program's collectives over transports: bytes leave the device through one staging buffer, at most 4 MiB at a
 * time; sums are made here, per element in rank order in f32. One collective after the other, in the order they are begun
 * (every rank begins them in one order), while the device goes on with whatever was submitted.
 */
import { invariant, ScionError } from '../base/errors.ts';
import { floatToHalf, fromHalfBits } from '../base/half.ts';
import { sumInOrder } from '../comm/collectives.ts';
import type { Transport } from '../comm/types.ts';
import type { GpuDevice } from '../gpu/device.ts';
import { type DeviceRange, EXCHANGE_BYTES, type Exchange, type Move } from '../tensor/exchange.ts';

type Sum = Extract<Move<DeviceRange>, { how: 'sum' }>;
type Gather = Extract<Move<DeviceRange>, { how: 'gather' }>;
type Scatter = Extract<Move<DeviceRange>, { how: 'scatter' }>;
type Swap = Extract<Move<DeviceRange>, { how: 'swap' }>;

const bytesOf = (ranges: readonly DeviceRange[]): number => ranges.reduce((n, r) => n + r.bytes, 0);

/** Bytes from <= i < to of ranges seen as one run. */
function cut(ranges: readonly DeviceRange[], from: number, to: number): DeviceRange[] {
  const out: DeviceRange[] = [];
  let at = 0;
  for (const { buffer, offset, bytes } of ranges) {
    const [a, b] = [Math.max(from, at), Math.min(to, at + bytes)];
    if (a < b) out.push({ buffer, offset: offset + a - at, bytes: b - a });
    at += bytes;
  }
  return out;
}

const words = (bytes: Uint8Array): Float32Array => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

/** The collectives of one session. */
export class DeviceExchange implements Exchange {
  private readonly device: GpuDevice;
  private readonly staging: GPUBuffer;
  private readonly along: Readonly<Record<string, Transport>>;
  private last: Promise<void> = Promise.resolve();

  /** @param along the group of ranks of each axis. */
  constructor(device: GpuDevice, staging: GPUBuffer, along: Readonly<Record<string, Transport>>) {
    this.device = device;
    this.staging = staging;
    this.along = along;
  }

  run(move: Move<DeviceRange>): Promise<void> {
    const next = this.last.then(() => this.carry(move));
    // A failure reaches whoever waits for this move; those behind it then fail by themselves.
    this.last = next.catch(() => undefined);
    return next;
  }

  private carry(move: Move<DeviceRange>): Promise<void> {
    const group = this.along[move.axis];
    if (!group) throw new ScionError('internal', `a collective over axis "${move.axis}", of which this rank knows nothing`);
    if (move.how === 'sum') return this.sum(group, move);
    if (move.how === 'swap') return this.swap(group, move);
    return move.how === 'gather' ? this.gather(group, move) : this.scatter(group, move);
  }

  /** The bytes of ranges, one after the other; at most the staging buffer's. */
  private async read(ranges: readonly DeviceRange[]): Promise<Uint8Array<ArrayBuffer>> {
    const total = bytesOf(ranges);
    if (total === 0) return new Uint8Array(0);
    invariant(total <= this.staging.size, `${total} bytes of a collective fit the staging buffer`);
    const encoder = this.device.raw.createCommandEncoder();
    let at = 0;
    for (const { buffer, offset, bytes } of ranges) {
      encoder.copyBufferToBuffer(buffer, offset, this.staging, at, bytes);
      at += bytes;
    }
    this.device.submit([encoder.finish()]);
    await this.device.guard(this.staging.mapAsync(1, 0, total), 'reading what a collective sends');
    const out = new Uint8Array(this.staging.getMappedRange(0, total).slice(0));
    this.staging.unmap();
    return out;
  }

  /** As `read`, apart for each list. */
  private async readEach(lists: readonly (readonly DeviceRange[])[]): Promise<Uint8Array[]> {
    const all = await this.read(lists.flat());
    let from = 0;
    return lists.map((ranges) => {
      const to = from + bytesOf(ranges);
      const bytes = all.subarray(from, to);
      from = to;
      return bytes;
    });
  }

  private write(ranges: readonly DeviceRange[], bytes: Uint8Array<ArrayBuffer>): void {
    let at = 0;
    for (const { buffer, offset, bytes: n } of ranges) {
      this.device.raw.queue.writeBuffer(buffer, offset, bytes, at, n);
      at += n;
    }
  }

  private async sum(group: Transport, { of, dtype }: Sum): Promise<void> {
    const total = bytesOf(of);
    for (let at = 0; at < total; at += EXCHANGE_BYTES) {
      const part = cut(of, at, Math.min(total, at + EXCHANGE_BYTES));
      const mine = await this.read(part);
      const n = mine.length / 4;
      const bounds = Array.from({ length: group.size + 1 }, (_, r) => 4 * Math.floor((n * r) / group.size));
      const own = bounds[group.rank + 1] - bounds[group.rank];
      const got = Array.from({ length: group.size }, () => new Uint8Array(own));
      await group.allToAll(
        got.map((_, r) => mine.subarray(bounds[r], bounds[r + 1])),
        got,
      );
      const sums = SUMS[dtype](got);
      const out = new Uint8Array(mine.length);
      await group.allGather(
        new Uint8Array(sums.buffer),
        got.map((_, r) => out.subarray(bounds[r], bounds[r + 1])),
      );
      this.write(part, out);
    }
  }

  private async gather(group: Transport, { own, parts, lengths }: Gather): Promise<void> {
    const most = Math.max(...lengths);
    for (let at = 0; at < most; at += EXCHANGE_BYTES) {
      const end = (r: number): number => Math.max(at, Math.min(lengths[r], at + EXCHANGE_BYTES));
      const mine = await this.read(cut(own, at, end(group.rank)));
      const got = lengths.map((_, r) => new Uint8Array(end(r) - at));
      await group.allGather(mine, got);
      for (const [r, bytes] of got.entries()) if (parts[r].length > 0) this.write(cut(parts[r], at, end(r)), bytes);
    }
  }

  private async scatter(group: Transport, { own, parts }: Scatter): Promise<void> {
    const lengths = parts.map(bytesOf);
    // Each rank's part in pieces, all of which together fit the staging buffer.
    const piece = Math.max(4, 4 * Math.floor(EXCHANGE_BYTES / group.size / 4));
    const most = Math.max(...lengths);
    for (let at = 0; at < most; at += piece) {
      const end = (r: number): number => Math.max(at, Math.min(lengths[r], at + piece));
      const sent = parts.map((ranges, r) => cut(ranges, at, end(r)));
      const got = parts.map(() => new Uint8Array(end(group.rank) - at));
      await group.allToAll(await this.readEach(sent), got);
      this.write(cut(own, at, end(group.rank)), new Uint8Array(sumOf(got).buffer));
    }
  }

  private async swap(group: Transport, { parts, into }: Swap): Promise<void> {
    const lengths = parts.map(bytesOf);
    const most = Math.max(...lengths);
    const piece = Math.max(4, 4 * Math.floor(EXCHANGE_BYTES / Math.max(1, lengths.filter((n) => n > 0).length) / 4));
    for (let at = 0; at < most; at += piece) {
      const sent = parts.map((ranges) => cut(ranges, at, at + piece));
      const wanted = into.map((ranges) => cut(ranges, at, at + piece));
      const got = wanted.map((ranges) => new Uint8Array(bytesOf(ranges)));
      await group.allToAll(await this.readEach(sent), got);
      for (const [r, bytes] of got.entries()) this.write(wanted[r], bytes);
    }
  }
}

function sumOf(parts: readonly Uint8Array[]): Float32Array<ArrayBuffer> {
  const out = new Float32Array(parts[0].length / 4);
  sumInOrder(parts.map(words), out);
  return out;
}

/** Sums of 16-bit floats, in f32 and rounded once. */
function sumHalves(parts: readonly Uint8Array[]): Uint16Array<ArrayBuffer> {
  const out = new Float32Array(parts[0].length / 2);
  sumInOrder(
    parts.map((part) => Float32Array.from(new Uint16Array(part.buffer, part.byteOffset, out.length), fromHalfBits)),
    out,
  );
  return floatToHalf(out) as Uint16Array<ArrayBuffer>;
}

function sumCounts(parts: readonly Uint8Array[]): Uint32Array<ArrayBuffer> {
  const out = new Uint32Array(parts[0].length / 4);
  for (const part of parts) {
    for (const [i, x] of new Uint32Array(part.buffer, part.byteOffset, out.length).entries()) out[i] += x;
  }
  return out;
}

/** How words of a kind are added up. */
const SUMS = { f32: sumOf, f16: sumHalves, u32: sumCounts } as const;
