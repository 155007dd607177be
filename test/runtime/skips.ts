/**
 * The one list of what the op suite leaves out on a host, with the reason. A case that cannot run for
 * any other cause fails: a skip nobody wrote down here is a hole, not a result.
 */
import type { Host } from '../../src/host/types.ts';
import type { OpCase } from './case.ts';

/** A committed skip: of every case that needs a device feature, or of the cases it names. */
export type Skip = { readonly host: Host['kind']; readonly reason: string } & (
  | { readonly feature: string }
  /** Case names, exactly. Each must exist, so that a renamed case cannot stay skipped unseen. */
  | { readonly cases: readonly string[] }
);

export const SKIPS: readonly Skip[] = [
  { host: 'deno', feature: 'subgroups', reason: "naga, the shader compiler of Deno's own WebGPU, refuses `enable subgroups`" },
  { host: 'browser', feature: 'shader-f16', reason: 'SwiftShader, the only adapter of a browser without a GPU, has no f16 arithmetic' },
];

/** The committed skip of a case that names it; null if it is to run. */
export function namedSkip(host: Host['kind'], c: OpCase): string | null {
  return SKIPS.find((s) => s.host === host && 'cases' in s && s.cases.includes(c.name))?.reason ?? null;
}

/** The reason a case may be skipped for lack of these features; null if the list has none for one of them. */
export function featureSkip(host: Host['kind'], missing: readonly string[]): string | null {
  const reasons = missing.map((feature) => SKIPS.find((s) => s.host === host && 'feature' in s && s.feature === feature)?.reason);
  return reasons.includes(undefined) ? null : [...new Set(reasons)].join('; ');
}
