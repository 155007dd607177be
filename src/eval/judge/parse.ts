/**
 * Verdicts out of a judge's words. Strict: a verdict stands in double brackets, once or always the same, within its range; everything else is malformed, asked for once more and then
 * reported as a failure. A lenient reading would turn a judge's slip into a score.
 */
import type { ReplyToken } from './endpoint.ts';

/** A verdict, or why there is none. */
export type Parsed<T> = { readonly verdict: T } | { readonly malformed: string };

/** What stands in double brackets, the same each time. */
function bracketed(text: string): Parsed<string> {
  const found = new Set([...text.matchAll(/\[\[\s*([^[\]]{1,16}?)\s*\]\]/g)].map((m) => m[1]));
  if (found.size === 0) return { malformed: 'no verdict in double brackets' };
  return found.size === 1 ? { verdict: [...found][0] } : { malformed: `several verdicts: ${[...found].slice(0, 4).join(', ')}` };
}

/** A rating `[[n]]` from `low` to `high`; whole numbers only where `whole`. */
export function parseRating(text: string, low: number, high: number, whole: boolean): Parsed<number> {
  const found = bracketed(text);
  if ('malformed' in found) return found;
  if (!/^\d+(\.\d+)?$/.test(found.verdict)) return { malformed: `"${found.verdict}" is no rating` };
  const value = Number(found.verdict);
  if (value < low || value > high || (whole && !Number.isInteger(value)))
    return { malformed: `${found.verdict} is no ${whole ? 'whole ' : ''}rating from ${low} to ${high}` };
  return { verdict: value };
}

export type Winner = 'A' | 'B' | 'tie';

/** A choice `[[A]]`, `[[B]]` or `[[C]]` (a tie). */
export function parseWinner(text: string): Parsed<Winner> {
  const found = bracketed(text);
  if ('malformed' in found) return found;
  if (found.verdict === 'A' || found.verdict === 'B') return { verdict: found.verdict };
  return found.verdict === 'C' ? { verdict: 'tie' } : { malformed: `"${found.verdict}" is none of A, B and C` };
}

/**
 * The mean rating by probability, sum of s p(s) over the ratings that might have stood where the rating stands (Liu et al. 2023, G-Eval): finer than the one that was said. Null where the tokens do not show it:
 * ratings of one digit as tokens of their own.
 */
export function expectedRating(tokens: readonly ReplyToken[] | null, low: number, high: number): number | null {
  if (!tokens) return null;
  const at = tokens.findLastIndex(
    (t, i) =>
      /^\d$/.test(t.token.trim()) &&
      /\[\[\s*$/.test(
        tokens
          .slice(Math.max(0, i - 3), i)
          .map((x) => x.token)
          .join(''),
      ),
  );
  if (at < 0) return null;
  let mass = 0;
  let sum = 0;
  for (const { token, logprob } of tokens[at].top) {
    const value = /^\d$/.test(token.trim()) ? Number(token) : Number.NaN;
    if (!(value >= low && value <= high)) continue;
    const p = Math.exp(logprob);
    mass += p;
    sum += p * value;
  }
  return mass > 0 ? sum / mass : null;
}
