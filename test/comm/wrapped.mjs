/**
 * A rank the way `npx scion` starts one in a checkout: this process only hands its streams to the Node that does the work.
 */
import process from 'node:process';
import { passThrough } from '../../tools/lib/run.mjs';

process.exitCode = await passThrough(process.execPath, ['--disable-sigusr1', ...process.argv.slice(2)]);
