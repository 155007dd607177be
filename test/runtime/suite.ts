/**
 * The op suite, the same on every host: all case files on one device, one case after the other. Plain
 * data in, plain data out, so that a page, a worker or a child process can run it and hand over JSON.
 * One device for both profiles (a case's profile steers its plan, not its device): what the profiles
 * share is compiled once, which is most of the time on CPU drivers.
 */
import type { GpuDevice } from '../../src/gpu/device.ts';
import type { Profile } from '../../src/gpu/facts.ts';
import { host } from '../../src/host/index.ts';
import type { Host } from '../../src/host/types.ts';
import { type CaseResult, F16_TOLERANCE, F32_TOLERANCE, type OpCase, runCase } from './case.ts';
import { caseFiles } from './cases/index.ts';
import { featureSkip, namedSkip } from './skips.ts';

/** A case's result with what the report needs. */
export interface SuiteCase extends CaseResult {
  /** The file of cases it stands in. */
  readonly file: string;
  readonly profile: Profile;
  readonly seconds: number;
}

/** What one host found; JSON-safe but for infinite errors, which become null. */
export interface SuiteResult {
  readonly host: Host['kind'];
  readonly version: string;
  /** Name and architecture of the adapter, and its subgroup widths. */
  readonly adapter: string;
  readonly subgroups: string;
  readonly results: readonly SuiteCase[];
  /** A cell is an op in a dtype on this host; run if one case of it ran. */
  readonly cellsRun: number;
  readonly cellsPossible: number;
  readonly pipelines: number;
  readonly seconds: number;
}

/** How the suite is run. */
export interface SuiteOptions {
  readonly filter?: (c: OpCase) => boolean;
  /** Other cases than those of the case files (tests of the suite itself). */
  readonly cases?: readonly { readonly file: string; readonly c: OpCase }[];
  /** Called after each case, for a status line or to know where a crash happened. */
  readonly onResult?: (result: SuiteCase) => void;
}

/** Every case with its file's stem. */
export function allCases(): { file: string; c: OpCase }[] {
  return Object.entries(caseFiles).flatMap(([file, cases]) => cases.map((c) => ({ file, c })));
}

const SCOPES = ['validation', 'out-of-memory', 'internal'] as const;

/** Runs `work` inside error scopes; gives what it threw and what the device complained of, in words. */
async function scoped(device: GpuDevice, work: () => Promise<CaseResult>): Promise<{ value: CaseResult | null; complaints: string[] }> {
  const complaints: string[] = [];
  let value: CaseResult | null = null;
  for (const scope of SCOPES) device.raw.pushErrorScope(scope);
  try {
    value = await work();
  } catch (error) {
    complaints.push(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }
  // The pops are asked for before any is awaited: scopes are a stack and nothing may come between.
  const pops = SCOPES.map(() => device.raw.popErrorScope().catch(() => null));
  for (const found of await Promise.all(pops)) if (found) complaints.push(`uncaptured: ${found.message}`);
  try {
    device.check();
  } catch (error) {
    complaints.push(error instanceof Error ? error.message : String(error));
  }
  return { value, complaints };
}

/**
 * Runs the suite. A device error fails the case it happened in; a lost device fails its case and is
 * opened again for the next one. Throws only if no device opens.
 */
export async function runSuite(open: () => Promise<GpuDevice>, options: SuiteOptions = {}): Promise<SuiteResult> {
  const machine = await host();
  const start = machine.now();
  const chosen = (options.cases ?? allCases()).filter(({ c }) => options.filter?.(c) ?? true);
  let device = await open();
  const { facts } = device;
  const results: SuiteCase[] = [];
  let pipelines = 0;
  const run = new Set<string>();
  const possible = new Set<string>();
  for (const { file, c } of chosen) {
    const from = machine.now();
    const cell = `${c.op} ${c.dtype}`;
    possible.add(cell);
    const profile = c.profile ?? facts.profile;
    const tolerance = c.tolerance?.value ?? (c.dtype === 'f16' ? F16_TOLERANCE : F32_TOLERANCE);
    let found: CaseResult = { case: c.name, op: c.op, dtype: c.dtype, ok: true, errors: {}, tolerance, message: '' };
    const named = namedSkip(machine.kind, c);
    const missing = (c.needs ?? []).filter((f) => !facts.features.includes(f));
    const excuse = named ?? (missing.length > 0 ? featureSkip(machine.kind, missing) : null);
    if (excuse !== null) found = { ...found, skipped: excuse };
    else if (missing.length > 0)
      found = { ...found, ok: false, message: `${machine.kind} lacks ${missing.join(', ')}, and test/runtime/skips.ts has no line for it` };
    else {
      const { value, complaints } = await scoped(device, () => runCase(device, c));
      found = value ?? { ...found, ok: false };
      if (complaints.length > 0) found = { ...found, ok: false, message: [...complaints, found.message].filter((m) => m !== '').join('\n') };
      run.add(cell);
      if (device.lost) {
        pipelines += device.created.pipelines;
        device = await open();
      }
    }
    const result = { ...found, file, profile, seconds: (machine.now() - from) / 1000 };
    results.push(result);
    options.onResult?.(result);
  }
  pipelines += device.created.pipelines;
  device.destroy();
  return {
    host: machine.kind,
    version: machine.version,
    adapter: [...new Set([facts.vendor, facts.architecture, facts.name, facts.description])].filter((s) => s !== '').join(' / '),
    subgroups: facts.subgroups ? `${facts.subgroups.min}..${facts.subgroups.max}` : 'none',
    results,
    cellsRun: run.size,
    cellsPossible: possible.size,
    pipelines,
    seconds: (machine.now() - start) / 1000,
  };
}
