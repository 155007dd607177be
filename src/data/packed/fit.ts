/**
 * Pieces of documents into rows of at most T tokens, nearly full ones. Each row begins with the longest piece that is left and
 * is then filled by an exact subset sum over the longest others (minimum bin slack, Gupta and Ho 1999), first within each
 * topic; rows that came out full stay as they are, the tails of all topics are fitted together; then gaps are filled
 * with chunks of long documents, which are cut anyway, as long as that saves whole rows. It trades a little purity
 * of topic and a few more cuts for fill. No document of at most T tokens is ever cut.
 */
import { invariant } from '../../base/errors.ts';

/** What is to be packed. */
export interface FitPiece {
  readonly length: number;
  readonly topic: number;
  /** True for a part of a document longer than T: it may be cut further. */
  readonly long: boolean;
}

/** A run of a piece's tokens in a row. */
export interface Chunk {
  readonly piece: number;
  readonly from: number;
  readonly length: number;
}

interface Row {
  room: number;
  readonly chunks: Chunk[];
}

/** Lengths in a row that add no new sum, after which a search gives up. */
const MAX_BARREN = 64;

/** Finds chunks whose lengths sum to as much as possible below a limit. Reused, as its tables are as long as a row. */
class SubsetSum {
  /** Bit s: the sum s can be made. */
  readonly #reach: Uint32Array;
  /** The candidate that first made a sum; what it was added to was made by earlier ones. */
  readonly #by: Int32Array;

  constructor(T: number) {
    this.#reach = new Uint32Array((T >> 5) + 1);
    this.#by = new Int32Array(T + 1);
  }

