/** Perplexity under a real model (stories260K, exported to a Hugging Face folder): stories are likelier than their words in another order. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { exportHf } from '../../checkpoint/hf.ts';
import { importLlama2c } from '../../checkpoint/llama2c-import.ts';
import type { Doc } from '../../data/doc.ts';
import { host } from '../../host/index.ts';
import type { Host } from '../../host/types.ts';
import { loadTokenizer, saveTokenizer } from '../../text/tokenizer.ts';
import { PerplexityScorer, scoreShardPerplexity } from './perplexity.ts';

const data = process.env.SCION_DATA;
const stories = data ? join(data, 'models/stories260K/stories260K.bin') : '';

describe.skipIf(!data || !existsSync(stories))('perplexity under a model', () => {
  let machine: Host;
  let dir: string;
  beforeAll(async () => {
    machine = await host();
    dir = mkdtempSync(join(tmpdir(), 'scion-perplexity-'));
    const source = await importLlama2c(machine.files, stories);
    const tokenizer = await loadTokenizer(machine.files, join(data as string, 'models/stories260K/tok512.model'));
    await exportHf(machine.files, join(dir, 'model'), source.config, source.read, { dtype: 'f32' });
    await source.close();
    await saveTokenizer(machine.files, tokenizer, join(dir, 'model'));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('is low for stories, higher for shuffled ones, the same alone and in a shard', async () => {
    const random = new Random(2);
    const texts = readFileSync(join(data as string, 'corpora/en_stories.jsonl'), 'utf8')
      .split('\n')
      .slice(0, 6)
      .map((line) => (JSON.parse(line) as { target: string }).target);
    const shuffled = texts.map((t) => random.shuffle(t.split(' ')).join(' '));
    const scorer = await PerplexityScorer.open(machine.files, { model: join(dir, 'model'), window: 128, maxTokens: 200 });
    try {
      const docs = [...texts, ...shuffled, ''].map((target, i): Doc => ({ id: `${i}`, category: 'x', target }));
      writeFileSync(join(dir, 'in.jsonl'), docs.map((d) => JSON.stringify(d)).join('\n'));
      expect(await scoreShardPerplexity(machine, join(dir, 'in.jsonl'), join(dir, 'out.jsonl'), scorer)).toBe(13);
      const scored = readFileSync(join(dir, 'out.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Doc);
      const values = scored.map((d) => d.scores?.perplexity ?? 0);
      for (let i = 0; i < 6; i++) {
        expect(values[i]).toBeGreaterThan(1.5);
        expect(values[i]).toBeLessThan(12);
        expect(values[i + 6]).toBeGreaterThan(2 * values[i]);
      }
      // Without any token there is nothing to say.
      expect(scored[12].scores).toBeUndefined();
      const [alone] = await scorer.perplexities([texts[3]]);
      expect(alone).toBeCloseTo(values[3], 3);
    } finally {
      scorer.close();
    }
    await expect(PerplexityScorer.open(machine.files, { model: dir })).rejects.toThrow();
  }, 120_000);
});
