/**
 * Collective arithmetic on f32, over any transport. Every sum is taken per element in rank order, in f32: x0 + x1, + x2, … whatever the size, the
 * transport or the rank that does it, so that equal inputs give equal bits. A wire of bf16 halves the bytes: what every rank contributes is rounded once
 * (its own part too, or the result would depend on who adds), summed in f32, and the sum is rounded once more on its way back.
 */
import { ScionError } from '../base/errors.ts';
import { toBfloatBits } from '../base/half.ts';
import type { Meeting, Transport } from './types.ts';

/** What values travel as. */
export type Wire = 'f32' | 'bf16';

/** Elements of a block: shard bounds fall on blocks, so that sums over blocks in global order are the same for any number of ranks. */
export const BLOCK = 4096;

/**
 * First elements of the shards of `count` elements over `ranks`, and `count` at the end (ranks + 1 numbers). Shards are whole blocks, as equal as that
 * allows, longer ones first; the last block may be short and late shards empty.
 */
export function shardBounds(count: number, ranks: number, block = BLOCK): number[] {
  const blocks = Math.ceil(count / block);
  return Array.from({ length: ranks + 1 }, (_, rank) => Math.min(count, block * (rank * Math.floor(blocks / ranks) + Math.min(rank, blocks % ranks))));
}

