/**
 * The real corpora with the LLaMA 2 tokenizer: fill and no loss at 4,096 and 512 tokens, the same mix in every bucket, and a
 * loader that resumes anywhere. The figures, with what was found printed.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { host as realHost } from '../../host/index.ts';
import type { Host } from '../../host/types.ts';
import { loadTokenizer, type Tokenizer } from '../../text/tokenizer.ts';
import { BucketLoader, finishPacked, openPacked, type PackedManifest, planBuckets, tokenizeShard, writeBucket } from './index.ts';

const data = process.env.SCION_DATA;
if (!data) console.log('skipped: no SCION_DATA');

describe.skipIf(!data)('the corpora', () => {
  let machine: Host;
  let tokenizer: Tokenizer;
  let scratch = '';
  let shards: string[] = [];
  let tokens = 0;
  let documents = 0;
  const manifests = new Map<number, PackedManifest>();

  beforeAll(async () => {
    machine = await realHost();
    tokenizer = await loadTokenizer(machine.files, `${data}/tokenizers/llama2`);
    scratch = mkdtempSync(join(tmpdir(), 'scion-corpora-'));
    const names = readdirSync(`${data}/corpora`).filter((name) => name.endsWith('.jsonl'));
    for (const name of names) {
      const out = join(scratch, `${name}.safetensors`);
      const counts = await tokenizeShard(machine, { in: `${data}/corpora/${name}`, out, tokenizer });
      expect(counts.drops).toEqual([]);
      tokens += counts.tokens;
      documents += counts.documents;
      shards.push(out);
    }
    shards = shards.sort();
    for (const T of [4096, 512]) {
      const plan = join(scratch, `plan-${T}`);
      const out = join(scratch, `out-${T}`);
      await planBuckets(machine, { shards, T, buckets: 10, seed: 1, out: plan });
      const buckets = [];
      for (let bucket = 0; bucket < 10; bucket++) buckets.push(await writeBucket(machine, { plan, bucket, out }));
      manifests.set(T, await finishPacked(machine, { plan, out, buckets, tokenizer }));
    }
  }, 300_000);
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  const manifest = (T: number) => manifests.get(T) as PackedManifest;

  it.each([
    [4096, 0.98],
    [512, 0.995],
  ])('packs of %i tokens: nothing lost, fill at least %f', (T, least) => {
    const { fill, packs, tokens: packed } = manifest(T);
    console.log(`T = ${T}: ${documents} documents, ${packed} tokens in ${packs} packs, fill ${(100 * fill).toFixed(2)} %`);
    expect(packed).toBe(tokens);
    expect(fill).toBeGreaterThanOrEqual(least);
  });

  it('every bucket of packs of 512 has each category within 1 point of its share of the whole', () => {
    const { buckets, categories, tokens: all } = manifest(512);
    let worst = 0;
    for (const { mix, tokens: own } of buckets) {
      for (const [c, n] of mix.entries()) worst = Math.max(worst, 100 * Math.abs(n / own - categories[c].tokens / all));
    }
    console.log(`${categories.length} categories over 10 buckets: share off by at most ${worst.toFixed(3)} points`);
    expect(worst).toBeLessThanOrEqual(1);
  });

  it('the loader resumes at 50 of 50 random points with the same rest of the stream', { timeout: 120_000 }, async () => {
    const folder = await openPacked(machine.files, join(scratch, 'out-512'), { T: 512 });
    await folder.verify(() => machine.sha256());
    const options = { B: 8, seed: 9 };
    const whole = new BucketLoader(folder, options);
    const total = whole.batchesPerEpoch + 40;
    const states: unknown[] = [];
    const sums: number[] = [];
    // A hash of each batch: the stream itself would fill the memory.
    const hash = (ids: Uint32Array, labels: Int32Array): number => {
      let h = 1;
      for (let i = 0; i < ids.length; i++) h = Math.imul(h ^ ids[i] ^ (labels[i] << 16), 0x01000193);
      return h;
    };
    for (let i = 0; i < total; i++) {
      states.push(JSON.parse(JSON.stringify(whole.state())));
      const { ids, labels } = await whole.next();
      sums.push(hash(ids, labels));
    }
    await whole.close();
    const random = new Random(4);
    let good = 0;
    for (let run = 0; run < 50; run++) {
      // Ten of them stand right before the end of the epoch.
      const k = run < 10 ? total - 45 + run : random.below(total - 40);
      const loader = new BucketLoader(folder, options);
      loader.restore(states[k]);
      const rest: number[] = [];
      for (let i = k; i < Math.min(total, k + 40); i++) {
        const { ids, labels } = await loader.next();
        rest.push(hash(ids, labels));
      }
      await loader.close();
      expect(rest).toEqual(sums.slice(k, k + 40));
      good++;
    }
    expect(good).toBe(50);
  });
});
