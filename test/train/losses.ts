/**
 * Losses of 50 steps from one seed, to compare hosts. By hand:
 * `node test/train/losses.ts` or `deno run -A test/train/losses.ts [--precision mixed] [--steps N]` prints this host's as
 * one JSON line; `node test/train/losses.ts --all` runs Node, Deno and Chromium and prints them side by side.
 */
import { terminal } from '../../src/host/index.ts';
import { hostLosses } from './tiny.ts';

const term = await terminal();
const value = (flag: string): string | undefined => (term.args.includes(flag) ? term.args[term.args.indexOf(flag) + 1] : undefined);
const steps = Number(value('--steps') ?? 50);
const precision = value('--precision') === 'mixed' ? 'mixed' : 'f32';
if (term.args.includes('--all')) {
  // Loaded here alone: it starts processes and a browser.
  const { compareHosts } = await import('./hosts.ts');
  term.out(await compareHosts(steps, precision));
} else term.out(`${JSON.stringify(await hostLosses(steps, precision))}\n`);
term.exit(0);
