/**
 * One program of collectives for all transports: every operation, odd sizes, both wires, axes of a mesh, messages that overtake. Gives a digest of every
 * bit that any operation left on this rank, so two transports did the same exactly if their digests are equal; sums are checked against a reference beside.
 */
import { Random } from '../../src/base/random.ts';
import { Sha256 } from '../../src/base/sha256.ts';
import { allGather, allReduceSum, broadcast, reduceScatterSum, shardBounds } from '../../src/comm/collectives.ts';
import type { Transport } from '../../src/comm/types.ts';

export interface ProgramResult {
  readonly rank: number;
  readonly digest: string;
  readonly bytesSent: number;
  /** Of the axes, both together. */
  readonly axisBytes: number;
}

/** Elements of the sums: one, a block and a bit, and enough that four ranks have a shard each. */
const COUNTS = [1, 4097, 20_011];

export function contribution(seed: number, rank: number, count: number): Float32Array {
  const random = new Random(seed, rank);
  return Float32Array.from({ length: count }, () => (random.uniform() - 0.5) * 2 ** random.below(16));
}

/** What a rank ends in is the same wherever it runs. `big` is the elements of one more sum. */
export async function program(
  transport: Transport,
  { seed, big = 0, counts = COUNTS }: { seed: number; big?: number; counts?: readonly number[] },
): Promise<ProgramResult> {
  const { rank, size } = transport;
  const hash = new Sha256();
  const note = (values: Float32Array | Uint8Array): void => hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  for (const count of big > 0 ? [...counts, big] : counts) {
    for (const wire of ['f32', 'bf16'] as const) {
      const values = contribution(seed, rank, count);
      const bounds = shardBounds(count, size);
      const shard = new Float32Array(bounds[rank + 1] - bounds[rank]);
      await reduceScatterSum(transport, values, shard, { bounds, wire });
      note(shard);
      await allReduceSum(transport, values, { wire });
      note(values);
      values.fill(rank, bounds[rank], bounds[rank + 1]);
      await allGather(transport, values, { bounds, wire });
      note(values);
      await broadcast(transport, values, { root: size - 1, wire });
      note(values);
    }
  }
  // Three sums at once, as buckets of gradients are.
  const buckets = [1, 2, 3].map((b) => contribution(seed + b, rank, 1503 * b));
  await Promise.all(buckets.map((values) => allReduceSum(transport, values)));
  for (const values of buckets) note(values);
  // Lengths that differ by pair: rank i sends 1 + 7 i + 3 j bytes to rank j.
  const send = Array.from({ length: size }, (_, to) => new Uint8Array(1 + 7 * rank + 3 * to).fill(16 * rank + to));
  const recv = Array.from({ length: size }, (_, from) => new Uint8Array(1 + 7 * from + 3 * rank));
  await transport.allToAll(send, recv);
  for (const bytes of recv) note(bytes);
  // The same operations on staged values, which ranks of one process do without messages; one of several parts of one buffer.
  const staged = transport.stage?.(9_001) ?? new Float32Array(9_001);
  for (const [first, end] of [
    [0, 9_001],
    [3, 5_000],
  ]) {
    const values = staged.subarray(first, end);
    values.set(contribution(seed + 4, rank, end - first));
    const bounds = shardBounds(values.length, size, 16);
    const shard = new Float32Array(bounds[rank + 1] - bounds[rank]);
    await reduceScatterSum(transport, values, shard, { bounds });
    note(shard);
    note(values);
    await allReduceSum(transport, values);
    note(values);
    values.fill(rank, bounds[rank], bounds[rank + 1]);
    await allGather(transport, values, { bounds });
    note(values);
  }
  if (size > 1) {
    // Round the ring; the receiver asks in the other order, so one message has to wait aside.
    const next = (rank + 1) % size;
    const before = (rank + size - 1) % size;
    const came = [new Uint8Array(17_001), new Uint8Array(3)];
    await Promise.all([
      transport.send(next, 5, new Uint8Array(17_001).fill(rank + 1)),
      transport.send(next, 9, Uint8Array.of(rank, 1, 2)),
      transport.recv(before, 9, came[1]).then(() => transport.recv(before, 5, came[0])),
    ]);
    for (const bytes of came) note(bytes);
  }
  const columns = size % 2 === 0 ? 2 : 1;
  const axes = [await transport.split(Math.floor(rank / columns), rank), await transport.split(rank % columns, -rank)];
  for (const axis of axes) {
    const values = contribution(seed + 10, rank, 9001);
    await allReduceSum(axis, values);
    note(values);
    note(Uint8Array.of(axis.rank, axis.size));
    await axis.barrier();
    await axis.close();
  }
  await transport.barrier();
  return { rank, digest: hash.hex(), bytesSent: transport.bytesSent, axisBytes: axes[0].bytesSent + axes[1].bytesSent };
}
