/**
 * `mpiexec -n 4 scion data build`: with either MPI, in Node and in Deno, the bytes that one process gives; after a rank was killed the same command goes on to them.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../src/base/random.ts';
import { outputHashes, testCorpus } from '../../src/curate/pipeline/testing.ts';
import { nodeHost } from '../../src/host/node.ts';
import { type JobOptions, type Library, leftAfterAll, rankPids, runJob } from '../comm/mpi.ts';
import { ROOT } from '../runtime/expect.ts';
import { type Runtime, scion } from './cli.ts';

const full = process.env.SCION_TIER === 'full';
const RANKS = 4;
const KILLS = full ? 20 : 1;
/** A job whose rank is gone ends within this. */
const END_MS = 5000;

let folder = '';
let wanted: Record<string, string> = {};

const args = (out: string) => ['data', 'build', join(folder, 'recipe.yaml'), '--out', join(folder, out)];
const job = (library: Library, out: string, more: Partial<JobOptions> = {}): ReturnType<typeof runJob> =>
  runJob({ library, ranks: RANKS, program: ['src/cli/main.ts', ...args(out)], ...more });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-data-mpi-'));
  for (let i = 0; i < 3; i++) writeFileSync(join(folder, `part-${i}.jsonl`), testCorpus(i, full ? 1500 : 120));
  writeFileSync(
    join(folder, 'recipe.yaml'),
    `data: [part-*.jsonl]
read: { shardBytes: 65536 }
score: {}
sample: { categories: { news: { epochs: 1.5 }, books: { epochs: 0.5 } } }
tokenizer: ${join(ROOT, 'test/golden/text/sp-llama.model')}
pack: { length: 512, buckets: 4 }
`,
  );
  const ran = await scion('node', [...args('alone'), '--workers', '1']);
  expect(ran.code, ran.err).toBe(0);
  wanted = await outputHashes(nodeHost, join(folder, 'alone'));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CASES: readonly (readonly [Library, Runtime, boolean])[] = [
  ['mpich', 'node', false],
  ['openmpi', 'node', true],
  ['mpich', 'deno', true],
  ['openmpi', 'deno', false],
];

it.each(CASES.filter(([, , big]) => full || !big))('%s in %s: the bytes of one process', { timeout: 240_000 }, async (library, runtime) => {
  const out = `${library}-${runtime}`;
  const ran = await job(library, out, { runtime });
  expect(ran.code, ran.err.slice(-2000)).toBe(0);
  expect(ran.out.match(/^done in /gm)).toHaveLength(1);
  expect(await outputHashes(nodeHost, join(folder, out))).toEqual(wanted);
  expect(readdirSync(join(folder, out)).filter((name) => /lock|work|part$/.test(name))).toEqual([]);
});

it.each((full ? ['mpich', 'openmpi'] : ['openmpi']) as Library[])(
  `%s, a rank killed (${KILLS} times): the job ends, and the same command goes on to the bytes of one process`,
  { timeout: full ? 3_600_000 : 240_000 },
  async (library) => {
    const seed = Date.now() % 2 ** 31;
    const random = new Random(seed, 9);
    for (let kill = 0; kill < KILLS; kill++) {
      const out = `killed-${library}-${kill}`;
      const plan = { rank: random.below(RANKS), after: random.below(full ? 5000 : 500) };
      const where = `seed ${seed}, ${JSON.stringify(plan)}`;
      let sent = Number.NaN;
      const broken = await job(library, out, {
        started: (child, mark) => {
          let began = 0;
          const timer = setInterval(() => {
            if (began === 0 && existsSync(join(folder, out, 'work'))) began = performance.now();
            if (began === 0 || performance.now() - began < plan.after) return;
            clearInterval(timer);
            const pid = rankPids(mark).get(plan.rank);
            if (pid === undefined) return;
            process.kill(pid, 'SIGKILL');
            sent = performance.now();
          }, 5);
          child.on('close', () => clearInterval(timer));
        },
      });
      // One that was done before its moment ended well.
      if (Number.isNaN(sent)) expect(broken.code, where).toBe(0);
      else {
        expect(broken.code, where).not.toBe(0);
        expect(performance.now() - sent, where).toBeLessThan(END_MS);
      }
      expect(await leftAfterAll(broken.mark), where).toEqual([]);
      const rest = await job(library, out);
      expect(rest.code, `${where}: ${rest.err.slice(-2000)}`).toBe(0);
      expect(await outputHashes(nodeHost, join(folder, out)), where).toEqual(wanted);
    }
  },
);

it('a recipe that is not there: told once, with exit code 2', { timeout: 60_000 }, async () => {
  const program = ['src/cli/main.ts', 'data', 'build', '/nowhere.yaml', '--out', join(folder, 'refused')];
  const ran = await job('mpich', 'refused', { ranks: 2, program });
  expect(ran.err.match(/^scion: .*\/nowhere\.yaml/gm), ran.err).toHaveLength(1);
  expect(ran.code).toBe(2);
  expect(existsSync(join(folder, 'refused'))).toBe(false);
});
