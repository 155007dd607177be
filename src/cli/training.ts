/**
 * What `start` and `train` show of a run while it goes: one status line, notes for events, and the
 * figures that end it.
 */
import { visible } from '../base/markup.ts';
import { baseName } from '../base/path.ts';
import { host } from '../host/index.ts';
import type { Run } from '../train/run.ts';
import type { TrainHooks, TrainResult, ValidationReport } from '../train/trainer.ts';
import { bytes, duration, type StatusLine, si } from './status.ts';

/** Categories named in the status line; more would fill it. */
const MOST_NAMED = 4;

const percent = (share: number): string => `${(100 * share).toPrecision(2)} %`;

const bitsByCategory = (v: ValidationReport): Record<string, number> =>
  Object.fromEntries(Object.entries(v.byCategory).map(([category, { bitsPerByte }]) => [category, bitsPerByte]));

/** ` (en 1.234, zh 2.345)`; nothing where there is one category. */
function byCategory(v: ValidationReport, digits: number): string {
  const all = Object.entries(bitsByCategory(v));
  if (all.length < 2) return '';
  const named = all.slice(0, MOST_NAMED).map(([category, bits]) => `${visible(category)} ${bits.toFixed(digits)}`);
  return ` (${named.join(', ')}${all.length > MOST_NAMED ? ', …' : ''})`;
}

/** Hooks that keep the status line. `steps` and `planned` are known once the run is open. */
export function statusHooks(status: StatusLine, facts: { steps: number; planned: number }): TrainHooks {
  let bits = '';
  return {
    onStep: (r) => {
      const left = (facts.steps - r.step - 1) * r.seconds;
      status.set(
        `step ${r.step + 1}/${facts.steps}  loss ${r.loss.toFixed(3)}${bits}  ${si(r.tokensPerSecond)} tokens/s  ${si(r.flopsPerSecond)}FLOP/s${r.peakShare === null ? '' : ` (${percent(r.peakShare)} of peak)`}  ${duration(left)} left  ${bytes(facts.planned)}`,
      );
    },
    onValidate: (v) => {
      bits = `  held-out ${v.bitsPerByte.toFixed(3)} bits/byte${byCategory(v, 3)}`;
      status.note(`step ${v.step}: held-out loss ${v.loss.toFixed(4)}, ${v.bitsPerByte.toFixed(4)} bits per byte${byCategory(v, 4)}`);
      if (v.drift?.new != null) status.note(`  rows moved: new ${percent(v.drift.new)}, old ${v.drift.old === null ? '–' : percent(v.drift.old)}`);
      for (const { prompt, text } of v.samples) status.note(`  ${visible(prompt)} →${visible(text).split('\n')[0]}`);
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
    valBitsPerByte: result.lastValidation ? bitsByCategory(result.lastValidation) : null,
    skippedSteps: result.skippedSteps,
    tokensPerSecond: result.tokensPerSecond,
    flopsPerSecond: result.flopsPerSecond,
    checkpoint: result.checkpoint,
  };
}
