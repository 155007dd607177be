/**
 * `mpiexec -n 4 scion train`: with either MPI, in Node and in Deno, the weights of four workers of one process to the bit. Ranks started differently are
 * refused by the flag's name; a rank that is killed ends the job, one that is told to stop stops all after a save, and the same command with --resume ends in
 * the bits of an undisturbed run.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../src/base/random.ts';
import { type JobEnd, type JobOptions, type Library, leftAfterAll, rankPids, runJob } from '../comm/mpi.ts';
import { NODE } from '../runtime/expect.ts';
import { type Runtime, scion } from './cli.ts';

const full = process.env.SCION_TIER === 'full';
const RANKS = 4;
const KILLS = full ? 20 : 1;
/** Enough that a kill after the first save finds the run at work. */
const STEPS = 8;
/** A job whose rank is gone ends within this. */
const END_MS = 5000;
/** Two ranks share each matrix, two the micros and the moments: every group of ranks has something to say. */
const MESH = ['--mesh', 'dp=2,tp=2', '--zero', '1'];

let folder = '';
const at = (...names: string[]) => join(folder, ...names);
const args = (out: string, ...more: string[]) => [
  ...['train', '--config', at('config.json'), '--data', at('numbers.jsonl'), '--out', at(out), '--steps', String(STEPS), '--batch', '1', '--tokens', '32'],
  ...['--save-every', '2', ...more],
];
const digest = (out: string) =>
  createHash('sha256')
    .update(readFileSync(at(out, 'model', 'model.safetensors')))
    .digest('hex');

const wanted = new Map<string, Promise<string>>();
/** The weights that workers of one process end in. */
function byThreads(runtime: Runtime, mesh: readonly string[]): Promise<string> {
  const name = `threads-${runtime}-${mesh.join('')}`;
  const run = async (): Promise<string> => {
    const { code, err } = await scion(runtime, args(name, ...mesh));
    expect(code, err.slice(-2000)).toBe(0);
    return digest(name);
  };
  const found = wanted.get(name) ?? run();
  wanted.set(name, found);
  return found;
}

const job = (library: Library, words: readonly string[], more: Partial<JobOptions> = {}): ReturnType<typeof runJob> =>
  runJob({ library, ranks: RANKS, program: ['src/cli/main.ts', ...words], ...more });

