/**
 * The whole way from shards to packs, over files in memory: every document is put together again from its segments and held
 * against what the tokenizer gives; the same bytes for any order of the steps; damage is told by its kind.
 */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { byteTokenizer } from '../../../test/data/byte-tokenizer.ts';
import { MemoryFiles } from '../../../test/faults/memory-files.ts';
import { Random } from '../../base/random.ts';
import { openSafetensors } from '../../formats/safetensors.ts';
import { host as realHost } from '../../host/index.ts';
import type { Host } from '../../host/types.ts';
import type { Doc } from '../doc.ts';
import { IGNORE_LABEL } from '../pack.ts';
import { TokenBuffer } from './encode.ts';
import {
  type BucketFacts,
  DocumentEncoder,
  finishPacked,
  hfLabels,
  openPacked,
  type PackShardsOptions,
  packShards,
  planBuckets,
  tokenCounts,
  tokenizerHash,
  tokenizeShard,
  trainingPack,
  writeBucket,
} from './index.ts';

let machine: Host;
beforeAll(async () => {
  machine = await realHost();
});

async function memoryHost(): Promise<Host & { files: MemoryFiles }> {
  const files = new MemoryFiles();
  await files.makeDir('/in');
  return { ...machine, files };
}

function someDocs(count: number, seed: number, longest = 400): Doc[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, i) => {
    const text = (most: number) => Array.from({ length: 1 + random.below(most) }, () => 'abc é中\n'[random.below(7)]).join('');
    const base = { id: `doc ${i}`, category: ['web', 'book', '__proto__', '诗'][random.below(4)] };
    if (i % 7 === 3)
      return {
        ...base,
        target: '',
        messages: [
          { role: 'user', content: text(40) },
          { role: 'assistant', content: text(90) },
          { role: 'user', content: 'x' },
        ],
      };
    return { ...base, target: i % 11 === 5 ? '' : text(longest), ...(i % 3 === 0 ? { source: text(60) } : {}) };
  });
}

async function writeShards(host: Host, docs: readonly Doc[], perShard: number): Promise<string[]> {
  const paths: string[] = [];
  for (let at = 0; at === 0 || at < docs.length; at += perShard) {
    const path = `/in/shard-${String(paths.length).padStart(5, '0')}.jsonl`;
    const lines = docs.slice(at, at + perShard).map((d) => `${JSON.stringify(d)}\n`);
    await host.files.write(path, new TextEncoder().encode(lines.join('')));
    paths.push(path);
  }
  return paths;
}

async function build(docs: readonly Doc[], options: Partial<PackShardsOptions> & { T: number }) {
  const host = await memoryHost();
  const tokenizer = options.tokenizer ?? byteTokenizer();
  const shards = await writeShards(host, docs, 13);
  return { host, shards, tokenizer, ...(await packShards(host, { shards, tokenizer, scratch: '/work', out: '/out', ...options })) };
}

/** Puts every document together from its segments and compares it with the encoder's own output. */
async function checkWhole(docs: readonly Doc[], copies: (document: number) => number, built: Awaited<ReturnType<typeof build>>): Promise<void> {
  const { host, manifest, tokenizer } = built;
  const folder = await openPacked(host.files, '/out');
  const found = new Map<string, { from: number; tokens: number[]; learnt: number[]; next: number; category: string }[]>();
  let labels = 0;
  let segmentCount = 0;
  for (let k = 0; k < manifest.buckets.length; k++) {
    const bucket = await folder.bucket(k);
    for (let p = 0; p < bucket.packs; p++) {
      const [stored] = await bucket.read(p);
      const pack = trainingPack(stored, manifest.T, manifest.pad);
      expect(pack.labelCount).toBe(bucket.packLabels[p]);
      labels += pack.labelCount;
      expect([...stored.tokens].slice(stored.used)).toEqual(new Array(manifest.T - stored.used).fill(manifest.pad));
      for (const { start, length, document, copy, from, next, category } of stored.segments) {
        segmentCount++;
        const key = `${document}/${copy}`;
        const own = found.get(key) ?? [];
        found.set(key, own);
        own.push({ from, tokens: [...stored.tokens].slice(start, start + length), learnt: [...stored.learnt].slice(start, start + length), next, category });
        expect([...pack.positions].slice(start, start + length)).toEqual(Array.from({ length }, (_, i) => i));
        expect([...pack.ranges].slice(4 * start, 4 * start + 2)).toEqual([start, start + 1]);
      }
    }
    await bucket.close();
  }
  expect(segmentCount).toBe(manifest.segments);
  const encoder = new DocumentEncoder(tokenizer);
  let tokens = 0;
  let learntTokens = 0;
  let entries = 0;
  docs.forEach((doc, document) => {
    const buffer = new TokenBuffer();
    if (encoder.add(doc, buffer) !== null) return;
    const ids = [...buffer.ids.subarray(0, buffer.length)];
    const flags = ids.map((_, i) => (buffer.learnt[i >> 3] >> (i & 7)) & 1);
    for (let copy = 0; copy < copies(document); copy++) {
      const own = found.get(`${document}/${copy}`)?.toSorted((a, b) => a.from - b.from) ?? [];
      entries++;
      tokens += ids.length;
      learntTokens += flags.reduce((sum, bit) => sum + bit, 0);
      expect(own.flatMap((s) => s.tokens)).toEqual(ids);
      expect(own.flatMap((s) => s.learnt)).toEqual(flags);
      for (const { from, tokens: run, next, category } of own) {
        const end = from + run.length;
        expect(next).toBe(end < ids.length && flags[end] === 1 ? ids[end] : IGNORE_LABEL);
        expect(category).toBe(doc.category);
      }
      if (ids.length <= manifest.T) expect(own.length).toBe(1);
    }
  });
  expect(found.size).toBe(entries);
  expect(manifest.tokens).toBe(tokens);
  expect(manifest.labels).toBe(learntTokens);
  expect(labels).toBe(learntTokens);
}

