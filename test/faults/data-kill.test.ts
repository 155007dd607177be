/**
 * `scion data build` killed at random moments and started again until it is done: the packs, drops, manifest and report
 * must be those of a build that nothing disturbed. A killed worker is the pool's affair (`pool.test.ts`); here the whole process dies.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../src/base/random.ts';
import { outputHashes, testCorpus } from '../../src/curate/pipeline/testing.ts';
import { nodeHost } from '../../src/host/node.ts';
import { scion } from '../e2e/cli.ts';
import { ROOT } from '../runtime/expect.ts';

const full = process.env.SCION_TIER === 'full';
const KILLS = full ? 20 : 2;
const QUESTION = 'Which of the seven harbours was closed by the governor after the second flood of that winter, and for how many weeks?';

let folder = '';
let wanted: Record<string, string> = {};
/** Milliseconds that an undisturbed build takes. */
let whole = 0;

const args = (out: string) => ['data', 'build', join(folder, 'recipe.yaml'), '--out', join(folder, out), '--workers', '2'];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-data-kill-'));
  for (let i = 0; i < 4; i++) writeFileSync(join(folder, `part-${i}.jsonl`), testCorpus(i, full ? 1500 : 500, QUESTION));
  writeFileSync(join(folder, 'eval.jsonl'), JSON.stringify({ question: QUESTION }));
  writeFileSync(
    join(folder, 'recipe.yaml'),
    `data: [part-*.jsonl]
read: { shardBytes: 262144 }
decontaminate: { sets: [{ name: exam, data: [eval.jsonl] }] }
score: {}
sample: { categories: { news: { epochs: 1.5 }, books: { epochs: 0.5 } } }
tokenizer: ${join(ROOT, 'test/golden/text/sp-llama.model')}
pack: { length: 512, buckets: 4 }
`,
  );
  const start = performance.now();
  const ran = await scion('node', args('whole'));
  whole = performance.now() - start;
  expect(ran.code, ran.err).toBe(0);
  wanted = await outputHashes(nodeHost, join(folder, 'whole'));
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it(`killed ${KILLS} times at random moments and started again: the same bytes at the end`, { timeout: full ? 1_200_000 : 240_000 }, async () => {
  const seed = Date.now() % 2 ** 31;
  const random = new Random(seed, 1);
  const moments: string[] = [];
  let [round, done] = [0, 0];
  const out = () => `killed-${round}`;
  const where = () => `seed ${seed}, ${out()}, killed ${moments.join(', ')}`;
  while (moments.length < KILLS) {
    const after = Math.round(random.uniform() * whole);
    const ran = await scion('node', args(out()), {
      input: '',
      started: (child) => {
        const timer = setTimeout(() => child.kill('SIGKILL'), after);
        child.on('close', () => clearTimeout(timer));
      },
    });
    if (ran.code !== null) {
      expect(ran.code, `${where()}: ${ran.err}`).toBe(0);
      expect(await outputHashes(nodeHost, join(folder, out())), where()).toEqual(wanted);
      // Another build, to be killed from its start.
      round++;
      done++;
      continue;
    }
    const work = join(folder, out(), 'work');
    moments.push(`${after} ms (${existsSync(work) ? readdirSync(work).join('+') : 'nothing yet'})`);
    // What was not finished must not look as if it were.
    expect(existsSync(join(folder, out(), 'build.json')) && existsSync(work) && !existsSync(join(folder, out(), 'manifest.json')), where()).toBe(false);
  }
  const ran = await scion('node', args(out()));
  expect(ran.code, `${where()}: ${ran.err}`).toBe(0);
  expect(await outputHashes(nodeHost, join(folder, out())), where()).toEqual(wanted);
  expect(readdirSync(join(folder, out())).filter((name) => /lock|work|part$/.test(name))).toEqual([]);
  process.stdout.write(`killed ${KILLS} times of ${Math.round(whole)} ms, ${done} builds finished before their moment: ${moments.join(', ')}\n`);
});
