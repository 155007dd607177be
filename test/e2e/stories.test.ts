/**
 * The trained model of the data folder through the command line alone: import, score, generate, on Node and on Deno, and in
 * a Worker of a page, against `reference.json` beside it (an independent float64 implementation).
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runWorker } from '../runtime/browser/page.ts';
import { type Runtime, scionJson } from './cli.ts';
import type { StoriesMessage, StoriesWork } from './stories-worker.ts';

const data = process.env.SCION_DATA;
const model = `${data}/models/stories260K`;

interface Reference {
  readonly greedy: { readonly prompt: string; readonly prompt_ids: number[]; readonly new_ids: number[]; readonly text: string }[];
  readonly nll: { readonly text_id: string; readonly ids: number[]; readonly tokens_scored: number; readonly sum_nll: number; readonly mean_nll: number }[];
}

/** The bound on per-token loss; the file's numbers are rounded to 1e-6. */
const NLL = 1e-4;

if (!data) console.log('skipped: no SCION_DATA');

describe.skipIf(!data)('stories260K by command line', () => {
  let folder = '';
  let reference: Reference;
  /** The reference's texts, as the user's own JSON Lines. */
  let texts = '';

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'scion-stories-'));
    reference = JSON.parse(readFileSync(`${model}/reference.json`, 'utf8')) as Reference;
    const wanted = new Set(reference.nll.map((d) => d.text_id));
    const lines = readFileSync(`${data}/corpora/en_stories.jsonl`, 'utf8')
      .split('\n')
      .filter((line) => line !== '' && wanted.has((JSON.parse(line) as { id: string }).id));
    texts = join(folder, 'texts.jsonl');
    writeFileSync(texts, `${lines.join('\n')}\n`);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  describe.each<Runtime>(['node', 'deno'])('on %s', (runtime) => {
    const imported = () => join(folder, runtime);

    test('import', async () => {
      const found = await scionJson<{ files: string[]; parameters: number; dtype: string }>(runtime, [
        'import',
        `${model}/stories260K.bin`,
        '--tokenizer',
        `${model}/tok512.model`,
        '--out',
        imported(),
      ]);
      expect(found.parameters).toBe(260032);
      expect(found.dtype).toBe('f32');
      expect(found.files).toEqual(
        expect.arrayContaining(['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.model', 'tokenizer_config.json']),
      );
    });

    test('score: the losses of 18 stories', async () => {
      const args = ['score', '--model', imported(), '--data', texts, '--max-tokens', '256'];
      const found = await scionJson<{
        documents: { id: string; tokens: number; bytes: number; nll: number }[];
        tokens: number;
        nll: number;
        bitsPerByte: number;
      }>(runtime, args);
      expect(found.documents.map((d) => d.id)).toEqual(reference.nll.map((d) => d.text_id));
      const off = found.documents.map((d, i) => Math.abs(d.nll / d.tokens - reference.nll[i].mean_nll));
      console.log(`${runtime}: per-token loss off by at most ${Math.max(...off).toExponential(1)}`);
      found.documents.forEach((d, i) => {
        expect(d.tokens).toBe(reference.nll[i].tokens_scored);
        expect(off[i], d.id).toBeLessThanOrEqual(NLL);
      });
      const sum = reference.nll.reduce((a, d) => a + d.sum_nll, 0);
      expect(found.tokens).toBe(reference.nll.reduce((a, d) => a + d.tokens_scored, 0));
      expect(Math.abs(found.nll - sum) / found.tokens).toBeLessThanOrEqual(NLL);
      const byteCount = found.documents.reduce((a, d) => a + d.bytes, 0);
      expect(found.bitsPerByte).toBeCloseTo(found.nll / Math.LN2 / byteCount, 12);
    });

    test('generate: 200 greedy tokens, all equal', async () => {
      for (const { prompt, prompt_ids, new_ids, text } of reference.greedy) {
        const args = ['generate', '--model', imported(), '--prompt', prompt, '--max-new-tokens', String(new_ids.length)];
        const found = await scionJson<{ promptIds: number[]; newIds: number[]; text: string }>(runtime, args);
        expect(found.promptIds).toEqual(prompt_ids);
        expect(found.newIds).toEqual(new_ids);
        expect(found.text).toBe(text);
      }
    });
  });

  test('in Chromium: 200 greedy tokens, all equal, and the losses', { timeout: 180_000 }, async () => {
    const work: StoriesWork = { greedy: reference.greedy, documents: reference.nll.map((d) => d.ids.slice(1)) };
    const beside = new Map([
      ['stories.bin', readFileSync(`${model}/stories260K.bin`)],
      ['work.json', Buffer.from(JSON.stringify(work))],
    ]);
    const messages: StoriesMessage[] = [];
    await runWorker<StoriesMessage>(join(import.meta.dirname, 'stories-worker.ts'), '', (message) => messages.push(message) > 0, 170, beside);
    const [found] = messages;
    if (found.kind === 'error') throw new Error(found.message);
    expect(found.newIds).toEqual(reference.greedy.map((g) => g.new_ids));
    const off = found.meanNll.map((x, i) => Math.abs(x - reference.nll[i].mean_nll));
    console.log(`Chromium on ${found.adapter}: per-token loss off by at most ${Math.max(...off).toExponential(1)}`);
    for (const [i, d] of reference.nll.entries()) expect(off[i], d.text_id).toBeLessThanOrEqual(NLL);
  });

  test('both wrote the same bytes', () => {
    for (const name of ['model.safetensors', 'config.json', 'tokenizer.model', 'tokenizer_config.json']) {
      expect(readFileSync(join(folder, 'deno', name)).equals(readFileSync(join(folder, 'node', name))), name).toBe(true);
    }
  });
});
