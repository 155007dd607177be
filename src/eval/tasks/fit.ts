/**
 * Prompts longer than a model's context. Shots go first, the last one first, since a prompt with fewer is still a prompt; what is too long
 * without any loses its middle when it is encoded (`cutMiddle`); whole texts are read through a moving window (`scoreWindows`).
 */
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
