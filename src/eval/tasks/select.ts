/**
 * Which questions are asked where not all are: a number spread evenly over subjects, and rows drawn by a seed, so that a small run is a
 * fair sample of the whole and the same one each time.
 */
import { Random } from '../../base/random.ts';
import { hash32 } from '../../data/hash.ts';

/**
 * At most `limit` items, as evenly over subjects as their sizes allow; the order of what is kept is that of what was given. Which
 * subjects give one more where it does not divide, and which items of a subject, the seed decides.
 */
export function spread<T>(items: readonly T[], subjectOf: (item: T) => string, limit: number, seed: number): T[] {
  if (items.length <= limit) return [...items];
  const bySubject = new Map<string, number[]>();
  for (const [i, item] of items.entries()) {
    const subject = subjectOf(item);
    const list = bySubject.get(subject);
    if (list) list.push(i);
    else bySubject.set(subject, [i]);
  }
  const subjects = new Random(seed).shuffle([...bySubject.keys()].sort());
  const share = new Map(subjects.map((subject) => [subject, 0]));
  for (let left = limit; left > 0; ) {
    for (const subject of subjects) {
      const taken = share.get(subject) ?? 0;
      if (left === 0 || taken >= (bySubject.get(subject)?.length ?? 0)) continue;
      share.set(subject, taken + 1);
      left--;
    }
  }
  const kept = new Set<number>();
  for (const [subject, places] of bySubject) {
    for (const i of new Random(seed, hash32(subject)).shuffle([...places]).slice(0, share.get(subject))) kept.add(i);
  }
  return items.filter((_, i) => kept.has(i));
}

/** `count` rows as shots: the first, or drawn by the seed, in the order they are drawn. */
export function chooseShots<T>(rows: readonly T[], count: number, how: 'first' | 'seeded', seed: number): T[] {
  return (how === 'first' ? [...rows] : new Random(seed).shuffle([...rows])).slice(0, count);
}
