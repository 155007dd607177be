/**
 * What packing must not change: the loss of a document in a pack is its loss alone, on a real device. Also read
 * here: that the bound could fail, by letting the documents of a pack see each other.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { byteTokenizer } from '../../../test/data/byte-tokenizer.ts';
import { MemoryFiles } from '../../../test/faults/memory-files.ts';
import { TINY_SETUP } from '../../../test/train/tiny.ts';
import { GpuDevice } from '../../gpu/device.ts';
import { host as realHost } from '../../host/index.ts';
import { planTraining } from '../../train/programs.ts';
import { Stepper } from '../../train/stepper.ts';
import { collate } from '../loader.ts';
import { fillPack, type Pack } from '../pack.ts';
import { sampleSplits } from '../sample/index.ts';
import { openPacked, packShards, trainingPack } from './index.ts';

const T = 96;
/** The bound, relative. */
const BOUND = 1e-5;
let device: GpuDevice;
let stepper: Stepper;

beforeAll(async () => {
  device = await GpuDevice.open();
  const setup = { ...TINY_SETUP, batch: 1, tokens: T };
  stepper = new Stepper(device, setup, planTraining(setup, device.facts));
  await stepper.startFresh(3);
});
afterAll(() => {
  stepper?.destroy();
  device?.destroy();
});

/** Negative log-likelihood of each position of a pack. */
async function losses(pack: Pack): Promise<Float32Array> {
  const { ids, positions, ranges, labels } = collate([pack]);
  const program = stepper.session.programs.evaluate;
  program.run({ ids, positions, ranges, labels });
  return (await program.read()).nll as Float32Array;
}

const sum = (values: Float32Array): number => values.reduce((a, b) => a + b, 0);

test('the loss of a document in a pack equals its loss alone', async () => {
  const machine = await realHost();
  const files = new MemoryFiles();
  await files.makeDir('/in');
  const docs = sampleSplits({ documents: 40 }).train.map((d, i) => ({
    id: d.id,
    category: `c${i % 2}`,
    ...(i % 3 === 0 ? { source: d.target.slice(0, 15) } : {}),
    target: d.target.slice(0, 10 + ((i * 37) % 150)),
  }));
  await files.write('/in/a.jsonl', new TextEncoder().encode(docs.map((d) => `${JSON.stringify(d)}\n`).join('')));
  const host = { ...machine, files };
  await packShards(host, { shards: ['/in/a.jsonl'], tokenizer: byteTokenizer(), T, buckets: 2, seed: 1, scratch: '/work', out: '/out' });
  const folder = await openPacked(files, '/out');
  let segments = 0;
  let shared = 0;
  let worst = 0;
  let seen = 0;
  for (const k of [0, 1]) {
    const bucket = await folder.bucket(k);
    for (const stored of await bucket.read(0, bucket.packs)) {
      const together = await losses(trainingPack(stored, T, 0));
      // One document over the whole row: what packing without masks would learn.
      const blind = await losses(trainingPack({ ...stored, segments: [{ ...stored.segments[0], start: 0, length: stored.used, next: -100 }] }, T, 0));
      for (const { start, length, next, document } of stored.segments) {
        const piece = {
          tokens: Uint32Array.from(stored.tokens.subarray(start, start + length)),
          learnt: stored.learnt.slice(start, start + length),
          next,
        };
        const alone = sum(await losses(fillPack([piece], T, 0, 0)));
        segments++;
        if (stored.segments.length > 1) shared++;
        if (alone > 0) worst = Math.max(worst, Math.abs(sum(together.subarray(start, start + length)) - alone) / alone);
        if (alone > 0 && start > 0) seen = Math.max(seen, Math.abs(sum(blind.subarray(start, start + length)) - alone) / alone);
        expect(document).toBeLessThan(docs.length);
      }
    }
    await bucket.close();
  }
  console.log(
    `${segments} segments, ${shared} of them in packs with others: loss off by at most ${worst.toExponential(1)}, without masks by ${seen.toExponential(1)}`,
  );
  expect(shared).toBeGreaterThan(10);
  expect(worst).toBeLessThanOrEqual(BOUND);
  expect(seen).toBeGreaterThan(100 * BOUND);
});
