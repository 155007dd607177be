/** The op suite on Deno's own WebGPU, in a child process that answers with one JSON line. */
import { describe } from 'vitest';
import { child, DENO, need, readResult, suiteTests } from './expect.ts';

describe('op suite in Deno', () => {
  suiteTests('deno', async () => readResult(await child(need(DENO, 'SCION_DENO'), ['run', '-A', 'test/runtime/run.ts'], { seconds: 900 })), 910);
});
