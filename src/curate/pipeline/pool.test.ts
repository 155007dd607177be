/** Order of results and failures of the pool, in this thread and over workers. */
import { describe, expect, it } from 'vitest';
import { host } from '../../host/index.ts';
import { TaskPool } from './pool.ts';

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
});
