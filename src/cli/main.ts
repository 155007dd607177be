/**
 * The entry of the command line on Node and Deno: runs the words it was started with and exits with
 * the code that `runCommandLine` gives.
 */
import { terminal } from '../host/index.ts';
import { runCommandLine } from './run.ts';

const term = await terminal();
term.exit(await runCommandLine(term.args));
