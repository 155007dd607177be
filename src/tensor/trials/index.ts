/**
 * Every shipped kernel as something to try, and the ladders: kernels that do the same, from the naive one up. A test holds the table against
 * the folder, so that no kernel is shipped without a trial.
 */
import { ScionError } from '../../base/errors.ts';
import type { OpCase } from '../case.ts';
import { attentionTrials } from './attention.ts';
import { matmulTrials } from './matmul.ts';
import { pointwiseTrials } from './pointwise.ts';
import { rowTrials } from './rows.ts';
import { stepTrials } from './step.ts';
import type { Setting, Trial } from './types.ts';

export const TRIALS: readonly Trial[] = [...matmulTrials, ...attentionTrials, ...rowTrials, ...pointwiseTrials, ...stepTrials];

/** Kernels that do the same by other means, the naive one first. */
export const LADDERS: readonly (readonly string[])[] = [
  ['matmul/matmul_naive', 'matmul/matmul_generic', 'matmul/matmul_lanes', 'matmul/matmul_tiled', 'matmul/matmul_subgroup_matrix'],
  ...['attention', 'attention_grad_q', 'attention_grad_kv'].map((stem) => ['naive', 'rows', 'tile'].map((family) => `attention/${stem}_${family}`)),
];

/** The trial of a kernel. @throws ScionError where there is none. */
export function trialOf(kernel: string): Trial {
  const found = TRIALS.find((t) => t.kernel === kernel);
  if (!found) throw new ScionError('input', `no kernel "${kernel}" can be tried; there are ${TRIALS.map((t) => t.kernel).join(', ')}`);
  return found;
}

/** What a trial starts with: its usual sizes, or its ugly ones. */
export function settingOf(trial: Trial, which: 'usual' | 'ugly' = 'usual'): Setting {
  return {
    sizes: Object.fromEntries(Object.entries(trial.sizes).map(([letter, pair]) => [letter, pair[which === 'usual' ? 0 : 1]])),
    options: Object.fromEntries(Object.entries(trial.options ?? {}).map(([name, values]) => [name, values[0]])),
    dtype: trial.dtypes?.[0] ?? 'f32',
  };
}

/** Largest number that a size may be: far beyond what fits, and products of a few stay exact. */
const MOST = 2 ** 31;

/** The op case of a trial. @throws ScionError for a size that is none, or an option that does not exist. */
export function caseOfTrial(trial: Trial, setting: Setting): OpCase {
  for (const letter of Object.keys(trial.sizes)) {
    const size = setting.sizes[letter];
    if (!Number.isInteger(size) || size < 1 || size > MOST) throw new ScionError('input', `${letter} must be a whole number from 1 on, got ${size}`);
  }
  for (const [name, values] of Object.entries(trial.options ?? {})) {
    const value = setting.options[name];
    if (value !== undefined && !values.includes(value)) throw new ScionError('input', `${name} is one of ${values.join(', ')}; got "${value}"`);
  }
  const words = [...Object.entries(setting.sizes), ...Object.entries(setting.options)].map(([name, value]) => `${name}=${value}`);
  return { ...trial.make(setting), name: `${trial.kernel} ${setting.dtype} ${words.join(' ')}`, dtype: setting.dtype };
}
