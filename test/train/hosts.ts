/** Runs `losses.ts` on the three hosts: Node and Deno as child processes, Chromium through its Worker. Node only. */
import { join } from 'node:path';
import { runWorker } from '../runtime/browser/page.ts';
import { child, DENO, NODE, need } from '../runtime/expect.ts';
import type { LossesMessage } from './losses-worker.ts';
import type { HostLosses } from './tiny.ts';

export const HOSTS = ['node', 'deno', 'chromium'] as const;
export type HostName = (typeof HOSTS)[number];

/** The losses of one host. */
export async function lossesOn(name: HostName, steps: number, precision: 'f32' | 'mixed' = 'f32'): Promise<HostLosses> {
  if (name === 'chromium') {
    let result: HostLosses | undefined;
    const onMessage = (message: LossesMessage): boolean => {
      if (message.kind === 'error') throw new Error(message.message);
      result = message.result;
      return true;
    };
    await runWorker(join(import.meta.dirname, 'losses-worker.ts'), `?steps=${steps}&precision=${precision}`, onMessage, 300);
    if (!result) throw new Error('the worker ended without a result');
    return result;
  }
  const [program, before] = name === 'node' ? [need(NODE, 'SCION_NODE'), []] : [need(DENO, 'SCION_DENO'), ['run', '-A', '--no-lock']];
  const found = await child(program, [...before, 'test/train/losses.ts', '--steps', String(steps), '--precision', precision], { seconds: 300 });
  const last = found.out.trimEnd().split('\n').at(-1) ?? '';
  if (found.code !== 0 || !last.startsWith('{'))
    throw new Error(`losses on ${name} ended with ${found.code}: ${found.err.slice(-3000)}${found.out.slice(-1000)}`);
  return JSON.parse(last) as HostLosses;
}

/** The largest relative distance of two losses of the same step. */
export const worstStep = (a: readonly number[], b: readonly number[]): number => Math.max(...a.map((x, i) => Math.abs(x - b[i]) / Math.abs(x)));

/** A table of all hosts' losses, with the largest distance to the first host at the end. */
export async function compareHosts(steps: number, precision: 'f32' | 'mixed'): Promise<string> {
  const found: HostLosses[] = [];
  for (const name of HOSTS) found.push(await lossesOn(name, steps, precision));
  const rows = found[0].losses.map((_, s) => [String(s), ...found.map((f) => f.losses[s].toFixed(8))]);
  const table = [['step', ...HOSTS], ...rows].map((row) => row.map((cell) => cell.padStart(12)).join('')).join('\n');
  const notes = HOSTS.map(
    (name, i) =>
      `${name}: ${found[i].adapter}, ${found[i].seconds.toFixed(1)} s, at most ${worstStep(found[0].losses, found[i].losses).toExponential(1)} from ${HOSTS[0]}`,
  );
  return `${table}\n${notes.join('\n')}\n`;
}
