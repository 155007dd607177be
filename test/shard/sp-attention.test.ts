/**
 * Attention over ranks that share the tokens of each pack, both ways, against float64 attention over the whole pack: outputs and gradients, packed and
 * padded rows, windows, grouped heads, several rows, odd widths and counts of ranks, every family of kernels; and what moves between ranks.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../src/base/random.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { DeviceExchange } from '../../src/shard/exchange.ts';
import { rangeFeeds, type SequenceKind, type SequencePart, tokenAt } from '../../src/shard/sequence.ts';
import { splitSequence } from '../../src/shard/sequence-parallel.ts';
import { differentiate } from '../../src/tensor/autodiff.ts';
import { Graph, type Value } from '../../src/tensor/graph.ts';
import { attention, attentionRanges } from '../../src/tensor/ops/attention.ts';
import { planGraph } from '../../src/tensor/plan.ts';
import { evaluateReference } from '../../src/tensor/reference.ts';
import { Session } from '../../src/tensor/session.ts';
import type { DType } from '../../src/tensor/types.ts';
import { normError } from '../runtime/case.ts';
import { onRanks } from './on-ranks.ts';

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

interface Shape {
  readonly B: number;
  readonly T: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly lengths: readonly (readonly number[])[];
  readonly window?: number;
  readonly dtype?: DType;
  readonly family?: string;
  readonly twice?: boolean;
}

/** Attention over shared tokens; with `twice` once more at another scale, so that one gradient is added to the other. */
function build(qkv: Value, ranges: Value, s: Shape): Value[] {
  return [undefined, ...(s.twice ? [0.1] : [])].map((scale) => attention(qkv, ranges, { ...s, scale }).out);
}

/** The gradient by the rows, of equal seeds. */
function gradient(g: Graph, outs: readonly Value[], qkv: Value, dOut: Value): Value {
  const seeds = outs.map((value) => ({ value, adjoint: dOut }));
  return differentiate(g, seeds, [{ by: qkv, into: null }])[0] as Value;
}

/** The float64 reference, on whole rows. */
function wanted(s: Shape, feeds: Record<string, Float32Array | Uint32Array>): { out: Float64Array; grad: Float64Array } {
  const g = new Graph();
  const { B, T, heads, kvHeads, headSize } = s;
  const qkv = g.data('qkv', [B, T, (heads + 2 * kvHeads) * headSize], 'f32');
  const outs = build(qkv, g.data('ranges', [B, T, 4], 'u32'), s);
  const [a, b] = evaluateReference([outs[0], gradient(g, outs, qkv, g.data('dOut', [B, T, heads * headSize], 'f32'))], feeds);
  return { out: a.data, grad: b.data };
}

/** A rank's rows of a whole array [B, T, width]. */
function rowsOf(part: SequencePart, B: number, width: number, all: Float32Array): Float32Array<ArrayBuffer> {
  const own = part.tokens / part.ranks;
  const out = new Float32Array(B * own * width);
  for (let b = 0; b < B; b++)
    for (let i = 0; i < own; i++) {
      const from = (b * part.tokens + tokenAt(part, i)) * width;
      out.set(all.subarray(from, from + width), (b * own + i) * width);
    }
  return out;
}

async function found(s: Shape, kind: SequenceKind, ranks: number, feeds: Record<string, Float32Array | Uint32Array<ArrayBuffer>>) {
  const { B, T, heads, kvHeads, headSize, dtype = 'f32' } = s;
  const [inWidth, outWidth] = [(heads + 2 * kvHeads) * headSize, heads * headSize];
  const whole = { out: new Float32Array(B * T * outWidth), grad: new Float32Array(B * T * inWidth) };
  const facts = s.family ? { ...device.facts, choices: { ...device.facts.choices, attention: s.family, attention_grad: s.family } } : device.facts;
  const sent = await onRanks(ranks, async (world) => {
    const part: SequencePart = { kind, tokens: T, ranks, rank: world.rank };
    const g = new Graph();
    const qkv = g.data('qkv', [B, T / ranks, inWidth], dtype);
    const traced = build(qkv, g.data('ranges', [B, T / ranks, 4], 'u32'), s);
    const outs = splitSequence(g, { axis: 'sp', ranks, rank: world.rank }, kind, traced);
    const grad = gradient(g, outs, qkv, g.data('dOut', [B, T / ranks, outWidth], dtype));
    const plan = planGraph(g, { facts, outputs: { out: outs[0], grad, ...(outs[1] && { other: outs[1] }) } });
    const session = new Session(device, { plan });
    const exchange = session.exchangeStaging && new DeviceExchange(device, session.exchangeStaging, { sp: world });
    if (!exchange) throw new Error('ranks exchange nothing');
    const own = { qkv: rowsOf(part, B, inWidth, feeds.qkv as Float32Array), dOut: rowsOf(part, B, outWidth, feeds.dOut as Float32Array) };
    await session.programs.plan.runWith(exchange, { ...own, ...rangeFeeds(part, feeds.ranges as Uint32Array<ArrayBuffer>) });
    const results = await session.programs.plan.read();
    session.destroy();
    for (const [name, width] of [
      ['out', outWidth],
      ['grad', inWidth],
    ] as const)
      for (let b = 0; b < B; b++)
        for (let i = 0; i < T / ranks; i++) {
          const row = results[name].subarray((b * (T / ranks) + i) * width, (b * (T / ranks) + i + 1) * width);
          whole[name].set(row as Float32Array, (b * T + tokenAt(part, i)) * width);
        }
    return world.bytesSent;
  });
  return { ...whole, sent };
}

