/**
 * Where two texts differ, by words (by characters in scripts that write no spaces). The shortest edit script by Myers'
 * greedy algorithm (E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", 1986), bounded: texts that
 * differ in more than `MAX_EDITS` units, or are longer than `MAX_UNITS`, are told apart by common beginning and end only.
 */

/** A stretch of text that both have, or only one. */
export interface DiffPart {
  readonly kind: 'both' | 'a' | 'b';
  readonly text: string;
}

/** Memory grows with its square: 1,000 edits cost 4 MB. */
const MAX_EDITS = 1000;
const MAX_UNITS = 50_000;

/** A word with no character of a script without spaces, a run of blanks, else one character. */
const UNITS = /[\p{L}\p{M}\p{N}_](?:(?![\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}])[\p{L}\p{M}\p{N}_])*|\s+|./gsu;
const UNSPACED = /^[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;

/** Units of comparison; joined they are the text. */
export function unitsOf(text: string): string[] {
  const units: string[] = [];
  for (const unit of text.match(UNITS) ?? []) {
    // A word may begin with a character that stands alone: 这is → 这, is.
    if (unit.length > 1 && UNSPACED.test(unit)) {
      const first = String.fromCodePoint(unit.codePointAt(0) ?? 0);
      units.push(first);
      if (unit.length > first.length) units.push(unit.slice(first.length));
    } else units.push(unit);
  }
  return units;
}

/** Pairs of places that match, in order: a longest common subsequence, or null if it takes more than `most` edits. */
export function commonPlaces(a: readonly string[], b: readonly string[], most: number): (readonly [number, number])[] | null {
  const bound = Math.min(most, a.length + b.length);
  // furthest[k + bound] is the furthest x on diagonal k = x - y.
  const furthest = new Int32Array(2 * bound + 3);
  const trail: Int32Array[] = [];
  for (let edits = 0; edits <= bound; edits++) {
    for (let k = -edits; k <= edits; k += 2) {
      const at = k + bound + 1;
      const down = k === -edits || (k !== edits && furthest[at - 1] < furthest[at + 1]);
      let x = down ? furthest[at + 1] : furthest[at - 1] + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) {
        x++;
        y++;
      }
      furthest[at] = x;
      if (x >= a.length && y >= b.length) return walkBack(a, b, trail, edits);
    }
    trail.push(furthest.slice(bound + 1 - edits, bound + 2 + edits));
  }
  return null;
}

/** From the end to the beginning over what each round reached; `trail[d]` holds the diagonals -d … d. */
function walkBack(a: readonly string[], b: readonly string[], trail: readonly Int32Array[], edits: number): (readonly [number, number])[] {
  const places: (readonly [number, number])[] = [];
  let x = a.length;
  let y = b.length;
  for (let d = edits; d > 0; d--) {
    const before = trail[d - 1];
    const reach = (k: number): number => before[k + d - 1] ?? -1;
    const k = x - y;
    const down = k === -d || (k !== d && reach(k - 1) < reach(k + 1));
    const fromX = down ? reach(k + 1) : reach(k - 1);
    const fromY = fromX - (down ? k + 1 : k - 1);
    const startX = down ? fromX : fromX + 1;
    while (x > startX) places.push([--x, --y]);
    x = fromX;
    y = fromY;
  }
  while (x > 0 && y > 0) places.push([--x, --y]);
  return places.reverse();
}

/** The parts of both texts in order: those of kind `both` and `a` joined are `a`, those of `both` and `b` are `b`. */
export function diffTexts(a: string, b: string): DiffPart[] {
  const left = unitsOf(a);
  const right = unitsOf(b);
  let start = 0;
  const shorter = Math.min(left.length, right.length);
  while (start < shorter && left[start] === right[start]) start++;
  let end = 0;
  while (end < shorter - start && left[left.length - 1 - end] === right[right.length - 1 - end]) end++;
  const innerA = left.slice(start, left.length - end);
  const innerB = right.slice(start, right.length - end);
  const places = Math.max(innerA.length, innerB.length) > MAX_UNITS ? null : commonPlaces(innerA, innerB, MAX_EDITS);
  const parts = new Parts();
  parts.add('both', left.slice(0, start).join(''));
  let x = 0;
  let y = 0;
  for (const [toX, toY] of places ?? []) {
    parts.add('a', innerA.slice(x, toX).join(''));
    parts.add('b', innerB.slice(y, toY).join(''));
    parts.add('both', innerA[toX]);
    x = toX + 1;
    y = toY + 1;
  }
  parts.add('a', innerA.slice(x).join(''));
  parts.add('b', innerB.slice(y).join(''));
  parts.add('both', left.slice(left.length - end).join(''));
  return parts.list;
}

/** Joins neighbours of a kind; `a` stands before `b` between two common parts. */
class Parts {
  readonly list: { kind: DiffPart['kind']; text: string }[] = [];

  add(kind: DiffPart['kind'], text: string): void {
    if (text === '') return;
    const last = this.list[this.list.length - 1];
    if (last?.kind === kind) last.text += text;
    else if (kind === 'a' && last?.kind === 'b') {
      const before = this.list[this.list.length - 2];
      if (before?.kind === 'a') before.text += text;
      else this.list.splice(-1, 0, { kind, text });
    } else this.list.push({ kind, text });
  }
}
