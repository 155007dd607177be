/**
 * What the three runners share: where programs are found, how a suite's result is told, kept for the
 * report and counted, and what it must fulfil. Node only; the runners are Vitest files.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { caseFiles } from './cases/index.ts';
import type { SuiteCase, SuiteResult } from './suite.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
/** Where results lie for `report.ts`. */
export const RESULTS = join(ROOT, '.cache', 'runtime');
/** A Node that runs TypeScript as it is; a Vitest under an older one cannot offer its own. */
export const NODE = process.env.SCION_NODE ?? join(ROOT, 'node_modules/.bin/node');
export const DENO = process.env.SCION_DENO ?? join(ROOT, 'node_modules/deno/deno');

/** A program that is missing is a failure with this message, not a skip: `npm test` installs it. */
export function need(program: string, variable: string): string {
  if (!existsSync(program)) throw new Error(`no program ${program}; install it, or name one in ${variable}`);
  return program;
}

/** How a child is run. */
export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Killed after these. */
  readonly seconds?: number;
  /** All that it reads. Without it standard input ends at once, or is left to who gets the process. */
  readonly input?: string;
  readonly started?: (child: ChildProcessWithoutNullStreams) => void;
}

/** Output and exit code of a child. Kills it after `seconds`. */
export function child(program: string, args: readonly string[], options: ChildOptions = {}): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((done, fail) => {
    const started = spawn(program, args, {
      cwd: ROOT,
      env: { ...process.env, ...options.env },
      timeout: (options.seconds ?? 300) * 1000,
      killSignal: 'SIGKILL',
    });
    let out = '';
    let err = '';
    started.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    started.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    started.on('error', fail);
    started.on('close', (code) => done({ code, out, err }));
    options.started?.(started);
    if (options.input !== undefined || !options.started) started.stdin.end(options.input ?? '');
  });
}

/** Reads the one JSON line that `run.ts` ends with. */
export function readResult(found: { code: number | null; out: string; err: string }): SuiteResult {
  const last = found.out.trimEnd().split('\n').at(-1) ?? '';
  if (found.code !== 0 || !last.startsWith('{')) throw new Error(`the suite ended with ${found.code}: ${found.err.slice(-3000)}${found.out.slice(-1000)}`);
  return JSON.parse(last) as SuiteResult;
}

/** The worst error of a case, an unreadable one counted as infinite. */
export function worst(r: SuiteCase): number {
  return Math.max(0, ...Object.values(r.errors).map((e) => e ?? Number.POSITIVE_INFINITY));
}

/** The failures of some results in words; a flood is cut off and counted. */
export function failures(results: readonly SuiteCase[]): string[] {
  const found = results.filter((r) => !r.ok).map((r) => `${r.case}: ${r.message}`);
  return found.length > 12 ? [...found.slice(0, 12), `and ${found.length - 12} more`] : found;
}

/** One paragraph for the test log. */
export function tell(name: string, r: SuiteResult): string {
  const skipped = r.results.filter((c) => c.skipped !== undefined);
  const failed = r.results.filter((c) => !c.ok);
  const reasons = [...new Set(skipped.map((c) => c.skipped))].map((reason) => `\n  skipped ${skipped.filter((c) => c.skipped === reason).length}: ${reason}`);
  const slow = [...r.results].sort((a, b) => b.seconds - a.seconds).slice(0, 3);
  return (
    `${name}: ${r.version}, ${r.adapter}, subgroups ${r.subgroups}: ${r.results.length} cases, ${failed.length} failed, ${skipped.length} skipped, ` +
    `${r.pipelines} pipelines, ${r.seconds.toFixed(1)} s (slowest ${slow.map((c) => `${c.case} ${c.seconds.toFixed(1)} s`).join(', ')})` +
    `${reasons.join('')}\n  cells run of cells possible (op x dtype x ${r.host}): ${r.cellsRun} of ${r.cellsPossible}\n`
  );
}

/** Keeps the result for the report, and adds its counts to those of `npm test`. */
function keep(name: string, r: SuiteResult): void {
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, `${name}.json`), `${JSON.stringify(r)}\n`);
  const folder = process.env.SCION_COUNTS;
  if (!folder || !existsSync(folder)) return;
  const skipped = r.results.filter((c) => c.skipped !== undefined).length;
  const failed = r.results.filter((c) => !c.ok).length;
  const counts = {
    name: `op suite, ${name}`,
    passed: r.results.length - skipped - failed,
    failed,
    skipped,
    cells: { run: r.cellsRun, possible: r.cellsPossible },
  };
  writeFileSync(join(folder, `runtime-${name}.json`), JSON.stringify(counts));
}

/** The tests of one host: the suite runs in the first, each case file is judged in one of its own. */
export function suiteTests(name: string, run: () => Promise<SuiteResult>, seconds: number): void {
  let result: SuiteResult | undefined;
  it(
    'runs to its end and leaves out only what the committed list names',
    async () => {
      result = await run();
      keep(name, result);
      process.stdout.write(tell(name, result));
      expect(result.results.length).toBe(Object.values(caseFiles).flat().length);
      expect(result.cellsRun).toBeGreaterThan(0);
    },
    seconds * 1000,
  );
  it.each(Object.keys(caseFiles))('%s', (file) => {
    const found = result?.results.filter((r) => r.file === file) ?? [];
    expect(found.length).toBe(caseFiles[file].length);
    expect(failures(found)).toEqual([]);
    // `ok` is the host's word; the numbers are held to the tolerance here once more.
    for (const r of found) if (r.skipped === undefined) expect(worst(r), r.case).toBeLessThanOrEqual(r.tolerance);
  });
}
