/**
 * Op cases as plans, without a device: which kernels under which switches a case launches. The compile
 * test, and the choice of the cases that depend on the subgroup width, come from here.
 */
import { pipelineKey } from '../../src/gpu/device.ts';
import { expandKernel, type Switches } from '../../src/gpu/expand.ts';
import type { DeviceFacts } from '../../src/gpu/facts.ts';
import { planGraph } from '../../src/tensor/plan.ts';
import { buildCase, factsOfCase, type OpCase } from './case.ts';

/** A kernel as it is compiled. */
export interface Variant {
  readonly kernel: string;
  readonly entry: string;
  readonly switches: Switches;
  readonly constants: Readonly<Record<string, number>>;
}

/** The kernel variants of a case on a device with these facts, by pipeline key. */
export function variantsOf(c: OpCase, facts: DeviceFacts): Map<string, Variant> {
  const { wanted } = buildCase(c);
  const [first] = Object.values(wanted);
  const plan = planGraph(first.node.graph, { facts: factsOfCase(facts, c), outputs: wanted });
  const found = new Map<string, Variant>();
  for (const command of plan.commands) {
    if (command.kind !== 'dispatch') continue;
    const { kernel, entry, switches, constants } = command;
    found.set(pipelineKey(kernel, switches, constants, entry), { kernel, entry, switches, constants });
  }
  return found;
}

/** True if a kernel of the case uses subgroups, so that its result depends on their width. */
export function usesSubgroups(c: OpCase, facts: DeviceFacts): boolean {
  return [...variantsOf(c, facts).values()].some((v) => /^\s*enable\s+subgroups\b/m.test(expandKernel(v.kernel, v.switches).code));
}
