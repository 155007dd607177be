/**
 * Eager use (playground, op tests): plan a small graph, run it once, read its outputs, free it. The
 * same path as training, not a second engine; pipelines stay cached on the device.
 */
import type { GpuDevice } from '../gpu/device.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import type { Value } from './graph.ts';
import type { StepScalars } from './op.ts';
import { planGraph } from './plan.ts';
import { type Feeds, type Results, Session } from './session.ts';

/** Runs the graph that `outputs` belong to. `states` are written before the run. */
export async function runOnce(
  device: GpuDevice,
  outputs: Readonly<Record<string, Value>>,
  feeds: Feeds,
  options: { scalars?: StepScalars; states?: Readonly<Record<string, ArrayLike<number>>>; facts?: DeviceFacts } = {},
): Promise<Results> {
  const [first] = Object.values(outputs);
  const plan = planGraph(first.node.graph, { facts: options.facts ?? device.facts, outputs });
  const session = new Session(device, { main: plan });
  try {
    for (const [name, values] of Object.entries(options.states ?? {})) session.writeState(name, values);
    session.programs.main.run(feeds, options.scalars);
    return await session.programs.main.read();
  } finally {
    session.destroy();
  }
}
