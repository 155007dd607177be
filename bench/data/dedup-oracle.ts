/**
 * Near-duplicates by definition: shingles as strings in sets, every pair that shares one compared. Written apart from
 * src/curate/dedup (regular expressions instead of tables, strings instead of hashes), so that the two can be held
 * against each other. Slow; for tests and benchmarks.
 */

const INVISIBLE = /\p{Default_Ignorable_Code_Point}/gu;
const UNIT =
  /(?=[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}\p{scx=Yiii}])[\p{L}\p{N}\p{M}]|(?:(?![\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}\p{scx=Yiii}])[\p{L}\p{N}\p{M}])+/gu;
const UNSPACED = /[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}\p{scx=Yiii}]/u;

export function unitsOf(text: string): string[] {
  return text.normalize('NFKC').toLowerCase().replace(INVISIBLE, '').match(UNIT) ?? [];
}

/** The shingles of a text: from each unit on, units up to a whole of `words` words or `characters` characters. */
export function shinglesOf(text: string, words = 5, characters = 3): Set<string> {
  const units = unitsOf(text);
  const set = new Set<string>();
  for (let start = 0; start < units.length; start++) {
    let share = 0;
    let end = start;
    while (end < units.length && share < words * characters) share += UNSPACED.test(units[end++]) ? words : characters;
    if (share < words * characters && start > 0) break;
    set.add(units.slice(start, end).join(' '));
  }
  return set;
}

export function jaccard(x: ReadonlySet<string>, y: ReadonlySet<string>): number {
  let both = 0;
  for (const shingle of x) if (y.has(shingle)) both++;
  return both === 0 ? 0 : both / (x.size + y.size - both);
}

/** All pairs of a similarity of `least` and more, by an inverted index over all shingles: nothing is left to chance. */
export function allPairs(sets: readonly ReadonlySet<string>[], least: number): { a: number; b: number; similarity: number }[] {
  const index = new Map<string, number[]>();
  const found: { a: number; b: number; similarity: number }[] = [];
  for (let b = 0; b < sets.length; b++) {
    const counts = new Map<number, number>();
    for (const shingle of sets[b]) {
      const holders = index.get(shingle);
      if (holders === undefined) index.set(shingle, [b]);
      else {
        for (const a of holders) counts.set(a, (counts.get(a) ?? 0) + 1);
        holders.push(b);
      }
    }
    for (const [a, both] of counts) {
      const similarity = both / (sets[a].size + sets[b].size - both);
      if (similarity >= least) found.push({ a, b, similarity });
    }
  }
  return found;
}

/** Small seeded generator (mulberry32); apart from the one under test. */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * The text with `share` of its characters changed, one third each replaced (by another of its own characters), taken out, doubled with
 * another. In `runs` of that many characters on average, as people edit; 1 scatters single characters.
 */
export function edited(text: string, share: number, run: number, random: () => number): string {
  const chars = [...text];
  if (chars.length === 0) return text;
  let left = Math.round(share * chars.length);
  const kinds = new Map<number, number>();
  for (let tries = 0; left > 0 && tries < 20 * chars.length; tries++) {
    const start = Math.floor(random() * chars.length);
    const length = Math.min(left, 1 + Math.floor(random() * (2 * run - 1)), chars.length - start);
    const kind = Math.floor(random() * 3);
    for (let i = start; i < start + length; i++) {
      if (kinds.has(i)) continue;
      kinds.set(i, kind);
      left--;
    }
  }
  let out = '';
  for (let i = 0; i < chars.length; i++) {
    const kind = kinds.get(i);
    if (kind !== 1) out += kind === 0 ? chars[Math.floor(random() * chars.length)] : chars[i];
    if (kind === 2) out += chars[Math.floor(random() * chars.length)];
  }
  return out;
}
