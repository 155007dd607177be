/**
 * How large passes are made for a model, its work and a device: planned without allocating anything, from the largest that pays downwards until
 * the planner's bytes fit the budget. What is planned is what the runtime allocates.
 */
import { ScionError } from '../../base/errors.ts';
import { bytes } from '../../base/format.ts';
import type { DeviceFacts } from '../../gpu/facts.ts';
import { type InferOptions, planInference } from '../../infer/plans.ts';
import type { RaggedOptions } from '../../infer/ragged.ts';
import type { LlamaConfig } from '../../nn/config.ts';
import type { Needs } from './prepare.ts';
import { roomsOf } from './run.ts';

/** Tokens of a pass and sequences written side by side, largest first: both shrink together, since a narrow step is as slow as a short pass. */
const SIZES: readonly (readonly [tokens: number, sequences: number])[] = [
  [2048, 64],
  [512, 64],
  [512, 32],
  [256, 16],
  [128, 8],
  [64, 4],
  [64, 1],
];
/** CPU adapters gain nothing from longer passes. */
const MOST_GENERIC = 512;
/** Bytes beside the weights where nobody names a budget. */
const BUDGET = { generic: 1 << 30, specialised: 4 * 2 ** 30 } as const;

/** How many tokens of a pass are asked, in the mean, with some room; few rows make the head cheap, too few end passes early. */
const rowsFor = (tokens: number, { asks, place, tokens: all }: Needs): number => {
  const mean = Math.ceil((1.3 * tokens * asks) / Math.max(1, all)) + 3;
  // A place may be asked for several ids: options of one letter each.
  return Math.max(8, Math.ceil(Math.max(place, Math.min(mean, 2 * tokens)) / 8) * 8);
};

function raggedFor(tokens: number, sequences: number, needs: Needs): RaggedOptions {
  const rooms = roomsOf(tokens, needs);
  const generated = needs.generated > 0 ? needs.shared + sequences * needs.written + Math.min(sequences - 1, 4) * needs.shared : 0;
  const scored = needs.asks > needs.generated;
  return {
    tokens,
    slots: Math.max(rooms.shared + rooms.own, generated),
    positions: needs.sequence,
    ...(scored && { score: { rows: rowsFor(tokens, needs), picks: Math.max(1, needs.picks) } }),
    ...(needs.generated > 0 && { sequences }),
  };
}

/**
 * The passes to open a model with. `budget`: bytes for caches, activations and the rest, weights apart.
 * @throws ScionError `memory` where the smallest passes need more.
 */
export function fitEvaluation(
  config: LlamaConfig,
  needs: Needs,
  facts: DeviceFacts,
  options: Pick<InferOptions, 'precision' | 'lora'> & { readonly budget?: number },
): RaggedOptions {
  const { budget = BUDGET[facts.profile], ...rest } = options;
  let least: { bytes: number; ragged: RaggedOptions } | null = null;
  for (const [i, [tokens, sequences]] of SIZES.entries()) {
    // More than the work fills is padding, but for the last.
    const idle = tokens > 64 && tokens >= 2 * needs.tokens;
    if (i < SIZES.length - 1 && (idle || (facts.profile === 'generic' && tokens > MOST_GENERIC))) continue;
    const ragged = raggedFor(tokens, Math.min(sequences, Math.max(1, needs.generated)), needs);
    let need: number;
    try {
      const { memory } = planInference(config, { ...rest, capacity: 0, ragged }, facts);
      need = memory.total - Object.entries(memory.states).reduce((sum, [kind, n]) => sum + (kind === 'cache' ? 0 : n), 0);
    } catch (error) {
      // More slots than one buffer of this device holds: fewer may fit.
      if (error instanceof ScionError && (error.kind === 'plan' || error.kind === 'memory')) continue;
      throw error;
    }
    if (need <= budget) return ragged;
    if (!least || need < least.bytes) least = { bytes: need, ragged };
  }
  throw new ScionError(
    'memory',
    least
      ? `evaluation needs ${bytes(least.bytes)} beside the weights at least (${least.ragged.slots} slots for keys and values), allowed are ${bytes(budget)}; cut prompts, or allow more`
      : 'no pass of evaluation fits this device’s limits; cut prompts or take a smaller model',
    { budget, needed: least?.bytes },
  );
}
