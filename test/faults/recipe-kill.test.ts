/**
 * `scion run` killed at random moments, in steps, in stages, between them and during saves, and started again until it is done: every stage's
 * last checkpoint (weights, moments, step state, loader position) and the exported model must be those of an undisturbed run.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../src/base/random.ts';
import { findLatest } from '../../src/checkpoint/load.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { scion } from '../e2e/cli.ts';

const full = process.env.SCION_TIER === 'full';
const KILLS = full ? 20 : 3;
const STEPS = full ? 60 : 24;

let folder = '';
let wanted: Record<string, string> = {};
/** Milliseconds that an undisturbed run takes. */
let whole = 0;

const stage = (name: string, more = ''): string =>
  `{ name: ${name}, steps: ${STEPS}, length: 32, batch: 2, schedule: { peak: 0.01 }, save: { every: 2 }, validate: { every: 7 }${more} }`;
const recipe = (): string => `
seed: 3
base:
  train:
    vocab: { size: 300 }
    shape: { hidden: 16, intermediate: 32, layers: 1, heads: 2, initializerRange: 0.06 }
    data: { data: [english.jsonl], clean: false, dedup: false, buckets: 3 }
    stage: ${stage('base')}
data: { data: [greek.jsonl], clean: false, dedup: false, buckets: 3 }
vocab: { add: 40 }
stages:
  - ${stage('inject')}
  - ${stage('replay', ', replay: { share: 0.3 }, optimizer: { carry: true }')}
`;

const args = (out: string): string[] => ['run', join(folder, 'recipe.yaml'), '--out', join(folder, out), '--workers', '1'];
const sha = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** SHA-256 of what the stages and the run end in. */
async function hashes(out: string): Promise<Record<string, string>> {
  const found: Record<string, string> = { model: sha(join(folder, out, 'model', 'model.safetensors')) };
  for (const name of ['base', 'inject', 'replay']) {
    const last = await findLatest(posixFiles, join(folder, out, 'stages', name, 'checkpoints'));
    expect(last?.manifest.step, name).toBe(STEPS);
    for (const kind of ['param', 'moment1', 'moment2', 'step']) found[`${name} ${kind}`] = sha(join(last?.path ?? '', `${kind}.safetensors`));
    const trainer = JSON.parse(readFileSync(join(last?.path ?? '', 'trainer.json'), 'utf8')) as { source: unknown; tokens: number };
    found[`${name} loader`] = JSON.stringify([trainer.source, trainer.tokens]);
  }
  return found;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-recipe-kill-'));
  const lines = (words: readonly string[], category: string): string =>
    Array.from({ length: 80 }, (_, i) =>
      JSON.stringify({ category, text: Array.from({ length: 25 }, (_, k) => words[(k * (i + 3) + i) % words.length]).join(' ') }),
    ).join('\n');
  writeFileSync(join(folder, 'english.jsonl'), lines('the house by the river has a door and the door has a key that nobody found'.split(' '), 'en'));
  writeFileSync(join(folder, 'greek.jsonl'), lines('το σπίτι δίπλα στο ποτάμι έχει μια πόρτα και η πόρτα έχει ένα κλειδί'.split(' '), 'el'));
  writeFileSync(join(folder, 'recipe.yaml'), recipe());
  const start = performance.now();
  const ran = await scion('node', args('whole'));
  whole = performance.now() - start;
  expect(ran.code, ran.err).toBe(0);
  wanted = await hashes('whole');
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true }));

it(`killed ${KILLS} times, started again each time: the same bits in every stage`, { timeout: full ? 3_600_000 : 240_000 }, async () => {
  const seed = Date.now() % 2 ** 31;
  const random = new Random(seed, 2);
  let kills = 0;
  let round = 0;
  const moments: number[] = [];
  const where = (): string => `seed ${seed}, round ${round}, killed at ${moments.join(', ')} ms`;
  while (kills < KILLS) {
    const after = Math.round(random.uniform() * whole);
    const ran = await scion('node', args(`killed-${round}`), {
      input: '',
      started: (child) => {
        const timer = setTimeout(() => child.kill('SIGKILL'), after);
        child.on('close', () => clearTimeout(timer));
      },
    });
    if (ran.code === null) {
      kills++;
      moments.push(after);
      continue;
    }
    expect(ran.code, `${where()}: ${ran.err}`).toBe(0);
    expect(await hashes(`killed-${round}`), where()).toEqual(wanted);
    rmSync(join(folder, `killed-${round}`), { recursive: true });
    round++;
    moments.length = 0;
  }
  if (existsSync(join(folder, `killed-${round}`))) {
    const ran = await scion('node', args(`killed-${round}`));
    expect(ran.code, `${where()}: ${ran.err}`).toBe(0);
    expect(await hashes(`killed-${round}`), where()).toEqual(wanted);
  }
});
