/**
 * `scion init` at LLaMA-2-7B's real shapes: both matrices [32000, 4096] in f16, sharded, to 69,104 rows, by the command line in a process of its
 * own, so that its peak memory is its own. The full tier runs it at size; otherwise the same with 256 columns.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sourcesOf } from '../../src/checkpoint/grow/sources.ts';
import { openHfWeights } from '../../src/formats/hf-shards.ts';
import { posixFiles as files } from '../../src/host/posix.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { loadTokenizer } from '../../src/text/tokenizer.ts';
import { baseModel, grownModel, writeModelFolder, writeTokenizer } from './synthetic.ts';

const run = promisify(execFile);
const full = process.env.SCION_TIER === 'full';
const columns = full ? 4096 : 256;
const CHARACTERS = 700; // as many Chinese characters as LLaMA-2's vocabulary has
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scion-7b-'));
  const model = baseModel(32_000, CHARACTERS);
  const config = makeConfig({ vocabSize: 32_000, hiddenSize: columns, intermediateSize: 64, numLayers: 2, numHeads: 1, numKvHeads: 1, headSize: 64 });
  // As in the published model: the embedding in the first shard, the head in the last; one more between them.
  const shardOf = (name: string): number => (name === 'model.embed_tokens.weight' ? 0 : name === 'lm_head.weight' ? 2 : 1);
  await writeModelFolder(files, join(folder, 'base'), config, { dtype: 'F16', seed: 7, shardOf });
  await writeTokenizer(files, join(folder, 'base'), model);
  await writeTokenizer(files, join(folder, 'tokenizer'), grownModel(model, 37_104, CHARACTERS, 1));
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

it('grows 32,000 rows to 69,104 in time and memory, every sampled row right', { timeout: 300_000 }, async () => {
  const [base, out] = [join(folder, 'base'), join(folder, 'out')];
  const words = ['bin/scion.mjs', 'init', '--base', base, '--tokenizer', join(folder, 'tokenizer'), '--out', out, '--method', 'mean', '--json'];
  const { stdout } = await run(process.env.SCION_NODE ?? process.execPath, words, { cwd: join(import.meta.dirname, '../..'), maxBuffer: 1 << 24 });
  const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as {
    rows: number;
    seconds: number;
    peakRssBytes: number;
    linked: string[];
    rewritten: string[];
  };
  console.log(`init at ${columns} columns: ${report.seconds.toFixed(1)} s, ${(report.peakRssBytes / 2 ** 20).toFixed(0)} MiB`);
  expect(report.rows).toBe(69_104);
  expect(report.seconds).toBeLessThan(60);
  expect(report.peakRssBytes).toBeLessThan(800e6);
  const untouched = 'model-00002-of-00003.safetensors';
  expect(report.rewritten).not.toContain(untouched);
  expect((await readFile(join(out, untouched))).equals(await readFile(join(base, untouched)))).toBe(true);
  expect((await stat(join(base, untouched))).nlink).toBe(2);

  const sources = sourcesOf(await loadTokenizer(files, base), await loadTokenizer(files, join(folder, 'tokenizer')));
  const [before, after] = [await openHfWeights(files, base), await openHfWeights(files, out)];
  try {
    for (const tensor of ['model.embed_tokens.weight', 'lm_head.weight']) {
      expect(after.info(tensor).shape).toEqual([69_104, columns]);
      for (let first = 0; first < 32_000; first += 4000)
        expect(Buffer.from(await after.readRows(tensor, first, 4000)).equals(await before.readRows(tensor, first, 4000))).toBe(true);
      for (let i = 0; i < sources.length; i += 371) {
        const { id, mean } = sources[i];
        const sum = new Float64Array(columns);
        for (const one of mean) {
          const row = new Float16Array((await before.readRows(tensor, one, 1)).buffer);
          for (let j = 0; j < columns; j++) sum[j] += row[j];
        }
        // The engine's own half type rounds the double once.
        const wanted = new Uint8Array(Float16Array.from(sum, (x) => x / mean.length).buffer);
        expect(Buffer.from(await after.readRows(tensor, id, 1)).equals(wanted)).toBe(true);
      }
    }
  } finally {
    await Promise.all([before.close(), after.close()]);
  }
});
