/**
 * A task asked of a model: samples in a fixed order, unit by unit. Asked again from a later sample, it gives what it gave before, to the bit: units
 * are computed whole, whatever part of them is wanted.
 */
import { ScionError } from '../../base/errors.ts';
import type { Generator } from '../../infer/generator.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import type { Prompted, SampleOutput } from '../types.ts';
import { type Prepared, type PrepareOptions, prepare } from './prepare.ts';
import { generateUnit, scoreUnit } from './run.ts';
import { unitsOf } from './units.ts';

export type EvaluateOptions = Omit<PrepareOptions, 'positions'> & {
  /** Tokens that the model can see at once; by default what it was opened for. */
  readonly positions?: number;
  /** Skip so many samples, which an earlier call gave. */
  readonly from?: number;
};

/**
 * Asks the questions of a prepared task, in the order of `prepared.questions`, beginning with number `from`.
 * @throws ScionError `usage` for a model opened without the passes that the task needs (`fitEvaluation` gives them), `numeric` for broken weights.
 */
export async function* ask(model: Generator, tokenizer: Tokenizer, prepared: Prepared, from = 0): AsyncGenerator<SampleOutput, void, void> {
  const { ragged } = model.options;
  if (!ragged) throw new ScionError('usage', 'this model was opened without ragged passes; open it with ragged: fitEvaluation(…)');
  if (prepared.needs.sequence > ragged.positions)
    throw new ScionError('usage', `the longest sequence has ${prepared.needs.sequence} ids, the model was opened for ${ragged.positions}`);
  const generates = prepared.options.method === 'generate';
  for (const unit of unitsOf(prepared, ragged)) {
    const n = unit.groups.reduce((sum, { items }) => sum + items.length, 0);
    if (unit.first + n <= from) continue;
    const outputs = generates ? await generateUnit(model, tokenizer, unit) : await scoreUnit(model, unit, prepared.picks, prepared.needs);
    yield* outputs.slice(Math.max(0, from - unit.first));
  }
}

/** Prepares and asks at once. Throws as `prepare` and `ask`. */
export function evaluate(
  model: Generator,
  tokenizer: Tokenizer,
  prompted: readonly Prompted[],
  options: EvaluateOptions,
): AsyncGenerator<SampleOutput, void, void> {
  const {
    from = 0,
    positions = model.options.ragged?.positions ?? model.config.maxPositions,
    bosId = tokenizer.bosId ?? model.config.bosId,
    ...rest
  } = options;
  return ask(model, tokenizer, prepare(tokenizer, prompted, { ...rest, bosId, positions }), from);
}