describe('packShards', () => {
  it.each([
    [7, 3],
    [64, 4],
    [1000, 10],
    [5000, 3],
  ])('holds every document whole, T = %i in %i buckets', async (T, buckets) => {
    const docs = someDocs(90, T);
    const built = await build(docs, { T, buckets, seed: 3 });
    await checkWhole(docs, () => 1, built);
    const drops = built.counts.flatMap((c) => c.drops);
    expect(drops.every(({ reason }) => reason === 'tokenize.empty')).toBe(true);
    expect(docs.length).toBe(built.manifest.categories.reduce((sum, c) => sum + c.documents, 0) + drops.length);
  });

  it('uses documents as often as asked, copies in different buckets', async () => {
    const docs = someDocs(60, 5);
    const times = (document: number) => document % 4;
    const copies = Array.from({ length: Math.ceil(docs.length / 13) }, (_, s) =>
      s === 1 ? null : Array.from({ length: Math.min(13, docs.length - 13 * s) }, (_, i) => times(13 * s + i)),
    );
    const built = await build(docs, { T: 512, buckets: 5, copies });
    await checkWhole(docs, (d) => (Math.floor(d / 13) === 1 ? 1 : times(d)), built);
    const folder = await openPacked(built.host.files, '/out');
    const where = new Map<number, number[]>();
    for (let k = 0; k < 5; k++) {
      const bucket = await folder.bucket(k);
      for (let p = 0; p < bucket.packs; p++)
        for (const { document, from } of bucket.segments(p)) if (from === 0) where.set(document, [...(where.get(document) ?? []), k]);
      await bucket.close();
    }
    for (const buckets of where.values()) expect(new Set(buckets).size).toBe(buckets.length);
  });

  it('holds any documents, whatever their number and length', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 2, max: 80 }),
        fc.integer({ min: 1, max: 6 }),
        fc.nat(1e6),
        async (count, T, buckets, seed) => {
          const docs: Doc[] = [{ id: 'one', category: 'c', target: 'x' }, ...someDocs(count, seed, 120)];
          await checkWhole(docs, () => 1, await build(docs, { T, buckets, seed }));
        },
      ),
      { numRuns: 40 },
    );
  });

  it('writes wide ids where the vocabulary needs them', async () => {
    const docs = someDocs(20, 8);
    const built = await build(docs, { T: 100, buckets: 2, tokenizer: byteTokenizer({ vocabSize: 70_000 }) });
    expect(built.manifest.dtype).toBe('U32');
    await checkWhole(docs, () => 1, built);
  });

  it('gives the same bytes whatever the order of the steps, and other packs under another seed', async () => {
    const docs = someDocs(80, 2);
    const first = await build(docs, { T: 128, buckets: 4, seed: 1 });
    const host = await memoryHost();
    const shards = await writeShards(host, docs, 13);
    await host.files.makeDir('/work');
    const tokenFiles = shards.map((_, i) => `/work/tokens-${String(i).padStart(5, '0')}.safetensors`);
    for (let i = shards.length - 1; i >= 0; i--) await tokenizeShard(host, { in: shards[i], out: tokenFiles[i], tokenizer: first.tokenizer });
    await planBuckets(host, { shards: tokenFiles, T: 128, buckets: 4, seed: 1, out: '/work' });
    await planBuckets(host, { shards: tokenFiles, T: 128, buckets: 4, seed: 1, out: '/work' });
    const facts: BucketFacts[] = [];
    for (const bucket of [2, 0, 3, 1, 2]) facts[bucket] = await writeBucket(host, { plan: '/work', bucket, out: '/out' });
    const manifest = await finishPacked(host, { plan: '/work', out: '/out', buckets: facts, tokenizer: first.tokenizer });
    expect(manifest).toEqual(first.manifest);
    expect(await host.files.read('/out/manifest.json')).toEqual(await first.host.files.read('/out/manifest.json'));
    expect((await host.files.list('/out/buckets')).map(({ name }) => name)).toEqual([0, 1, 2, 3].map((k) => `bucket-0${k}.safetensors`));
    await (await openPacked(host.files, '/out')).verify(() => machine.sha256());
    expect(await Promise.all(tokenFiles.map((path) => tokenCounts(host.files, path)))).toEqual(first.counts);
    const other = await build(docs, { T: 128, buckets: 4, seed: 2 });
    expect(other.manifest.buckets[0].sha256).not.toBe(first.manifest.buckets[0].sha256);
  });

  it('refuses what cannot be packed', async () => {
    const docs = someDocs(5, 2);
    await expect(build(docs, { T: 1 })).rejects.toThrow(/T must be an integer from 2/);
    await expect(build(docs, { T: 64, buckets: 0 })).rejects.toThrow(/buckets must be/);
    await expect(build(docs, { T: 64, copies: [[1]] })).rejects.toThrow(/has 5 documents, its list of copies 1/);
    await expect(build(docs, { T: 64, copies: [[0, 0, 0, 0, 0]] })).rejects.toThrow(/no token/);
    await expect(build([], { T: 64 })).rejects.toThrow(/0 documents/);
  });
});

