/** Parts larger than the staging buffer change places between ranks: to all others, and round a ring in the same bytes. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GpuDevice } from '../../src/gpu/device.ts';
import { DeviceExchange } from '../../src/shard/exchange.ts';
import { type DeviceRange, EXCHANGE_BYTES } from '../../src/tensor/exchange.ts';
import { onRanks } from './on-ranks.ts';

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

const USAGE = { mapRead: 1, copySrc: 4, copyDst: 8, storage: 128 } as const;
const RANKS = 3;
/** Words of a part: one and a bit of what a ring, and two and a bit of what two others, send at a time. */
const WORDS = EXCHANGE_BYTES / 4 + 12_345;
/** What rank r sends to rank to, at word i. */
const word = (r: number, to: number, i: number): number => ((r * RANKS + to) * 1_000_003 + i) >>> 0;

async function readBack(buffer: GPUBuffer, bytes: number): Promise<Uint32Array> {
  const staging = device.createBuffer('read', bytes, USAGE.mapRead | USAGE.copyDst);
  const encoder = device.raw.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, bytes);
  device.submit([encoder.finish()]);
  await staging.mapAsync(1, 0, bytes);
  const out = new Uint32Array(staging.getMappedRange(0, bytes).slice(0));
  device.destroyBuffer(staging);
  return out;
}

/** Index of the first word that is not what its sender meant; -1 for none. */
const firstWrong = (found: Uint32Array, from: number, to: number): number => found.findIndex((x, i) => x !== word(from, to, i));

it.each(['all to all', 'ring'] as const)('%s', { timeout: 60_000 }, async (how) => {
  const wrong = await onRanks(RANKS, async (world) => {
    const { rank } = world;
    const staging = device.createBuffer('staging', EXCHANGE_BYTES, USAGE.mapRead | USAGE.copyDst);
    const make = (fill: number | null): GPUBuffer => {
      const buffer = device.createBuffer('part', WORDS * 4, USAGE.storage | USAGE.copySrc | USAGE.copyDst);
      if (fill !== null)
        device.raw.queue.writeBuffer(
          buffer,
          0,
          new Uint32Array(WORDS).map((_, i) => word(rank, fill, i)),
        );
      return buffer;
    };
    const [next, before] = [(rank + 1) % RANKS, (rank + RANKS - 1) % RANKS];
    const others = how === 'ring' ? [next] : [next, before];
    const sent = others.map((to) => ({ to, buffer: make(to) }));
    const taken = how === 'ring' ? [{ from: before, buffer: sent[0].buffer }] : [next, before].map((from) => ({ from, buffer: make(null) }));
    // A part may be several ranges, cut elsewhere on the other end.
    const ranges = (buffer: GPUBuffer, cut: number): DeviceRange[] => [
      { buffer, offset: 0, bytes: cut * 4 },
      { buffer, offset: cut * 4, bytes: (WORDS - cut) * 4 },
    ];
    const lists = (of: (r: number) => GPUBuffer | undefined, cut: number): DeviceRange[][] =>
      Array.from({ length: RANKS }, (_, r) => {
        const buffer = of(r);
        return buffer ? ranges(buffer, cut) : [];
      });
    await new DeviceExchange(device, staging, { sp: world }).run({
      how: 'swap',
      axis: 'sp',
      parts: lists((r) => sent.find((x) => x.to === r)?.buffer, 1000),
      into: lists((r) => taken.find((x) => x.from === r)?.buffer, how === 'ring' ? 1000 : 77),
    });
    const found: number[] = [];
    for (const { from, buffer } of taken) found.push(firstWrong(await readBack(buffer, WORDS * 4), from, rank));
    for (const buffer of new Set([staging, ...sent.map((x) => x.buffer), ...taken.map((x) => x.buffer)])) device.destroyBuffer(buffer);
    return found;
  });
  for (const found of wrong) expect(found).toEqual(found.map(() => -1));
});