  /**
   * `next` gives candidates (-1: no more) in the order they are tried, the next one or the next one of another length; none is
   * longer than the room. Gives back the indexes of those chosen, and their sum.
   */
  best(room: number, next: (index: number, other: boolean) => number, lengthOf: (index: number) => number): { chosen: number[]; sum: number } {
    const reach = this.#reach;
    const words = (room >> 5) + 1;
    reach.fill(0, 0, words);
    reach[0] = 1;
    const last = room >> 5;
    const goal = 1 << (room & 31);
    for (let i = next(-1, false), barren = 0; i >= 0 && barren < MAX_BARREN && (reach[last] & goal) === 0; ) {
      const length = lengthOf(i);
      const skip = length >> 5;
      const shift = length & 31;
      let found = false;
      // From the top, so that what is read has not yet been changed.
      for (let w = words - 1; w >= skip; w--) {
        let made = reach[w - skip] << shift;
        if (shift > 0 && w > skip) made |= reach[w - skip - 1] >>> (32 - shift);
        let fresh = made & ~reach[w];
        if (fresh === 0) continue;
        reach[w] |= fresh;
        for (; fresh !== 0; fresh &= fresh - 1) {
          const sum = (w << 5) + 31 - Math.clz32(fresh & -fresh);
          if (sum > room) continue;
          this.#by[sum] = i;
          found = true;
        }
      }
      barren = found ? 0 : barren + 1;
      // What added nothing will add nothing a second time.
      i = next(i, !found);
    }
    let sum = room;
    while ((reach[sum >> 5] & (1 << (sum & 31))) === 0) sum--;
    const chosen: number[] = [];
    for (let s = sum; s > 0; s -= lengthOf(this.#by[s])) chosen.push(this.#by[s]);
    return { chosen, sum };
  }
}

/** Rows of whole chunks (at most T tokens each), longest first; equal lengths keep their order. */
function fitChunks(chunks: readonly Chunk[], T: number, subsets: SubsetSum): Row[] {
  const sorted = chunks.toSorted((a, b) => b.length - a.length);
  const n = sorted.length;
  // Those that are left, as a list: the next one behind each, n at the end.
  const following = Int32Array.from({ length: n + 1 }, (_, i) => i);
  const left = new Uint8Array(n).fill(1);
  // Path compression over what is gone keeps this near constant.
  const alive = (i: number): number => {
    let root = i;
    while (root < n && left[root] === 0) root = following[root];
    for (let at = i; at < root; ) {
      const step = following[at];
      following[at] = root;
      at = step;
    }
    return root;
  };
  /** The first from `low` on that is no longer than `length`. */
  const notLonger = (from: number, length: number): number => {
    let low = from;
    for (let high = n; low < high; ) {
      const middle = (low + high) >> 1;
      if (sorted[middle].length > length) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const rows: Row[] = [];
  for (let first = alive(0); first < n; first = alive(first)) {
    left[first] = 0;
    following[first] = first + 1;
    const row: Row = { room: T - sorted[first].length, chunks: [sorted[first]] };
    rows.push(row);
    if (row.room === 0) continue;
    const { chosen, sum } = subsets.best(
      row.room,
      (i, other) => {
        // Those too long for the room lie in front.
        const at = alive(i < 0 ? notLonger(first + 1, row.room) : other ? notLonger(i + 1, sorted[i].length - 1) : i + 1);
        return at < n ? at : -1;
      },
      (i) => sorted[i].length,
    );
    for (const i of chosen.reverse()) {
      left[i] = 0;
      following[i] = i + 1;
      row.chunks.push(sorted[i]);
    }
    row.room -= sum;
  }
  return rows;
}

/**
 * Moves the content of rows that hold nothing but one chunk of a long document into the gaps of others, the
 * smallest first, and so saves those rows. Stops when the gaps of at least `minChunk` hold no further row.
 */
function fillGaps(rows: readonly Row[], pieces: readonly FitPiece[], minChunk: number): Row[] {
  const donors = rows.filter(({ chunks }) => chunks.length === 1 && pieces[chunks[0].piece].long).sort((a, b) => b.room - a.room);
  // By rising room, so that the largest gap is taken from the end. Rows that are gone are passed over.
  const gaps = rows.filter(({ room }) => room >= minChunk).sort((a, b) => a.room - b.room);
  const gone = new Set<Row>();
  let free = gaps.reduce((sum, { room }) => sum + room, 0);
  for (const donor of donors) {
    // Others may have been moved here meanwhile.
    if (donor.chunks.length > 1) continue;
    const [content] = donor.chunks;
    const own = donor.room >= minChunk ? donor.room : 0;
    if (free - own < content.length) break;
    // Where it would go is found before anything moves: a rest too short for a chunk may spoil it.
    const moves: { row: Row; length: number }[] = [];
    let rest = content.length;
    let lowest = gaps.length;
    for (let i = gaps.length - 1; i >= 0 && rest > 0; i--) {
      const row = gaps[i];
      if (row === donor || gone.has(row)) continue;
      let length = Math.min(row.room, rest);
      if (length < rest && rest - length < minChunk) length = rest - minChunk;
      if (length < Math.min(minChunk, rest)) continue;
      moves.push({ row, length });
      rest -= length;
      lowest = i;
    }
    if (rest > 0) break;
    let { from } = content;
    for (const { row, length } of moves) {
      const before = row.room;
      row.chunks.push({ piece: content.piece, from, length });
      row.room -= length;
      free -= row.room >= minChunk ? length : before;
      from += length;
    }
    free -= own;
    gone.add(donor);
    for (const row of gaps.splice(lowest)) {
      if (row.room < minChunk || gone.has(row)) continue;
      let low = 0;
      for (let high = gaps.length; low < high; ) {
        const middle = (low + high) >> 1;
        if (gaps[middle].room <= row.room) low = middle + 1;
        else high = middle;
      }
      gaps.splice(low, 0, row);
    }
  }
  return rows.filter((row) => !gone.has(row));
}

/**
 * Rows that hold every token of every piece once. The same pieces give the same rows. Pieces longer than T give full
 * rows of their own first and end in a shorter chunk.
 */
export function fitPieces(pieces: readonly FitPiece[], T: number, minChunk: number): Chunk[][] {
  const full: Row[] = [];
  const byTopic = new Map<number, Chunk[]>();
  pieces.forEach(({ length, topic, long }, piece) => {
    invariant(long || length <= T, 'a document that fits a pack is not cut', { length, T });
    let from = 0;
    for (; length - from >= T; from += T) full.push({ room: 0, chunks: [{ piece, from, length: T }] });
    if (from === length) return;
    const list = byTopic.get(topic);
    const chunk = { piece, from, length: length - from };
    if (list === undefined) byTopic.set(topic, [chunk]);
    else list.push(chunk);
  });
  // A row counts as full that misses at most 1 in 256.
  const tolerance = T >> 8;
  const subsets = new SubsetSum(T);
  const pure: Row[] = [];
  const mixed: Chunk[] = [];
  for (const topic of [...byTopic.keys()].sort((a, b) => a - b)) {
    for (const row of fitChunks(byTopic.get(topic) as Chunk[], T, subsets)) {
      if (row.room <= tolerance) pure.push(row);
      else mixed.push(...row.chunks);
    }
  }
  const byTopicFirst = fillGaps([...full, ...pure, ...fitChunks(mixed, T, subsets)], pieces, minChunk);
  // Topics stay together unless that costs more than 1 row in 400.
  const tokens = pieces.reduce((sum, { length }) => sum + length, 0);
  let rows = byTopicFirst;
  if (rows.length > Math.ceil(tokens / T) * (1 + 1 / 400)) {
    const all = [...byTopic.keys()].sort((a, b) => a - b).flatMap((topic) => byTopic.get(topic) as Chunk[]);
    const together = fillGaps([...full, ...fitChunks(all, T, subsets)], pieces, minChunk);
    if (together.length < rows.length * (1 - 1 / 400)) rows = together;
  }
  return rows.map(({ chunks }) => chunks);
}
