/**
 * What `start` and `train` show of a run while it goes: one status line, notes for events, and the
 * figures that end it.
 */
import { baseName } from '../base/path.ts';
import { host } from '../host/index.ts';
import type { Run } from '../train/run.ts';
import type { TrainHooks, TrainResult } from '../train/trainer.ts';
import { bytes, duration, type StatusLine, si } from './status.ts';

/** Hooks that keep the status line. `steps` and `planned` are known once the run is open. */
export function statusHooks(status: StatusLine, facts: { steps: number; planned: number }): TrainHooks {
  let bits = '';
  return {
    onStep: (r) => {
      const left = (facts.steps - r.step - 1) * r.seconds;
      status.set(
        `step ${r.step + 1}/${facts.steps}  loss ${r.loss.toFixed(3)}${bits}  ${si(r.tokensPerSecond)} tokens/s  ${si(r.flopsPerSecond)}FLOP/s  ${duration(left)} left  ${bytes(facts.planned)}`,
      );
    },
    onValidate: (v) => {
      bits = `  held-out ${v.bitsPerByte.toFixed(3)} bits/byte`;
      status.note(`step ${v.step}: held-out loss ${v.loss.toFixed(4)}, ${v.bitsPerByte.toFixed(4)} bits per byte`);
    },
    onSave: (path, step) => status.note(`step ${step}: saved ${baseName(path)}`),
    onEvent: (e) => status.note(e.message),
  };
}

/** The machine-readable end of a run. */
export async function runFigures(run: Run, result: TrainResult): Promise<Record<string, unknown>> {
  const machine = await host();
  return {
    runtime: machine.version,
    device: run.facts.name,
    steps: result.steps,
    tokens: result.tokens,
    firstLoss: result.firstLoss,
    lastLoss: result.lastLoss,
    valBitsPerByteFirst: result.firstValidation?.bitsPerByte ?? null,
    valBitsPerByteLast: result.lastValidation?.bitsPerByte ?? null,
    tokensPerSecond: result.tokensPerSecond,
    flopsPerSecond: result.flopsPerSecond,
    checkpoint: result.checkpoint,
  };
}
