/**
 * `scion train` killed at random moments and resumed until it is done: its last checkpoint must be that of a run
 * that nothing disturbed, to the bit, and no moment may leave a checkpoint that looks sound and is not.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../src/base/random.ts';
import { listCheckpoints } from '../../src/checkpoint/folders.ts';
import { findLatest } from '../../src/checkpoint/load.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { scion } from '../e2e/cli.ts';

const full = process.env.SCION_TIER === 'full';
const KILLS = full ? 50 : 5;
/** Steps: enough that every kill finds the run at work. */
const STEPS = full ? 120 : 60;

let folder = '';
let wanted: Record<string, string> = {};
/** Milliseconds that an undisturbed run takes from start to end. */
let whole = 0;

const args = (out: string, ...more: string[]) => [
  'train',
  ...['--config', join(folder, 'config.json'), '--data', join(folder, 'text.jsonl'), '--out', join(folder, out)],
  ...['--steps', String(STEPS), '--tokens', '32', '--batch', '2', '--save-every', '2', '--validate-every', '1000', '--seed', '5'],
  ...more,
];

/** SHA-256 of weights and moments of the last checkpoint, which must be that of the last step. */
async function lastHashes(out: string): Promise<Record<string, string>> {
  const found = await findLatest(posixFiles, join(folder, out, 'checkpoints'));
  expect(found?.skipped).toEqual([]);
  expect(found?.manifest.step).toBe(STEPS);
  return Object.fromEntries(
    ['param', 'moment1', 'moment2', 'step'].map((kind) => [
      kind,
      createHash('sha256')
        .update(readFileSync(join(found?.path ?? '', `${kind}.safetensors`)))
        .digest('hex'),
    ]),
  );
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-'));
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({ model_type: 'llama', vocab_size: 300, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2 }),
  );
  const words = 'the house by the river has a door and the door has a key that nobody found'.split(' ');
  const text = (i: number) => Array.from({ length: 30 }, (_, k) => words[(k * (i + 3) + i) % words.length]).join(' ');
  writeFileSync(join(folder, 'text.jsonl'), Array.from({ length: 60 }, (_, i) => JSON.stringify({ text: `${i}: ${text(i)}.` })).join('\n'));
  const start = performance.now();
  const ran = await scion('node', args('whole'));
  whole = performance.now() - start;
  expect(ran.code, ran.err).toBe(0);
  wanted = await lastHashes('whole');
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

it(`killed ${KILLS} times at random moments, resumed each time: the same bits at the end`, { timeout: full ? 3_600_000 : 150_000 }, async () => {
  const seed = Date.now() % 2 ** 31;
  const random = new Random(seed, 1);
  const moments: number[] = [];
  let [round, checkpoints, locks] = [0, 0, 0];
  const out = () => `killed-${round}`;
  const where = () => `seed ${seed}, ${out()}, killed at ${moments.join(', ')} ms`;
  while (moments.length < KILLS) {
    const after = Math.round(random.uniform() * whole);
    const ran = await scion('node', args(out(), '--resume'), {
      input: '',
      started: (child) => {
        const timer = setTimeout(() => child.kill('SIGKILL'), after);
        child.on('close', () => clearTimeout(timer));
      },
    });
    if (ran.code !== null) {
      // It was done before its moment came: judged, and another run begins.
      expect(ran.code, `${where()}: ${ran.err}`).toBe(0);
      expect(await lastHashes(out()), where()).toEqual(wanted);
      round++;
      continue;
    }
    moments.push(after);
    // The dead process's lock lies there, and the next one takes it over.
    if (existsSync(join(folder, out(), 'lock.json'))) locks++;
    const dir = join(folder, out(), 'checkpoints');
    if (!existsSync(dir)) continue;
    // Whatever carries a checkpoint's name verifies, even before anyone tidies up.
    if ((await listCheckpoints(posixFiles, dir)).length === 0) continue;
    checkpoints++;
    expect((await findLatest(posixFiles, dir))?.skipped, where()).toEqual([]);
  }
  const ran = await scion('node', args(out(), '--resume'));
  expect(ran.code, `${where()}: ${ran.err}`).toBe(0);
  process.stdout.write(
    `killed ${KILLS} times at ${moments.join(', ')} ms of ${Math.round(whole)}, in ${round + 1} runs; ${locks} left a lock, at ${checkpoints} there was a checkpoint\n`,
  );
  expect(await lastHashes(out()), where()).toEqual(wanted);
  expect(readdirSync(join(folder, out()))).not.toContain('lock.json');
});

it('SIGINT: saves, exits with 130, and resumes to the same bits', { timeout: 90_000 }, async () => {
  const dir = join(folder, 'stopped', 'checkpoints');
  const ran = await scion('node', args('stopped'), {
    input: '',
    started: (child) => {
      const timer = setInterval(() => {
        if (!existsSync(dir) || !readdirSync(dir).some((n) => n.startsWith('step-'))) return;
        clearInterval(timer);
        child.kill('SIGINT');
      }, 5);
      child.on('close', () => clearInterval(timer));
    },
  });
  expect(ran.code, ran.err).toBe(130);
  expect(ran.err).toContain('--resume');
  const found = await findLatest(posixFiles, dir);
  expect(found?.skipped).toEqual([]);
  expect(found?.manifest.step).toBeLessThan(STEPS);
  expect(ran.err).toContain(`stopped at step ${found?.manifest.step}`);
  expect(readdirSync(join(folder, 'stopped'))).not.toContain('lock.json');
  const again = await scion('node', args('stopped', '--resume'));
  expect(again.code, again.err).toBe(0);
  expect(await lastHashes('stopped')).toEqual(wanted);
});