/** Runs a job and sends a rank a signal `after` milliseconds past its first save; gives the end and how long it took from there. */
async function disturb(library: Library, words: readonly string[], out: string, plan: { rank: number; signal: NodeJS.Signals; after: number }) {
  let sent = Number.NaN;
  const ended: JobEnd & { mark: string } = await job(library, words, {
    started: (child, mark) => {
      const dir = at(out, 'checkpoints');
      let saved = 0;
      const timer = setInterval(() => {
        if (saved === 0 && existsSync(dir) && readdirSync(dir).some((name) => /^step-\d+$/.test(name))) saved = performance.now();
        if (saved === 0 || performance.now() - saved < plan.after) return;
        clearInterval(timer);
        const pid = rankPids(mark).get(plan.rank);
        if (pid === undefined) return;
        process.kill(pid, plan.signal);
        sent = performance.now();
      }, 5);
      child.on('close', () => clearInterval(timer));
    },
  });
  return { ...ended, took: performance.now() - sent };
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scion-mpi-'));
  const config = { vocab_size: 300, hidden_size: 32, intermediate_size: 84, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2 };
  writeFileSync(at('config.json'), JSON.stringify({ model_type: 'llama', max_position_embeddings: 64, rms_norm_eps: 1e-5, ...config }));
  const text = (i: number) => Array.from({ length: 40 }, (_, k) => (i * 7 + k * (1 + (i % 5))) % 97).join(' ');
  writeFileSync(at('numbers.jsonl'), `${Array.from({ length: 60 }, (_, i) => JSON.stringify({ text: text(i) })).join('\n')}\n`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Library, runtime, mesh, and whether it is for the full tier alone. */
const CASES: readonly (readonly [Library, Runtime, readonly string[], boolean])[] = [
  ['mpich', 'node', MESH, false],
  ['openmpi', 'node', MESH, false],
  ['mpich', 'deno', MESH, false],
  ['openmpi', 'deno', MESH, true],
  ...(['mpich', 'openmpi'] as const).flatMap((library) =>
    ['0', '2', '3'].flatMap((zero) => (['node', 'deno'] as const).map((runtime) => [library, runtime, ['--mesh', 'dp=4', '--zero', zero], true] as const)),
  ),
];

it.each(CASES.filter(([, , , big]) => full || !big))('%s in %s, %j: the weights of threads', { timeout: 240_000 }, async (library, runtime, mesh) => {
  const out = `${library}-${runtime}-${mesh.join('')}`;
  const ran = await job(library, [...args(out, ...mesh), '--json'], { runtime });
  expect(ran.code, ran.err.slice(-2000)).toBe(0);
  // One rank speaks, and once.
  expect(JSON.parse(ran.out) as { steps: number }).toMatchObject({ steps: STEPS });
  expect(ran.err.match(/^device /gm)).toHaveLength(1);
  const [checkpoint] = readdirSync(at(out, 'checkpoints'));
  expect(readdirSync(at(out, 'checkpoints', checkpoint)).filter((name) => name.startsWith('param'))).toHaveLength(RANKS);
  expect(readdirSync(at(out))).not.toContain('lock.json');
  expect(digest(out)).toBe(await byThreads(runtime, mesh));
});

it.each((full ? ['mpich', 'openmpi'] : ['mpich']) as Library[])(
  `%s, a rank killed (${KILLS} times) after a save: the job ends, and the same command ends in the bits of threads`,
  { timeout: full ? 3_600_000 : 240_000 },
  async (library) => {
    const seed = Date.now() % 2 ** 31;
    const random = new Random(seed, 7);
    for (let kill = 0; kill < KILLS; kill++) {
      const out = `killed-${library}-${kill}`;
      const plan = { rank: random.below(RANKS), signal: 'SIGKILL', after: random.below(200) } as const;
      const where = `seed ${seed}, ${JSON.stringify(plan)}`;
      const broken = await disturb(library, args(out, ...MESH, '--resume'), out, plan);
      expect(broken.code, `${where}: ${broken.err.slice(-2000)}`).not.toBe(0);
      expect(broken.took, where).toBeLessThan(END_MS);
      expect(await leftAfterAll(broken.mark), where).toEqual([]);
      const rest = await job(library, args(out, ...MESH, '--resume'));
      expect(rest.code, `${where}: ${rest.err.slice(-2000)}`).toBe(0);
      expect(rest.err, where).toContain('resumed at step ');
      expect(digest(out), where).toBe(await byThreads('node', MESH));
    }
  },
);

it.each((full ? ['mpich', 'openmpi'] : ['openmpi']) as Library[])(
  '%s, a rank that is told to stop: all save and end with 130, and go on as workers to the same bits',
  { timeout: 240_000 },
  async (library) => {
    const out = `stopped-${library}`;
    const stopped = await disturb(library, args(out, ...MESH), out, { rank: 2, signal: 'SIGTERM', after: 0 });
    expect(stopped.code, stopped.err.slice(-2000)).toBe(130);
    expect(stopped.err).toMatch(/stopped at step \d+, saved; go on by adding --resume/);
    expect(await leftAfterAll(stopped.mark)).toEqual([]);
    const rest = await scion('node', args(out, ...MESH, '--resume'));
    expect(rest.code, rest.err.slice(-2000)).toBe(0);
    expect(digest(out)).toBe(await byThreads('node', MESH));
  },
);

it.each(['mpich', 'openmpi'] as const)(
  '%s, one rank with another seed: refused with the flag and the rank, before anything is made',
  { timeout: 120_000 },
  async (library) => {
    const words = args(`refused-${library}`, ...MESH);
    const other = [':', '-n', '1', NODE, '--disable-sigusr1', 'src/cli/main.ts', ...words, '--seed', '2'];
    const ran = await job(library, [...words, ...other], { ranks: RANKS - 1 });
    expect(ran.err.split('the ranks were started with different settings: seed is 1 on rank 0, rank 3 has 2')).toHaveLength(2);
    expect(ran.code).toBe(2);
    expect(await leftAfterAll(ran.mark)).toEqual([]);
    expect(existsSync(at(`refused-${library}`))).toBe(false);
  },
);

it.each([
  ['fewer ranks than the mesh has', MESH, 'scion: the mesh dp=2,tp=2 has 4 ranks, 2 were started'],
  ['data that is not there', ['--data', '/nowhere/*.jsonl'], '/nowhere/*.jsonl'],
] as const)('%s: told once, with exit code 2', { timeout: 120_000 }, async (name, flags, why) => {
  const ran = await job('mpich', args(name, ...flags), { ranks: 2 });
  expect(ran.err.split(why)).toHaveLength(2);
  expect(ran.code).toBe(2);
});

it.runIf(full).each(['mpich', 'openmpi'] as const)(
  '%s, a rank that is stopped: named within a minute, and the job ends',
  { timeout: 240_000 },
  async (library) => {
    const out = `stuck-${library}`;
    const ran = await disturb(library, args(out, ...MESH, '--steps', '100000'), out, { rank: 2, signal: 'SIGSTOP', after: 0 });
    expect(ran.err).toMatch(/rank 2 of 4 is stuck: no sign of life for \d+ s; the job is ended/);
    expect(ran.err).not.toMatch(/rank [013] of 4 is stuck/);
    expect(ran.code).not.toBe(0);
    expect(ran.took).toBeLessThan(60_000);
    expect(await leftAfterAll(ran.mark)).toEqual([]);
  },
);
