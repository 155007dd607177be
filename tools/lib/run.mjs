/**
 * Child processes of the set-up scripts. `capture` and `quiet` are for tools whose output only matters
 * when they fail; `passThrough` hands terminal, signals and exit code to the program the user wanted.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import process from 'node:process';
import { say } from './log.mjs';

/**
 * Runs a command and collects its output. Never throws: a missing program gives code 127 and its
 * error in `stderr`; a command past `timeoutMs` is killed and gives 124.
 */
export function capture(command, args, { cwd, env, timeoutMs } = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd, env: env ?? process.env, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    let late = false;
    const timer =
      timeoutMs &&
      setTimeout(() => {
        late = true;
        child.kill('SIGKILL');
      }, timeoutMs);
    const end = (result) => {
      if (timer) clearTimeout(timer);
      done({ stdout, stderr, ...result });
    };
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('error', (error) => end({ code: 127, stderr: String(error.message) }));
    child.on('close', (code, signal) => end({ code: late ? 124 : (code ?? signalCode(signal)) }));
  });
}

/** Runs a command silently; on failure its first and last lines go to standard error. Gives the exit code. */
export async function quiet(command, args, options = {}) {
  const { code, stdout, stderr } = await capture(command, args, options);
  if (code !== 0) {
    const lines = `${stdout}\n${stderr}`.trim().split('\n');
    const shown = lines.length > 16 ? [...lines.slice(0, 8), '...', ...lines.slice(-8)] : lines;
    say(`scion: ${command} ${args.join(' ')} ended with ${code}:\n${shown.join('\n')}`);
  }
  return code;
}

/** The exit code a shell gives for a death by signal. */
export function signalCode(signal) {
  return 128 + (constants.signals[signal] ?? 1);
}

/**
 * The streams of a child that stands in for this process. MPICH's launcher talks to a rank over an open file whose number is in PMI_FD; Node closes what
 * it is not told to hand on.
 */
function ownStreams(stdout, env) {
  const streams = ['inherit', stdout, 'inherit'];
  const number = Number(env.PMI_FD);
  if (Number.isInteger(number) && number > 2) {
    while (streams.length < number) streams.push('ignore');
    streams.push(number);
  }
  return streams;
}

/**
 * Runs a command on this process's own streams and gives its exit code. SIGINT and SIGTERM reach the
 * child once: a terminal sends Ctrl-C to the whole process group by itself, so it is only forwarded
 * where there is no terminal (a `kill` of this process, for example).
 */
export function passThrough(command, args, { cwd, env, stdout = 'inherit' } = {}) {
  return new Promise((done, fail) => {
    // The child may tell by SCION_PARENT that it belongs to this process and is nothing without it (src/comm/mpi-library.ts).
    const own = { ...(env ?? process.env), SCION_PARENT: String(process.pid) };
    const child = spawn(command, args, { cwd, env: own, stdio: ownStreams(stdout, own) });
    const forward = (signal) => {
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(signal);
    };
    const onInt = () => forward('SIGINT');
    const onTerm = () => forward('SIGTERM');
    process.on('SIGINT', onInt);
    process.on('SIGTERM', onTerm);
    const end = () => {
      process.off('SIGINT', onInt);
      process.off('SIGTERM', onTerm);
    };
    child.on('error', (error) => {
      end();
      fail(error);
    });
    child.on('close', (code, signal) => {
      end();
      done(code ?? signalCode(signal));
    });
  });
}