const base: Shape = { B: 1, T: 12, heads: 4, kvHeads: 2, headSize: 8, lengths: [[12]] };
const SHAPES: [string, SequenceKind, number, Shape][] = [
  ['causal', 'heads', 2, base],
  ['causal', 'ring', 2, base],
  ['a token a rank', 'ring', 4, { ...base, T: 4, lengths: [[4]] }],
  ['packed, padded, two rows', 'heads', 2, { ...base, B: 2, T: 22, lengths: [[5, 9, 3], [22]] }],
  ['packed, padded, two rows', 'ring', 2, { ...base, B: 2, T: 22, lengths: [[5, 9, 3], [22]] }],
  ['documents shorter than the ring', 'ring', 5, { ...base, B: 2, T: 35, lengths: [[1, 2, 3, 4, 1, 1, 2], []] }],
  ['three ranks, odd head size', 'heads', 3, { ...base, B: 2, T: 21, heads: 6, kvHeads: 3, headSize: 10, lengths: [[7, 11], [21]] }],
  ['three ranks, one kv head', 'ring', 3, { ...base, B: 2, T: 21, heads: 3, kvHeads: 1, headSize: 10, lengths: [[7, 11], [21]] }],
  ['a window', 'heads', 4, { ...base, T: 36, kvHeads: 4, lengths: [[30]], window: 5 }],
  ['a window', 'ring', 4, { ...base, T: 36, lengths: [[30]], window: 5 }],
  ['used twice', 'heads', 2, { ...base, B: 2, T: 22, lengths: [[5, 9, 3], [22]], twice: true }],
  ['used twice', 'ring', 2, { ...base, B: 2, T: 22, lengths: [[5, 9, 3], [22]], twice: true }],
  ['16-bit storage', 'heads', 2, { ...base, T: 22, lengths: [[5, 17]], dtype: 'f16' }],
  ['16-bit storage', 'ring', 4, { ...base, T: 24, lengths: [[5, 17]], dtype: 'f16' }],
  ['rows kernels', 'ring', 2, { ...base, T: 132, lengths: [[50, 80]], family: 'rows' }],
  // The tile kernels take CPU drivers half a minute to compile; their cases in test/runtime hold them to the same reference.
  ...(process.env.SCION_TIER === 'full'
    ? [['tile kernels', 'ring', 2, { ...base, T: 132, lengths: [[50, 80]], family: 'tile' }] as [string, SequenceKind, number, Shape]]
    : []),
];

it.each(SHAPES)('%s, %s, %i ranks: float64 attention over the whole', { timeout: 60_000 }, async (_, kind, ranks, s) => {
  const { B, T, heads, kvHeads, headSize, dtype = 'f32' } = s;
  const random = new Random(11);
  const normal = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.normal());
  const ranges = new Uint32Array(s.lengths.flatMap((lengths) => [...attentionRanges(T, lengths, s.window)]));
  const feeds = { qkv: normal(B * T * (heads + 2 * kvHeads) * headSize), dOut: normal(B * T * heads * headSize), ranges };
  const want = wanted(s, feeds);
  const got = await found(s, kind, ranks, feeds);
  // f32 sums of tens of terms. f16: one rounding of inputs (2^-11 of each element), one of outputs and one a join; dP - D cancels besides.
  const [forward, backward] = dtype === 'f32' ? [1e-5, 1e-5] : [1.5e-3, 4e-3];
  expect(normError(got.out, want.out)).toBeLessThan(forward);
  expect(normError(got.grad, want.grad)).toBeLessThan(backward);
  const size = dtype === 'f16' ? 2 : 4;
  const own = (B * T) / ranks;
  // Heads: qkv and out there, both gradients back, of each all but a rank's own part. Ring: keys and values twice, their gradients in f32.
  const bytes =
    kind === 'heads'
      ? (2 * own * (2 * heads + 2 * kvHeads) * headSize * size * (ranks - 1)) / ranks
      : (ranks - 1) * own * 2 * kvHeads * headSize * (2 * size + 4);
  for (const sent of got.sent) expect(sent).toBe(s.twice ? 2 * bytes : bytes);
});
