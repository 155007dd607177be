/**
 * Starts ranks as threads and prints what they gave as one JSON line: what tests run under Deno, and under Node beside it.
 * `threads-main.ts SIZE DATA`.
 */
import { spawnRanks } from '../../src/comm/launch.ts';
import { terminal } from '../../src/host/index.ts';

const term = await terminal();
const [size, data] = term.args;
const run = await spawnRanks(Number(size), new URL('worker.ts', import.meta.url), JSON.parse(data));
term.out(`${JSON.stringify(await run.results)}\n`);
