/**
 * Loops that end: an edited kernel's text with a count in each of its loops, which leaves the loop beyond a limit and says so in a buffer of its
 * own. A shader that never ends cannot be called back: CPU adapters hang the browser's GPU process for good, and a GPU takes its
 * driver's reset. So the playground runs a text guarded first, and as it is only once that came to its end.
 *
 * The count lives in the function, beside its loop, so that what is uniform stays so and barriers remain legal.
 */

/** The storage variable that the guard adds; its word becomes 1 where a loop was left. */
export const GUARD = 'SCION_GUARD';
/** Its binding number: beyond those of any kernel. */
const BINDING = 15;

/** The text with comments blanked, character for character. */
function withoutComments(text: string): string {
  const blank = (part: string) => part.replace(/[^\n]/g, ' ');
  return text.replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\//g, blank);
}

/** The text with at most `limit` rounds in every loop. Lines stay where they are. */
export function guardLoops(text: string, limit: number): string {
  const code = withoutComments(text);
  let out = '';
  let from = 0;
  let loops = 0;
  for (const found of code.matchAll(/\b(?:for|while|loop)\b/g)) {
    // No expression of WGSL holds a brace: the next one opens the body.
    const body = code.indexOf('{', found.index);
    if (body < 0) break;
    const name = `scion_rounds_${loops++}`;
    out += `${text.slice(from, found.index)}var ${name} = 0u; ${text.slice(found.index, body + 1)} ${name}++; if (${name} > ${limit}u) { atomicStore(&${GUARD}, 1u); break; }`;
    from = body + 1;
  }
  if (loops === 0) return text;
  return `${out}${text.slice(from)}\n@group(0) @binding(${BINDING}) var<storage, read_write> ${GUARD}: atomic<u32>;\n`;
}
