/**
 * Bytes that each rank sends in a step, as the transports count them, against the formula of each strategy (docs/shard.md): data parallel, ZeRO 1 to 3,
 * tensor parallel, both kinds of sequence parallel, and products of them. Exact, rank by rank.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { shardBounds } from '../../src/comm/collectives.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { coordinatesOf, type MeshShape, ONE_RANK, openMesh } from '../../src/shard/mesh.ts';
import { cutOf, type ZeroStage } from '../../src/shard/place.ts';
import type { SequenceKind } from '../../src/shard/sequence.ts';
import { blocksOf } from '../../src/tensor/ops/step_state.ts';
import { sizeOf } from '../../src/tensor/types.ts';
import { planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { RankStepper } from '../../src/train/rank-stepper.ts';
import { onRanks } from './on-ranks.ts';
import { SHARD_MODEL, SHARD_SETUP, shardLoader } from './ranks.ts';

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

const FOUR_HEADS: TrainSetup = { ...SHARD_SETUP, batch: 2, model: { ...SHARD_MODEL, numKvHeads: 4 } };
const total = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** All but the own share goes out; the own share of the sum goes to all others. Shares are floor(n r / N) to floor(n (r + 1) / N). */
function sumBytes(n: number, ranks: number, rank: number): number {
  const own = Math.floor((n * (rank + 1)) / ranks) - Math.floor((n * rank) / ranks);
  return 4 * (n - own + own * (ranks - 1));
}

interface Case {
  readonly mesh: Partial<MeshShape>;
  readonly zero?: ZeroStage;
  readonly sequence?: SequenceKind;
  readonly setup?: TrainSetup;
}

/** What one rank sends in a step of one micro a dp rank. */
function formula({ mesh, zero = 0, sequence, setup = FOUR_HEADS }: Case, rank: number): number {
  const shape = { ...ONE_RANK, ...mesh };
  const at = coordinatesOf(shape, rank);
  const { states } = planTraining(setup, device.facts, { shape, rank, zero, sequence });
  const [N, r] = [shape.dp * shape.sp, at.dp * shape.sp + at.sp];
  const { numLayers: L, hiddenSize: D, headSize: S } = setup.model;
  const [H, K] = [setup.model.numHeads / shape.tp, setup.model.numKvHeads / shape.tp];
  const tokens = (setup.batch * setup.tokens) / shape.sp;
  const b = setup.precision === 'mixed' ? 2 : 4;
  let bytes = 0;
  const buffers = states.buffers().filter((x) => x.kind === 'grad');
  const shares = buffers.map(({ whole }) => {
    const bounds = shardBounds(whole, N);
    return bounds[r + 1] - bounds[r];
  });
  // The blocks whose partial sums of the norm this rank makes. What lies whole on all ranks of tp counts on the first.
  const counted = buffers.map(({ group }) => group !== 'plain' || at.tp === 0);
  const blocks = (of: (i: number) => number): number => total(buffers.map((_, i) => (counted[i] ? blocksOf(of(i)) : 0)));
  if (N > 1) {
    bytes += 2 * sumBytes(1, N, r); // losses and labels
    const specs = states.all().filter((s) => s.kind === 'grad');
    const held = (name: string): number => total(cutOf(states, name, N).runs.flatMap((x) => (x.rank === r ? [x.to - x.from] : [])));
    const [elements, own] = [total(specs.map((s) => sizeOf(s.shape))), total(specs.map((s) => held(s.name)))];
    if (zero === 0) bytes += total(buffers.map(({ whole }) => sumBytes(whole, N, r)));
    else bytes += 4 * (N - 1) * blocks((i) => shares[i]);
    if (zero === 1) bytes += 4 * total(buffers.map(({ whole }, i) => whole - shares[i]));
    if (zero === 1 || zero === 2) bytes += 4 * (N - 1) * total(shares);
    if (zero >= 2) bytes += 4 * (elements - own);
    // Embedding and head are read once, everything else in the forward and in the backward half; a split head too, whose logits are made twice.
    const once = (name: string): boolean => name.endsWith('embed') || (name.endsWith('head') && shape.tp === 1);
    if (zero === 3) bytes += 4 * (N - 1) * (2 * own - total(specs.map((s) => (once(s.name) ? held(s.name) : 0))));
  }
  if (shape.tp > 1) {
    // Four sums a layer (o, down; backward qkv, gate and up), one behind the embedding, one before the head; two numbers a row of the loss.
    bytes += (4 * L + 2) * sumBytes(tokens * D, shape.tp, at.tp) + 4 * 2 * tokens * (shape.tp - 1);
    bytes += 4 * (shape.tp - 1) * blocks((i) => buffers[i].whole);
  }
  if (shape.sp > 1) {
    const n = shape.sp;
    bytes += L * tokens * (sequence === 'heads' ? (4 * b * (H + K) * S * (n - 1)) / n : (2 * b + 4) * 2 * K * S * (n - 1));
  }
  return bytes;
}

const CASES: Case[] = [
  { mesh: { dp: 2 } },
  { mesh: { dp: 3 }, zero: 1 },
  { mesh: { dp: 3 }, zero: 2 },
  { mesh: { dp: 2 }, zero: 3 },
  { mesh: { tp: 2 } },
  { mesh: { tp: 4 } },
  { mesh: { dp: 2, tp: 2 }, zero: 3 },
  { mesh: { sp: 2 }, sequence: 'heads' },
  { mesh: { sp: 4 }, sequence: 'heads' },
  { mesh: { sp: 3 }, sequence: 'ring' },
  { mesh: { sp: 4 }, sequence: 'ring', setup: { ...FOUR_HEADS, precision: 'mixed' } },
  { mesh: { dp: 2, sp: 2 }, sequence: 'ring', zero: 2 },
  { mesh: { sp: 2, tp: 2 }, sequence: 'heads' },
];

it.each(CASES.map((c) => [`${JSON.stringify(c.mesh)} ZeRO ${c.zero ?? 0} ${c.sequence ?? ''} ${c.setup?.precision ?? ''}`, c] as const))(
  '%s',
  {
    timeout: 60_000,
  },
  async (_, c) => {
    const { mesh, zero = 0, sequence, setup = FOUR_HEADS } = c;
    const shape = { ...ONE_RANK, ...mesh };
    const sent = await onRanks(shape.dp * shape.sp * shape.tp, async (world) => {
      const opened = await openMesh(shape, world);
      const stepper = new RankStepper(device, setup, planTraining(setup, device.facts, { shape, rank: world.rank, zero, sequence }), opened);
      await stepper.startFresh(7);
      const loader = shardLoader(setup);
      const transports = [...new Set([...Object.values(opened.along), opened.data])];
      const count = (): number => total(transports.map((t) => t.bytesSent));
      const before = count();
      await stepper.advance(
        Array.from({ length: shape.dp }, () => loader.next()),
        0.001,
      );
      const bytes = count() - before;
      await stepper.records();
      stepper.destroy();
      return bytes;
    });
    expect(sent).toEqual(sent.map((_, rank) => formula(c, rank)));
  },
);
