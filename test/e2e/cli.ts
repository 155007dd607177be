/**
 * Runs the command line as a user does, in a process of its own, on Node or on Deno. Node only; used by
 * the end-to-end tests.
 */
import { type ChildOptions, child, DENO, NODE, need } from '../runtime/expect.ts';

export type Runtime = 'node' | 'deno';

/** What a run left. */
export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** How a run is started. */
export type CliOptions = ChildOptions;

/** Runs `scion ...args` to its end; killed after `seconds`. */
export function scion(runtime: Runtime, args: readonly string[], options: CliOptions = {}): Promise<Ran> {
  const [program, before] = runtime === 'node' ? [need(NODE, 'SCION_NODE'), []] : [need(DENO, 'SCION_DENO'), ['run', '-A', '--no-lock']];
  return child(program, [...before, 'src/cli/main.ts', ...args], { ...options, seconds: options.seconds ?? 120 });
}

/** The one JSON object that a run with `--json` prints, and nothing else on standard output; the run must have ended well. */
export async function scionJson<T>(runtime: Runtime, args: readonly string[], options: CliOptions = {}): Promise<T> {
  const ran = await scion(runtime, [...args, '--json'], options);
  if (ran.code !== 0) throw new Error(`scion ${args.join(' ')} on ${runtime} ended with ${ran.code}: ${ran.err.slice(-2000)}${ran.out.slice(-500)}`);
  const lines = ran.out.trimEnd().split('\n');
  if (lines.length !== 1) throw new Error(`scion ${args[0]} --json printed ${lines.length} lines: ${ran.out.slice(0, 1000)}`);
  return JSON.parse(lines[0]) as T;
}
