/**
 * A checkpoint belongs to no host: what Deno saved, Node loads and saves again with equal hashes, and back; and a run
 * that goes from one to the other and back by command line ends with the weights, moments and step state of a run that stayed.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findLatest } from '../../src/checkpoint/load.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { child, DENO, NODE, need } from '../runtime/expect.ts';
import { type Runtime, scion } from './cli.ts';

/** Enough that a kill always finds the run at work. */
const STEPS = 240;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scion-cross-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function resave(runtime: Runtime, ...words: string[]): Promise<Record<string, string>> {
  const [program, before] = runtime === 'node' ? [need(NODE, 'SCION_NODE'), []] : [need(DENO, 'SCION_DENO'), ['run', '-A', '--no-lock']];
  const ran = await child(program, [...before, 'test/e2e/resave.ts', ...words], { seconds: 120 });
  if (ran.code !== 0) throw new Error(`${runtime} ${words.join(' ')} ended with ${ran.code}: ${ran.err.slice(-2000)}`);
  return JSON.parse(ran.out.trimEnd().split('\n').at(-1) ?? '') as Record<string, string>;
}

test.each<[Runtime, Runtime]>([
  ['deno', 'node'],
  ['node', 'deno'],
])('saved on %s, loaded and saved on %s: equal hashes', { timeout: 120_000 }, async (first, second) => {
  const saved = await resave(first, 'train', join(folder, `${first}-1`));
  expect(Object.keys(saved)).toEqual(['param.safetensors', 'moment1.safetensors', 'moment2.safetensors', 'step.safetensors', 'trainer.json']);
  expect(await resave(second, 'load', join(folder, `${first}-1`), join(folder, `${first}-2`))).toEqual(saved);
  expect(await resave(first, 'load', join(folder, `${first}-2`), join(folder, `${first}-3`))).toEqual(saved);
});

test('a run begun on Deno, continued on Node, ended on Deno: the bits of a run on Node alone', { timeout: 240_000 }, async () => {
  const config = join(folder, 'config.json');
  writeFileSync(
    config,
    JSON.stringify({ model_type: 'llama', vocab_size: 300, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2 }),
  );
  const text = join(folder, 'text.jsonl');
  const line = (i: number) => JSON.stringify({ text: `${i} ships and ${i * i} sails came in by the ${i % 7} o'clock tide, and ${i % 3} of them left again` });
  writeFileSync(text, Array.from({ length: 80 }, (_, i) => line(i)).join('\n'));
  // One schedule; an interrupted run is one that was killed behind its first save, long before its end.
  const train = async (runtime: Runtime, out: string, kill = false): Promise<void> => {
    const args = ['train', '--config', config, '--data', text, '--out', join(folder, out), '--steps', String(STEPS), '--tokens', '32', '--batch', '2'];
    const ran = await scion(runtime, [...args, '--save-every', '10', '--validate-every', '1000', '--seed', '5', '--resume'], {
      input: '',
      started: (process) => {
        if (!kill) return;
        process.stderr?.on('data', (chunk: string) => {
          if (chunk.includes('saved step-')) process.kill('SIGKILL');
        });
      },
    });
    if (!kill) expect(ran.code, ran.err).toBe(0);
  };
  const latest = async (out: string) => {
    const found = await findLatest(posixFiles, join(folder, out, 'checkpoints'));
    const hash = (kind: string) =>
      createHash('sha256')
        .update(readFileSync(join(found?.path ?? '', `${kind}.safetensors`)))
        .digest('hex');
    return { step: found?.manifest.step, hashes: ['param', 'moment1', 'moment2', 'step'].map(hash) };
  };
  await train('node', 'whole');
  await train('deno', 'moved', true);
  const first = (await latest('moved')).step ?? 0;
  expect(first).toBeGreaterThanOrEqual(10);
  await train('node', 'moved', true);
  const second = (await latest('moved')).step ?? 0;
  expect(second).toBeGreaterThan(first);
  expect(second).toBeLessThan(STEPS);
  await train('deno', 'moved');
  expect(await latest('moved')).toEqual(await latest('whole'));
  expect((await latest('moved')).step).toBe(STEPS);
});
