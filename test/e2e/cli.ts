/**
 * Runs the command line as a user does, in a process of its own, on Node or on Deno. Node only; used by
 * the end-to-end tests.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { DENO, NODE, need, ROOT } from '../runtime/expect.ts';

export type Runtime = 'node' | 'deno';

/** What a run left. */
export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** How a run is started. */
export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input; it ends after this. Left open where absent and `started` is given. */
  readonly input?: string;
  readonly started?: (child: ChildProcess) => void;
  readonly seconds?: number;
}

/** Runs `scion ...args` to its end; killed after `seconds`. */
export function scion(runtime: Runtime, args: readonly string[], options: CliOptions = {}): Promise<Ran> {
  const [program, before] = runtime === 'node' ? [need(NODE, 'SCION_NODE'), []] : [need(DENO, 'SCION_DENO'), ['run', '-A', '--no-lock']];
  return new Promise((done, fail) => {
    const child = spawn(program, [...before, 'src/cli/main.ts', ...args], {
      cwd: ROOT,
      env: { ...process.env, ...options.env },
      timeout: (options.seconds ?? 120) * 1000,
      killSignal: 'SIGKILL',
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.on('error', fail);
    child.on('close', (code) => done({ code, out, err }));
    options.started?.(child);
    if (options.input !== undefined || !options.started) child.stdin.end(options.input ?? '');
  });
}

/** The one JSON object that a run with `--json` prints, and nothing else on standard output; the run must have ended well. */
export async function scionJson<T>(runtime: Runtime, args: readonly string[], options: CliOptions = {}): Promise<T> {
  const ran = await scion(runtime, [...args, '--json'], options);
  if (ran.code !== 0) throw new Error(`scion ${args.join(' ')} on ${runtime} ended with ${ran.code}: ${ran.err.slice(-2000)}${ran.out.slice(-500)}`);
  const lines = ran.out.trimEnd().split('\n');
  if (lines.length !== 1) throw new Error(`scion ${args[0]} --json printed ${lines.length} lines: ${ran.out.slice(0, 1000)}`);
  return JSON.parse(lines[0]) as T;
}
