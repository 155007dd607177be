/**
 * One op case run, the same way on every host. What a case is, and its oracle, is `src/tensor/case.ts`, which the kernel playground shares;
 * here it is held to its tolerance, and its float64 gradients to central differences, in every run.
 */

import type { GpuDevice } from '../../src/gpu/device.ts';
import { buildCase, checkDifferences, describeMismatch, F16_TOLERANCE, F32_TOLERANCE, factsOfCase, normError, type OpCase } from '../../src/tensor/case.ts';
import { runOnce } from '../../src/tensor/eager.ts';
import { evaluateReference, type RefFeeds } from '../../src/tensor/reference.ts';

export { buildCase, F16_TOLERANCE, F32_TOLERANCE, type Fill, factsOfCase, fillInput, normError, type OpCase } from '../../src/tensor/case.ts';

/** What a case found. */
export interface CaseResult {
  readonly case: string;
  readonly op: string;
  readonly dtype: string;
  readonly ok: boolean;
  readonly skipped?: string;
  /** Norm-wise error of each output and gradient. */
  readonly errors: Readonly<Record<string, number>>;
  readonly tolerance: number;
  readonly message: string;
}

/** Runs a case on a device. Never throws for a wrong number; throws where the device or the graph refuses. */
export async function runCase(device: GpuDevice, c: OpCase): Promise<CaseResult> {
  const tolerance = c.tolerance?.value ?? (c.dtype === 'f16' ? F16_TOLERANCE : F32_TOLERANCE);
  const base = { case: c.name, op: c.op, dtype: c.dtype, tolerance };
  const missing = (c.needs ?? []).filter((f) => !device.facts.features.includes(f));
  if (missing.length > 0) return { ...base, ok: true, skipped: `device lacks ${missing.join(', ')}`, errors: {}, message: '' };
  const { outputs, seeded, wanted, feeds, random } = buildCase(c);
  const wrt = c.wrt ?? [];
  const names = Object.keys(wanted);
  const reference = evaluateReference(Object.values(wanted), feeds as RefFeeds, c.scalars);
  const ref = Object.fromEntries(names.map((n, i) => [n, reference[i].data]));
  let message = '';
  if (wrt.length > 0 && c.noDifferences === undefined) message = checkDifferences(c, outputs, seeded, wrt, feeds, ref, random);
  const found = await runOnce(device, wanted, feeds, { scalars: c.scalars, facts: factsOfCase(device.facts, c) });
  const errors: Record<string, number> = {};
  for (const name of names) {
    errors[name] = normError(found[name], ref[name]);
    if (!(errors[name] <= tolerance)) message ||= describeMismatch(name, found[name], ref[name], tolerance);
  }
  return { ...base, ok: message === '', errors, message };
}
