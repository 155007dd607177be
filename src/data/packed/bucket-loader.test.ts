/**
 * The loader: every pack once an epoch, bucket after bucket, and a resume at any point that gives exactly the batches that an
 * undisturbed run would have given.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { byteTokenizer } from '../../../test/data/byte-tokenizer.ts';
import { MemoryFiles } from '../../../test/faults/memory-files.ts';
import { Random } from '../../base/random.ts';
import { host as realHost } from '../../host/index.ts';
import type { Batch } from '../loader.ts';
import { BucketLoader, openPacked, type PackedFolder, packShards } from './index.ts';

const T = 48;
let folder: PackedFolder;
let other: PackedFolder;

async function packed(seed: number, buckets: number): Promise<PackedFolder> {
  const machine = await realHost();
  const files = new MemoryFiles();
  await files.makeDir('/in');
  const random = new Random(seed);
  const docs = Array.from({ length: 120 }, (_, i) => ({
    id: String(i),
    category: `c${i % 3}`,
    // Some sources are long enough for packs without any label.
    ...(i % 20 === 0 ? { source: 'q'.repeat(200) } : {}),
    target: Array.from({ length: 1 + random.below(90) }, () => 'abcdefg'[random.below(7)]).join(''),
  }));
  await files.write('/in/a.jsonl', new TextEncoder().encode(docs.map((d) => `${JSON.stringify(d)}\n`).join('')));
  await packShards({ ...machine, files }, { shards: ['/in/a.jsonl'], tokenizer: byteTokenizer(), T, buckets, seed, scratch: '/work', out: '/out' });
  return openPacked(files, '/out');
}

beforeAll(async () => {
  folder = await packed(1, 5);
  other = await packed(2, 5);
});

async function take(loader: BucketLoader, count: number): Promise<Batch[]> {
  const out: Batch[] = [];
  for (let i = 0; i < count; i++) out.push(await loader.next());
  return out;
}

const rowsOf = (batches: readonly Batch[]): string[] =>
  batches.flatMap(({ ids }) => Array.from({ length: ids.length / T }, (_, b) => ids.subarray(b * T, (b + 1) * T).join()));

describe('BucketLoader', () => {
  it('continues exactly after a stop at 50 random places, over borders of buckets and epochs and through JSON', async () => {
    const B = 3;
    const loader = () => new BucketLoader(folder, { B, seed: 5 });
    const whole = loader();
    const total = Math.ceil(2.5 * whole.batchesPerEpoch);
    const states: string[] = [];
    const all: Batch[] = [];
    for (let i = 0; i < total; i++) {
      states.push(JSON.stringify(whole.state()));
      all.push(await whole.next());
    }
    await whole.close();
    expect(all.at(-1)?.epoch).toBeGreaterThanOrEqual(2);
    const places = states.map((s) => JSON.parse(s) as { bucket: number; epoch: number });
    expect(new Set(places.map(({ bucket }) => bucket)).size).toBe(5);
    const random = new Random(11);
    for (let i = 0; i < 50; i++) {
      const k = random.below(total);
      const second = loader();
      // A loader that has already run must come to the same place.
      await take(second, i % 4);
      second.restore(JSON.parse(states[k]));
      for (let n = k; n < total; n++) expect(await second.next()).toEqual(all[n]);
      await second.close();
    }
  });

  it('goes on from another bucket while the batch ahead is still being read', async () => {
    // Files that answer late, so that the reads of the old place are under way when the new one begins.
    const machine = await realHost();
    const slow = (wait: number): PackedFolder => {
      const bucketOf = folder.bucket.bind(folder);
      return Object.assign(Object.create(folder) as PackedFolder, {
        manifest: folder.manifest,
        dir: folder.dir,
        fingerprint: folder.fingerprint,
        bucket: async (k: number) => {
          const bucket = await bucketOf(k);
          let open = true;
          return {
            packLabels: bucket.packLabels,
            read: async (first: number) => {
              // As a file does: a read under way when it is closed still ends well.
              if (!open) throw new Error('read after close');
              await machine.sleep(wait);
              return bucket.read(first);
            },
            close: async () => {
              open = false;
            },
          };
        },
      });
    };
    const loader = new BucketLoader(slow(2), { B: 4, seed: 5 });
    const [first] = await take(loader, 1);
    const start = loader.state();
    for (const bucket of [0, 1, 2]) {
      // The batch ahead takes the last pack of a bucket and then opens the one behind it.
      loader.restore({ ...start, bucket, cursor: folder.manifest.buckets[bucket].trainable - 5 });
      await take(loader, 1);
      loader.restore({ ...start, bucket: 4, cursor: 0 });
      await take(loader, 1);
    }
    loader.restore({ ...start, bucket: 0, cursor: 0 });
    expect(await loader.next()).toEqual(first);
    await loader.close();
  });

  it('gives every pack with a label once an epoch, bucket by bucket, in another order each time', async () => {
    const buckets = folder.manifest.buckets;
    expect(buckets.some(({ trainable, packs }) => trainable < packs)).toBe(true);
    const perEpoch = buckets.reduce((sum, { trainable }) => sum + trainable, 0);
    const loader = new BucketLoader(folder, { B: 1, seed: 3 });
    expect(loader.packsPerEpoch).toBe(perEpoch);
    const rows = rowsOf(await take(loader, 2 * perEpoch));
    const epochs = [rows.slice(0, perEpoch), rows.slice(perEpoch)];
    let at = 0;
    for (const [k, { trainable }] of buckets.entries()) {
      const bucket = await folder.bucket(k);
      const stored = (await bucket.read(0, bucket.packs)).filter((_, p) => bucket.packLabels[p] > 0).map(({ tokens }) => Array.from(tokens).join());
      await bucket.close();
      for (const epoch of epochs) expect(epoch.slice(at, at + trainable).sort()).toEqual(stored.toSorted());
      at += trainable;
    }
    expect(epochs[0]).not.toEqual(epochs[1]);
    await loader.close();
    const again = new BucketLoader(folder, { B: 1, seed: 4 });
    expect(rowsOf(await take(again, perEpoch))).not.toEqual(epochs[0]);
    await again.close();
  });

  it('has no batch without a label, and the sums of its manifest', async () => {
    const loader = new BucketLoader(folder, { B: 1, seed: 0 });
    const batches = await take(loader, loader.packsPerEpoch);
    await loader.close();
    expect(batches.every(({ tokens }) => tokens > 0)).toBe(true);
    expect(batches.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(folder.manifest.labels);
  });

  it('holds a sliding window to its pack', async () => {
    const loader = new BucketLoader(folder, { B: 1, seed: 0, window: 4 });
    const [{ ranges, used }] = await take(loader, 1);
    for (let t = 0; t < used; t++) expect(ranges[4 * t + 1] - ranges[4 * t]).toBeLessThanOrEqual(4);
    await loader.close();
  });

  it('refuses a state of other data, another seed, or an impossible place', async () => {
    const state = new BucketLoader(folder, { B: 2, seed: 3 }).state();
    const target = () => new BucketLoader(folder, { B: 2, seed: 3 });
    expect(() => new BucketLoader(other, { B: 2, seed: 3 }).restore(state)).toThrow(/resume: the data loader had (packs|fingerprint)/);
    expect(() => new BucketLoader(folder, { B: 2, seed: 4 }).restore(state)).toThrow(/had seed 3, now it has 4/);
    for (const bad of [{ cursor: 1e6 }, { cursor: -1 }, { bucket: 5 }, { bucket: 0.5 }, { epoch: -1 }]) {
      expect(() => target().restore({ ...state, ...bad })).toThrow(/impossible/);
    }
    for (const bad of [null, undefined, 3, {}]) expect(() => target().restore(bad)).toThrow(/resume/);
    expect(() => new BucketLoader(folder, { B: 0 })).toThrow(/got 0/);
  });
});
