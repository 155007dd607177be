/**
 * What goes wrong with ranks of an MPI job: one is killed, stopped, or started with another setting. The job must end soon, leave no process, name the rank,
 * and never open Node's debugger; started again in a loop, the run ends in the bits of an undisturbed one.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/random.ts';
import { type JobEnd, type JobOptions, leftAfterAll, lines, runJob } from '../comm/mpi.ts';

const full = process.env.SCION_TIER === 'full';
const KILLS = full ? 20 : 1;
const STEPS = full ? 60 : 20;
const RANKS = 4;
/** A job whose rank is gone ends within this. */
const END_MS = 5000;
const PROGRAM = 'test/comm/mpi-main.ts';

/** Starts a job and calls `then` with the process ids of its ranks once all have said theirs; gives the end and how long it took after that. */
async function disturb(options: JobOptions, then: (pids: number[]) => Promise<void> | void): Promise<JobEnd & { mark: string; after: number }> {
  let at = Number.POSITIVE_INFINITY;
  let said = '';
  const ended = await runJob({
    ...options,
    started: (child) => {
      child.stdout?.on('data', async (text: string) => {
        const before = lines<{ rank: number }>(said).length;
        said += text;
        const ranks = said.endsWith('\n') ? lines<{ rank: number; pid: number }>(said).filter(({ pid }) => pid !== undefined) : [];
        if (before === options.ranks || ranks.length !== options.ranks) return;
        await then(ranks.map(({ pid }) => pid));
        at = performance.now();
      });
    },
  });
  return { ...ended, after: performance.now() - at };
}

/** Nothing of the job lives, now or in a moment. */
async function expectNobodyLeft(mark: string): Promise<void> {
  expect(await leftAfterAll(mark)).toEqual([]);
}

function debuggerPort(): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(9229, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.on('error', () => done(false));
  });
}

describe.each(['mpich', 'openmpi'] as const)('ranks of %s', { timeout: 240_000 }, (library) => {
  it(`killed (${KILLS} times) and started again: the bits of an undisturbed run`, { timeout: full ? 1_800_000 : 240_000 }, async () => {
    const seed = Date.now() % 2 ** 31;
    const random = new Random(seed, 3);
    const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'scion-ranks-')));
    const program = (folder: string, stepMs: number): string[] => [PROGRAM, JSON.stringify({ seed: 1, run: { folder, steps: STEPS, stepMs } })];
    const digests = (out: string): string[] => lines<{ rank: number; digest?: string }>(out).flatMap(({ digest }) => digest ?? []);
    try {
      const whole = await runJob({ library, ranks: RANKS, program: program(folders[0], 0) });
      expect(whole.code, whole.err).toBe(0);
      const kills: string[] = [];
      let last: JobEnd | null = null;
      // The loop of docs/cluster.md: again until it ends well.
      for (let round = 0; last === null || last.code !== 0; round++) {
        const where = `seed ${seed}, ${kills.join('; ')}`;
        expect(round, where).toBeLessThan(3 * KILLS + 10);
        const job = await disturb({ library, ranks: RANKS, program: program(folders[1], 30) }, async (pids) => {
          if (kills.length >= KILLS) return;
          const rank = random.below(RANKS);
          const ms = random.below(20 * STEPS);
          kills.push(`rank ${rank} after ${ms} ms`);
          await sleep(ms);
          try {
            process.kill(pids[rank], 'SIGKILL');
          } catch {
            kills.pop();
          }
        });
        last = job;
        if (job.code !== 0) expect(job.after, where).toBeLessThan(END_MS);
        await expectNobodyLeft(job.mark);
      }
      expect(kills.length).toBe(KILLS);
      expect(digests(last.out), `seed ${seed}, ${kills.join('; ')}`).toEqual(digests(whole.out));
    } finally {
      for (const folder of folders) rmSync(folder, { recursive: true });
    }
  });

  it('one that is stopped is named by the one behind it, and the job ends', async () => {
    // The default in the full tier: within the promised minute.
    const silenceMs = full ? undefined : 8000;
    const job = await disturb({ library, ranks: RANKS, program: [PROGRAM, JSON.stringify({ seed: 1, endless: true, silenceMs })] }, (pids) => {
      process.kill(pids[2], 'SIGSTOP');
    });
    expect(job.err).toMatch(/rank 2 of 4 is stuck: no sign of life for \d+ s; the job is ended/);
    expect(job.err).not.toMatch(/rank [013] of 4 is stuck/);
    expect(job.code).not.toBe(0);
    expect(job.after).toBeLessThan(full ? 60_000 : 30_000);
    await expectNobodyLeft(job.mark);
  });

  it('one that a wrapper started dies with its wrapper, and so do the others', async () => {
    const job = await disturb({ library, ranks: RANKS, program: ['test/comm/wrapped.mjs', PROGRAM, JSON.stringify({ seed: 1, endless: true })] }, (pids) => {
      const parent = Number(/^\d+ \(.*\) \w (\d+)/.exec(readFileSync(`/proc/${pids[1]}/stat`, 'latin1'))?.[1]);
      process.kill(parent, 'SIGKILL');
    });
    expect(job.code).not.toBe(0);
    expect(job.after).toBeLessThan(END_MS);
    await expectNobodyLeft(job.mark);
  });

  it('one with another setting: refused on all, naming it', async () => {
    const job = await runJob({ library, ranks: RANKS, program: [PROGRAM, JSON.stringify({ seed: 1, settings: true })], env: { SCION_TEST_RANK: '3' } });
    expect(job.err).toContain('optimizer.seed is 7 on rank 0, rank 3 has 8');
    expect(job.code).not.toBe(0);
    // The launcher may have words of its own there, of ranks that it ended before they ended themselves.
    expect(lines(job.out)).toEqual([]);
    await expectNobodyLeft(job.mark);
  });

  it('the signal that opens a debugger opens none', async () => {
    let open = false;
    const job = await disturb({ library, ranks: RANKS, program: [PROGRAM, JSON.stringify({ seed: 1, endless: true })] }, async (pids) => {
      for (const pid of pids) process.kill(pid, 'SIGUSR1');
      for (let look = 0; look < 10; look++) {
        await sleep(50);
        open ||= await debuggerPort();
      }
      process.kill(pids[1], 'SIGKILL');
      for (let look = 0; look < 10; look++) {
        await sleep(50);
        open ||= await debuggerPort();
      }
    });
    expect(open).toBe(false);
    // A rank that the signal killed would have ended the job before it was told to.
    expect(job.code).not.toBe(0);
    await expectNobodyLeft(job.mark);
  });
});
