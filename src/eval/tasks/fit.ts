/**
 * Prompts longer than a model's context. Shots go first, the last one first, since a prompt with fewer is still a prompt; what is too long
 * without any loses its middle (what the original does: a question stands at an end) or is read through a moving window.
 */
import { ScionError } from '../../base/errors.ts';
import { type TaskPrompt, withShots } from './prompts.ts';

/** What became of prompts. */
export interface Fitted {
  readonly prompts: readonly TaskPrompt[];
  /** Prompts that lost shots, and those too long even without. */
  readonly fewer: number;
  readonly tooLong: number;
}

/**
 * Takes shots off prompts until prompt and answer fit. `count` tells the tokens of a text, begin mark included; what is kept free is the
 * longest continuation, or the tokens to be generated where there is none. `least` shots stay whatever their length (1 is ColossalEval's rule, whose prompt then
 * loses its middle).
 */
export function fitShots(prompts: readonly TaskPrompt[], count: (text: string) => number, context: number, generates: boolean, least = 0): Fitted {
  let fewer = 0;
  let tooLong = 0;
  const out = prompts.map((prompt) => {
    const tails = prompt.continuations ?? [''];
    const length = (p: TaskPrompt): number => {
      if (generates || prompt.continuations === null) return count(p.prefix + p.body) + (generates ? p.maxNewTokens : 0);
      return Math.max(...tails.map((tail) => count(p.prefix + p.body + tail)));
    };
    let kept = prompt;
    while (length(kept) > context && kept.shots.length > least) kept = withShots(kept, kept.shots.length - 1);
    if (kept.shots.length < prompt.shots.length) fewer++;
    if (kept.shots.length <= least && length(kept) > context) tooLong++;
    return kept;
  });
  return { prompts: out, fewer, tooLong };
}

/** Ids cut to `room` in the middle: the first half and the last half stay, the last one longer where it is odd. */
export function cutMiddle(ids: readonly number[], room: number): readonly number[] {
  if (ids.length <= room) return ids;
  const first = Math.floor(room / 2);
  return [...ids.slice(0, first), ...ids.slice(ids.length - (room - first))];
}

/** A part of a long text: ids from `from` to `to` are read, those from `scored` on are scored. */
export interface Window {
  readonly from: number;
  readonly to: number;
  readonly scored: number;
}

/**
 * Windows over `length` ids that score each id once with at least `context - stride` ids before it (fewer only at the beginning).
 * The first id is scored where something (a begin mark) stands before it; that is the caller's to know.
 */
export function slidingWindows(length: number, context: number, stride: number): Window[] {
  if (!(Number.isInteger(context) && context >= 1 && Number.isInteger(stride) && stride >= 1 && stride <= context))
    throw new ScionError('usage', `a window of ${context} ids moved by ${stride}; the stride is 1 to the window's length`, { context, stride });
  const out: Window[] = [];
  for (let scored = 0; scored < length; ) {
    const to = Math.min(length, scored === 0 ? context : scored + stride);
    out.push({ from: Math.max(0, to - context), to, scored });
    scored = to;
  }
  return out;
}
