/**
 * Learning-rate schedules as pure functions of the step: what the host puts into the step's tables.
 * Step s is the s-th update, from 0; warm-up reaches the peak at step `warmup`.
 */
import { ScionError } from '../base/errors.ts';

/** A schedule. `minimum` is a share of the peak. */
export interface Schedule {
  readonly kind: 'constant' | 'cosine' | 'linear' | 'wsd';
  /** Peak learning rate. */
  readonly peak: number;
  /** Steps of linear warm-up. */
  readonly warmup: number;
  /** All steps, warm-up included. */
  readonly steps: number;
  /** Floor as a share of the peak. */
  readonly minimum?: number;
  /** `wsd`: share of all steps in the final decay. */
  readonly decayShare?: number;
  /** Steps of earlier stages that this one continues: its step s is step s + offset of the schedule. */
  readonly offset?: number;
  /** Share of all steps at the end that stay at the minimum, so that one sees whether the loss has come to rest. Default 0. */
  readonly settle?: number;
}

/**
 * The learning rate of step `step`.
 * Sources: cosine by Loshchilov and Hutter (SGDR, 2017) without restarts; warm-up, stable, decay by Hu et al. (MiniCPM, 2024).
 */
export function learningRate(schedule: Schedule, step: number): number {
  const s = step + (schedule.offset ?? 0);
  const { kind, peak, warmup, steps, minimum = 0.1, decayShare = 0.1, settle = 0 } = schedule;
  if (warmup > 0 && s < warmup) return (peak * (s + 1)) / warmup;
  const span = Math.max(1, steps * (1 - settle) - warmup);
  const done = Math.min(1, (s - warmup) / span);
  switch (kind) {
    case 'constant':
      return peak;
    case 'cosine':
      return peak * (minimum + (1 - minimum) * 0.5 * (1 + Math.cos(Math.PI * done)));
    case 'linear':
      return peak * (1 - (1 - minimum) * done);
    case 'wsd': {
      const from = 1 - decayShare;
      return done < from ? peak : peak * (1 - (1 - minimum) * Math.min(1, (done - from) / Math.max(decayShare, 1e-9)));
    }
    default:
      throw new ScionError('input', `schedule "${String(kind)}" is unknown; use constant, cosine, linear or wsd`);
  }
}

/** Checks a schedule's numbers; a remedy in each message. */
export function checkSchedule(s: Schedule): Schedule {
  const bad = (what: string): never => {
    throw new ScionError('input', `schedule: ${what}`, { ...s });
  };
  if (!(s.peak > 0) || !Number.isFinite(s.peak)) bad(`peak must be a positive number, got ${s.peak}`);
  if (!Number.isInteger(s.steps) || s.steps < 1) bad(`steps must be a positive integer, got ${s.steps}`);
  if (!Number.isInteger(s.warmup) || s.warmup < 0) bad(`warmup must be an integer of 0 or more, got ${s.warmup}`);
  if (s.minimum !== undefined && !(s.minimum >= 0 && s.minimum <= 1)) bad(`minimum is a share of the peak from 0 to 1, got ${s.minimum}`);
  if (s.settle !== undefined && !(s.settle >= 0 && s.settle < 1)) bad(`settle is a share of the steps from 0 to below 1, got ${s.settle}`);
  return s;
}
