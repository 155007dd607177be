/**
 * A prefix tree over code units for following pieces from many places of a text, made once: a double array over the
 * units that occur, the most frequent first. A step is one look at one cell of 16 bytes. Against PieceTrie it trades time
 * to build (some ten milliseconds for 20,000 pieces) and the means to add pieces later for about half the time to walk.
 *
 * A node is its base; the child by unit u is at cell base + code(u), if the check there is that base. Bases are
 * distinct, so the check tells one's own children from others'. The root's children are at cell code(u) itself, for all
 * units, their check is -1; a node without children has base 0, and so finds none.
 *
 * Source: Aoe, "An Efficient Digital Search Algorithm by Using a Double-Array Structure" (1989).
 */

import { PairTable } from './tables.ts';

/** Int32s of a cell: base, check (0: free), value (-1: none), one unused so that a cell lies in one cache line. */
export const CELL = 4;

/** Nodes with fewer children are small. */
const SMALL = 4;

/** Pieces to values >= 0. `cells` and `codes` are for inner loops; see above how to walk them. */
export class PieceArray {
  /** The number of a unit, 0 where no piece has it. */
  readonly codes: Uint16Array | Uint32Array;
  readonly cells: Int32Array;
  /** Nodes two units or more down: pieces have at most this many different pairs of units side by side. */
  readonly pairs: number;

  /** `values` are those of `pieces`, which are distinct and not empty. */
  constructor(pieces: readonly string[], values: ArrayLike<number>) {
    const counts = new Int32Array(0x10000);
    for (const piece of pieces) for (let i = 0; i < piece.length; i++) counts[piece.charCodeAt(i)]++;
    const units = inOrder(counts);
    this.codes = units.length < 0x10000 ? new Uint16Array(0x10000) : new Uint32Array(0x10000);
    for (let i = 0; i < units.length; i++) this.codes[units[i]] = i + 1;
    const nodes = new Nodes(pieces, values, this.codes);
    this.pairs = nodes.count - nodes.from[1] - 1;
    this.cells = place(nodes, units.length);
  }

  /** The value of the piece that is this one unit, or -1. */
  single(unit: number): number {
    return this.cells[CELL * this.codes[unit] + 2];
  }
}

/** The numbers of the items that count at all, those with the greatest count first, then in order. */
function inOrder(counts: Int32Array): Int32Array {
  let most = 0;
  for (let i = 0; i < counts.length; i++) if (counts[i] > most) most = counts[i];
  // By count: where its items start in the result.
  const starts = new Int32Array(most + 1);
  for (let i = 0; i < counts.length; i++) if (counts[i] > 0) starts[counts[i] - 1]++;
  for (let count = most - 1; count >= 0; count--) starts[count] += starts[count + 1];
  const items = new Int32Array(starts[0]);
  for (let i = 0; i < counts.length; i++) if (counts[i] > 0) items[starts[counts[i]]++] = i;
  return items;
}

/** The tree as lists. Node 0 is the root. */
class Nodes {
  readonly count: number;
  readonly code: Int32Array;
  readonly value: Int32Array;
  /** By node: where its children start in `children`; one more than there are nodes. */
  readonly from: Int32Array;
  readonly children: Int32Array;

  constructor(pieces: readonly string[], values: ArrayLike<number>, codes: Uint16Array | Uint32Array) {
    let most = 1;
    for (const piece of pieces) most += piece.length;
    const parent = new Int32Array(most);
    this.code = new Int32Array(most);
    this.value = new Int32Array(most).fill(-1);
    const edges = new PairTable(pieces.length);
    let count = 1;
    for (let at = 0; at < pieces.length; at++) {
      const piece = pieces[at];
      let node = 0;
      for (let i = 0; i < piece.length; i++) {
        const code = codes[piece.charCodeAt(i)];
        let next = edges.get(node, code);
        if (next < 0) {
          next = count++;
          parent[next] = node;
          this.code[next] = code;
          edges.set(node, code, next);
        }
        node = next;
      }
      this.value[node] = values[at];
    }
    this.count = count;
    this.from = new Int32Array(count + 1);
    for (let node = 1; node < count; node++) this.from[parent[node] + 1]++;
    for (let node = 0; node < count; node++) this.from[node + 1] += this.from[node];
    this.children = new Int32Array(count);
    const next = this.from.slice();
    for (let node = 1; node < count; node++) this.children[next[parent[node]]++] = node;
  }
}

/** Finds a base for each node: those with most children first, so that those with one fill the holes. */
function place({ count, code, value, from, children }: Nodes, alphabet: number): Int32Array {
  let size = count + 2 * alphabet + 2;
  let taken = new Uint8Array(size);
  let usedBase = new Uint8Array(size);
  const base = new Int32Array(count);
  const cellOf = new Int32Array(count);
  taken.fill(1, 0, alphabet + 1);
  for (let i = 0; i < from[1]; i++) cellOf[children[i]] = code[children[i]];
  // The root needs none.
  const childCount = new Int32Array(count);
  for (let node = 1; node < count; node++) childCount[node] = from[node + 1] - from[node];
  let firstFree = alphabet + 1;
  let cursor = firstFree;
  let lastNumber = 0;
  let end = alphabet + 1;
  for (const node of inOrder(childCount)) {
    const [first, last] = [from[node], from[node + 1]];
    while (taken[firstFree] === 1) firstFree++;
    // Nodes go on where the last one found room; only the small ones, which are the most, look into all holes again.
    if (last - first !== lastNumber && last - first < SMALL) cursor = firstFree;
    lastNumber = last - first;
    let b = 0;
    for (; ; cursor++) {
      if (cursor + alphabet >= size) {
        size = 2 * size + alphabet;
        taken = longer(taken, size);
        usedBase = longer(usedBase, size);
      }
      // Cells up to `alphabet` are taken, so a base is 1 at least.
      b = cursor - code[children[first]];
      if (taken[cursor] === 1 || usedBase[b] === 1) continue;
      // A base is used up to `alphabet` cells behind it, which is within the size.
      let i = first + 1;
      while (i < last && taken[b + code[children[i]]] === 0) i++;
      if (i === last) break;
    }
    base[node] = b;
    usedBase[b] = 1;
    end = Math.max(end, b + alphabet + 1);
    for (let i = first; i < last; i++) {
      const cell = b + code[children[i]];
      cellOf[children[i]] = cell;
      taken[cell] = 1;
    }
  }
  const cells = new Int32Array(end * CELL);
  for (let cell = 0; cell < end; cell++) {
    if (cell <= alphabet) cells[CELL * cell + 1] = -1;
    cells[CELL * cell + 2] = -1;
  }
  for (let node = 1; node < count; node++) {
    cells[CELL * cellOf[node]] = base[node];
    cells[CELL * cellOf[node] + 2] = value[node];
    for (let i = from[node]; i < from[node + 1]; i++) cells[CELL * cellOf[children[i]] + 1] = base[node];
  }
  return cells;
}

function longer(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const more = new Uint8Array(size);
  more.set(bytes);
  return more;
}