describe('openPacked', () => {
  const docs = someDocs(60, 4);

  it('tells damage by its kind', async () => {
    const { host, tokenizer, manifest } = await build(docs, { T: 64, buckets: 3 });
    const { files } = host;
    const open = (expected = {}) => openPacked(files, '/out', expected);
    await expect(open({ T: 64, tokenizer: await tokenizerHash(machine, tokenizer), vocabSize: 300 })).resolves.toBeDefined();
    await expect(open({ T: 65 })).rejects.toMatchObject({ kind: 'input', message: expect.stringMatching(/packs of 64 tokens, 65/) });
    await expect(open({ tokenizer: await tokenizerHash(machine, byteTokenizer({ prefix: true })) })).rejects.toMatchObject({
      kind: 'input',
      message: expect.stringMatching(/another tokenizer/),
    });
    await expect(open({ vocabSize: 100 })).rejects.toMatchObject({ kind: 'input', message: expect.stringMatching(/vocabulary of 259/) });
    await expect(openPacked(files, '/in')).rejects.toMatchObject({ kind: 'input', message: expect.stringMatching(/no manifest.json/) });

    const path = '/out/buckets/bucket-01.safetensors';
    const good = await files.read(path);
    await files.write(path, good.subarray(0, good.length - 1));
    await expect(open()).rejects.toMatchObject({ kind: 'format', message: expect.stringMatching(/cut or damaged/) });
    await files.remove(path);
    await expect(open()).rejects.toMatchObject({ kind: 'format', message: expect.stringMatching(/missing/) });
    // A flipped bit among the tokens is seen by the hash alone.
    const flipped = good.slice();
    flipped[flipped.length - 1] ^= 1;
    await files.write(path, flipped);
    await expect((await open()).verify(() => machine.sha256())).rejects.toMatchObject({ kind: 'format', message: expect.stringMatching(/bucket-01.*SHA-256/) });
    // One in the tables, when the bucket is opened.
    const { tensors } = await openSafetensors(good, path);
    const bad = good.slice();
    bad[(tensors.get('pack_used')?.offset ?? 0) + 1] ^= 0xff;
    await files.write(path, bad);
    await expect((await open()).bucket(1)).rejects.toMatchObject({ kind: 'format', message: expect.stringMatching(/contradict/) });
    await files.write(path, good);

    const text = new TextDecoder().decode(await files.read('/out/manifest.json'));
    const rewrite = (from: string | RegExp, to: string) => files.write('/out/manifest.json', new TextEncoder().encode(text.replace(from, to)));
    await rewrite(`"tokens": ${manifest.tokens},\n "labels"`, `"tokens": ${manifest.tokens + 1},\n "labels"`);
    await expect(open()).rejects.toMatchObject({ kind: 'format', message: expect.stringMatching(/buckets have/) });
    await rewrite('buckets/bucket-01.safetensors', '../../etc/passwd');
    await expect(open()).rejects.toMatchObject({ kind: 'format' });
    await rewrite('"version": 1', '"version": 2');
    await expect(open()).rejects.toMatchObject({ kind: 'format', message: expect.stringMatching(/reads up to 1/) });
    await rewrite(/\}\s*$/, '');
    await expect(open()).rejects.toMatchObject({ kind: 'format', message: expect.stringMatching(/not JSON/) });
  });

  it('gives labels for trainers that shift by themselves', async () => {
    const { host, manifest } = await build(docs, { T: 64, buckets: 2 });
    const folder = await openPacked(host.files, '/out');
    const bucket = await folder.bucket(0);
    let kept = 0;
    let cut = 0;
    for (const stored of await bucket.read(0, bucket.packs)) {
      const pack = trainingPack(stored, manifest.T, manifest.pad);
      const labels = hfLabels(stored);
      // Their shift: position t learns labels[t + 1].
      for (let t = 0; t + 1 < manifest.T; t++) {
        const ours = pack.labels[t];
        if (labels[t + 1] !== IGNORE_LABEL) {
          expect(ours).toBe(labels[t + 1]);
          kept++;
        }
      }
      cut += stored.segments.filter(({ next }) => next !== IGNORE_LABEL).length;
    }
    expect(kept + cut).toBe(manifest.buckets[0].labels);
    await bucket.close();
  });
});
