/**
 * The one middle cut of prompts that are too long, ColossalEval's: a question stands at an end of its prompt, so both ends stay.
 */

/** Ids cut to at most `room`: the first and the last half of it, an odd one left over (as there); where there is room for one, the last. */
export function cutMiddle(ids: readonly number[], room: number): readonly number[] {
  if (ids.length <= room) return ids;
  const half = room >> 1;
  if (half === 0) return ids.slice(ids.length - room);
  return [...ids.slice(0, half), ...ids.slice(ids.length - half)];
}
