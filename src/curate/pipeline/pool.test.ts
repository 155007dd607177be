/** Order of results and failures of the pool, in this thread and over workers. */
import { describe, expect, it } from 'vitest';
import { host } from '../../host/index.ts';
import { pipelineWorkers, TaskPool } from './pool.ts';

describe('TaskPool', () => {
  it.each([1, 2, 3])('gives outputs in the order of inputs with %i workers', async (workers) => {
    const pool = new TaskPool(await host(), workers);
    try {
      const inputs = Array.from({ length: 20 }, (_, i) => ({ i, pad: 'x'.repeat((i * 7919) % 1000) }));
      expect(await pool.map('echo', inputs)).toEqual(inputs);
    } finally {
      await pool.end();
    }
  });

  it('tells a task that does not exist', async () => {
    const pool = new TaskPool(await host(), 2);
    try {
      await expect(pool.map('no such task', [1])).rejects.toThrow(/no such task/);
    } finally {
      await pool.end();
    }
  });

  it('a worker that dies over a task: the task is given to a fresh one, results are the same', async () => {
    const machine = await host();
    const spawn = pipelineWorkers(machine);
    let deaths = 0;
    const pool = new TaskPool(machine, 2, () => {
      const worker = spawn();
      const mortal = deaths++ < 3;
      return {
        ...worker,
        // Ended behind the first piece of work it gets, before it can answer.
        post: (message, transfer) => {
          worker.post(message, transfer);
          if (mortal) void worker.end();
        },
      };
    });
    try {
      const inputs = Array.from({ length: 12 }, (_, i) => i);
      expect(await pool.map('echo', inputs)).toEqual(inputs);
      expect(deaths).toBeGreaterThan(3);
    } finally {
      await pool.end();
    }
  });

  it('workers that always die end the work with the task’s name; workers made anew go on', async () => {
    const machine = await host();
    const spawn = pipelineWorkers(machine);
    const pool = new TaskPool(machine, 2, () => {
      const worker = spawn();
      return { ...worker, post: () => void worker.end() };
    });
    await expect(pool.map('echo', [1, 2])).rejects.toThrow(/died 5 times over "echo"/);
    await pool.end();
    const renewed = new TaskPool(machine, 2);
    try {
      expect(await renewed.map('echo', [1, 2, 3])).toEqual([1, 2, 3]);
      await renewed.renew();
      expect(await renewed.map('echo', [4, 5, 6])).toEqual([4, 5, 6]);
    } finally {
      await renewed.end();
    }
  });
});