const bytesOf = (values: Float32Array | Uint16Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
const widthOf = (wire: Wire): number => (wire === 'f32' ? 4 : 2);

/** bf16 bits of values, nearest even. */
function pack(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const x = words[i];
    out[i] = (x & 0x7fffffff) > 0x7f800000 ? toBfloatBits(values[i]) : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return out;
}

function unpack(bits: Uint16Array, out: Float32Array): void {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
}

/** Parts that one expression adds: reads of an element come before its write, so the result may overwrite any of these. */
const AT_ONCE = 4;

/** out[i] = parts[0][i] + parts[1][i] + …, each addition rounded to f32. `out` may be one of the first four parts. */
export function sumInOrder(parts: readonly Float32Array[], out: Float32Array): void {
  const n = out.length;
  const [a, b, c, d] = parts;
  // A store to f32 rounds; inside an expression fround does, and lets the engine add in single precision.
  const round = Math.fround;
  if (parts.length === 1) out.set(a);
  else if (parts.length === 2) for (let i = 0; i < n; i++) out[i] = a[i] + b[i];
  else if (parts.length === 3) for (let i = 0; i < n; i++) out[i] = round(a[i] + b[i]) + c[i];
  else for (let i = 0; i < n; i++) out[i] = round(round(a[i] + b[i]) + c[i]) + d[i];
  for (const part of parts.slice(AT_ONCE)) for (let i = 0; i < n; i++) out[i] += part[i];
}

/** What an operation's steps run on: they keep clear of other operations that are under way. */
const inOrder = (transport: Transport): Transport => transport.operation?.() ?? transport;

/** Elements of all ranks that are exchanged and summed at once: they stay in the cache, and the memory beside the values stays small. */
const SPAN = 1 << 18;

interface Sharing {
  readonly bounds: readonly number[];
  readonly wire: Wire;
}

/** A reduce-scatter by messages. */
async function scatterSum(steps: Transport, values: Float32Array, out: Float32Array, { bounds, wire }: Sharing): Promise<void> {
  const { rank, size } = steps;
  const ranks = Array.from({ length: size }, (_, r) => r);
  const span = Math.floor(SPAN / size);
  const longest = Math.max(...ranks.map((r) => bounds[r + 1] - bounds[r]));
  const room = ranks.map(() => new Float32Array(Math.min(span, out.length)));
  const empty = new Uint8Array(0);
  for (let start = 0; start < longest; start += span) {
    const piece = (r: number): Float32Array => values.subarray(Math.min(bounds[r] + start, bounds[r + 1]), Math.min(bounds[r] + start + span, bounds[r + 1]));
    const mine = piece(rank);
    const parts = room.map((part): Float32Array => part.subarray(0, mine.length));
    if (wire === 'f32') {
      // What a rank would send itself is added from where it lies.
      await steps.allToAll(
        ranks.map((r) => (r === rank ? empty : bytesOf(piece(r)))),
        ranks.map((r) => (r === rank ? empty : bytesOf(parts[r]))),
      );
      if (rank < AT_ONCE) parts[rank] = mine;
      else parts[rank].set(mine);
    } else {
      const came = parts.map((part) => new Uint16Array(part.length));
      const send = ranks.map((r) => bytesOf(pack(piece(r))));
      await steps.allToAll(send, came.map(bytesOf));
      for (const r of ranks) unpack(came[r], parts[r]);
    }
    sumInOrder(parts, out.subarray(start, start + mine.length));
  }
}

/** An all-gather by messages. */
async function gather(steps: Transport, out: Float32Array, { bounds, wire }: Sharing): Promise<void> {
  const shards = Array.from({ length: steps.size }, (_, r) => out.subarray(bounds[r], bounds[r + 1]));
  const own = shards[steps.rank];
  if (wire === 'f32') return steps.allGather(bytesOf(own), shards.map(bytesOf));
  const bits = shards.map((shard) => new Uint16Array(shard.length));
  await steps.allGather(bytesOf(pack(own)), bits.map(bytesOf));
  for (const [r, shard] of shards.entries()) unpack(bits[r], shard);
}

/** A way to all ranks' values where all are staged in memory that they share; bf16 goes by message, whose roundings it needs. */
async function meet(steps: Transport, values: Float32Array, wire: Wire): Promise<Meeting | null> {
  return wire === 'f32' ? ((await steps.meet?.(values)) ?? null) : null;
}

/**
 * The sum over ranks, a shard for each: rank r gets elements bounds[r] to bounds[r + 1] of it.
 * @param values this rank's contribution, f32 [bounds[size]]; left as it is unless `out` is part of it
 * @param out f32 [bounds[rank + 1] - bounds[rank]]; may be that very part of `values`
 * @param options bounds: ascending, size + 1 numbers, equal on all ranks, by default `shardBounds`
 */
export async function reduceScatterSum(
  transport: Transport,
  values: Float32Array,
  out: Float32Array,
  { bounds = shardBounds(values.length, transport.size), wire = 'f32' }: { bounds?: readonly number[]; wire?: Wire } = {},
): Promise<void> {
  const { rank, size } = transport;
  checkBounds(bounds, size, values.length);
  checkLength('out', out, bounds[rank + 1] - bounds[rank]);
  const steps = inOrder(transport);
  const meeting = await meet(steps, values, wire);
  if (meeting === null) return scatterSum(steps, values, out, { bounds, wire });
  // The sum is made in this rank's part, which nobody else reads; what was there comes back unless the sum is to stay there.
  const own = values.subarray(bounds[rank], bounds[rank + 1]);
  const kept = own.buffer === out.buffer && own.byteOffset === out.byteOffset ? null : own.slice();
  meeting.sum(bounds[rank], bounds[rank + 1], [rank]);
  if (kept !== null) {
    out.set(own);
    own.set(kept);
  }
  meeting.count(bytesSentBy.reduceScatterSum(bounds, rank));
  await steps.barrier();
}

/**
 * Every rank's shard, gathered on all of them.
 * @param out f32 [bounds[size]]; on entry its part of this rank holds what this rank gives. With a wire of bf16 that part is rounded too.
 */
export async function allGather(
  transport: Transport,
  out: Float32Array,
  { bounds = shardBounds(out.length, transport.size), wire = 'f32' }: { bounds?: readonly number[]; wire?: Wire } = {},
): Promise<void> {
  const { rank, size } = transport;
  checkBounds(bounds, size, out.length);
  const steps = inOrder(transport);
  const meeting = await meet(steps, out, wire);
  if (meeting === null) return gather(steps, out, { bounds, wire });
  for (const [r, view] of meeting.views.entries()) if (r !== rank) out.set(view.subarray(bounds[r], bounds[r + 1]), bounds[r]);
  meeting.count(bytesSentBy.allGather(bounds, rank));
  await steps.barrier();
}

/** Replaces `values` by their sum over all ranks, the same bits on each. */
export async function allReduceSum(transport: Transport, values: Float32Array, { wire = 'f32' }: { wire?: Wire } = {}): Promise<void> {
  const { rank, size } = transport;
  if (size === 1 && wire === 'f32') return;
  const bounds = shardBounds(values.length, size);
  const steps = inOrder(transport);
  const meeting = await meet(steps, values, wire);
  if (meeting === null) {
    await scatterSum(steps, values, values.subarray(bounds[rank], bounds[rank + 1]), { bounds, wire });
    return gather(steps, values, { bounds, wire });
  }
  // Each rank writes its shard of the sum into everybody's values.
  meeting.sum(bounds[rank], bounds[rank + 1], [...meeting.views.keys()]);
  meeting.count(bytesSentBy.allReduceSum(values.length, size, rank));
  await steps.barrier();
}

/** Ranks that a rank hands a broadcast on to, in a binomial tree of `size` ranks counted from the root; and whom it has it from (-1: the root). */
function tree(place: number, size: number): { parent: number; children: number[] } {
  const children: number[] = [];
  let reach = 1;
  while (reach < size && (place & reach) === 0) reach *= 2;
  for (let step = reach / 2; step >= 1; step /= 2) if (place + step < size) children.push(place + step);
  return { parent: place === 0 ? -1 : place - reach, children };
}

/** Gives every rank the root's bytes. */
export async function broadcastBytes(transport: Transport, bytes: Uint8Array, root = 0): Promise<void> {
  const { rank, size } = transport;
  const from = (place: number): number => (place + root) % size;
  const { parent, children } = tree((rank - root + size) % size, size);
  const steps = inOrder(transport);
  if (parent >= 0) await steps.recv(from(parent), 0, bytes);
  await Promise.all(children.map((child) => steps.send(from(child), 0, bytes)));
}

/** Gives every rank the root's values; with a wire of bf16 rounded, on the root too. */
export async function broadcast(transport: Transport, values: Float32Array, { root = 0, wire = 'f32' }: { root?: number; wire?: Wire } = {}): Promise<void> {
  if (wire === 'f32') return broadcastBytes(transport, bytesOf(values), root);
  const bits = transport.rank === root ? pack(values) : new Uint16Array(values.length);
  await broadcastBytes(transport, bytesOf(bits), root);
  unpack(bits, values);
}

/** Payload bytes that one rank sends in each operation; transports count exactly these. */
export const bytesSentBy = {
  /** Everything but its own shard. */
  reduceScatterSum: (bounds: readonly number[], rank: number, wire: Wire = 'f32'): number =>
    (bounds[bounds.length - 1] - (bounds[rank + 1] - bounds[rank])) * widthOf(wire),
  /** Its shard to each other rank. */
  allGather: (bounds: readonly number[], rank: number, wire: Wire = 'f32'): number => (bounds.length - 2) * (bounds[rank + 1] - bounds[rank]) * widthOf(wire),
  allReduceSum: (count: number, ranks: number, rank: number, wire: Wire = 'f32'): number => {
    const bounds = shardBounds(count, ranks);
    return bytesSentBy.reduceScatterSum(bounds, rank, wire) + bytesSentBy.allGather(bounds, rank, wire);
  },
  broadcast: (count: number, ranks: number, rank: number, root = 0, wire: Wire = 'f32'): number =>
    tree((rank - root + ranks) % ranks, ranks).children.length * count * widthOf(wire),
};

function checkBounds(bounds: readonly number[], size: number, count: number): void {
  const rises = bounds.every((bound, r) => r === 0 || bound >= bounds[r - 1]);
  if (bounds.length === size + 1 && bounds[0] === 0 && rises && bounds[size] === count) return;
  throw new ScionError('internal', `bounds [${bounds.join(', ')}] do not share ${count} elements among ${size} ranks`, { size, count });
}

function checkLength(what: string, values: Float32Array, length: number): void {
  if (values.length !== length) throw new ScionError('internal', `${what} has ${values.length} elements where this rank's shard has ${length}`);
}
