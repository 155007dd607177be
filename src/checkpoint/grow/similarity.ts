/**
 * A helper space in which old and new pieces can be compared, for the methods that look for similar old pieces: `focus` and `omp`. It needs no other
 * model. A piece's vector has two halves of equal weight: its form (characters and pairs of them) and, where texts are given, its company (which
 * characters stand one and two places before and after it), both as random sums of signs (random indexing, Kanerva et al. 2000).
 * Coarser than trained word vectors, but one pass over any amount of text in a few dozen megabytes, and deterministic.
 */
import { mix32 } from '../../base/mix.ts';
import type { Tokenizer } from '../../text/types.ts';
import type { NewWord } from './sources.ts';

/** Numbers of a vector: company first, form after it. */
const COMPANY = 128;
const FORM = 64;
export const SPACE_SIZE = COMPANY + FORM;
/** Old pieces compared with, by falling frequency; the sources of the new words come on top. */
const MOST_CANDIDATES = 4096;
/** Old pieces rarer than this have no company to speak of. */
const LEAST_COUNT = 5;

/** Texts that can be read more than once. */
export type Texts = () => AsyncIterable<string>;

/** Frequencies of the base's pieces in texts. */
export async function countPieces(base: Tokenizer, texts: Texts): Promise<Float64Array> {
  const counts = new Float64Array(base.vocabSize);
  for await (const text of texts()) for (const id of base.encode(text)) counts[id]++;
  return counts;
}

/** Adds a feature's four signs to a part of a vector whose size is a power of two up to 128. */
function addFeature(vectors: Float32Array, at: number, size: number, feature: number, weight: number): void {
  const hash = mix32(feature);
  for (let k = 0; k < 4; k++) {
    const bits = hash >>> (8 * k);
    vectors[at + (bits & 127 & (size - 1))] += bits & 128 ? weight : -weight;
  }
}

const decoder = new TextDecoder();

/** Texts of ids; null for what is no whole character by itself. */
class PieceTexts {
  readonly #tokenizer: Tokenizer;
  readonly #texts: (string | null | undefined)[] = [];

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  of(id: number): string | null {
    let text = this.#texts[id];
    if (text === undefined) {
      const bytes = this.#tokenizer.bytesOf(id);
      const decoded = decoder.decode(bytes);
      text = decoded.includes('\ufffd') || bytes.length === 0 ? null : decoded;
      this.#texts[id] = text;
    }
    return text;
  }

  /** The ids as one text, and where each begins; -1 for parts of characters. */
  join(ids: readonly number[]): { text: string; starts: Int32Array } {
    const starts = new Int32Array(ids.length);
    let text = '';
    for (let i = 0; i < ids.length; ) {
      const own = this.of(ids[i]);
      if (own !== null) {
        starts[i++] = text.length;
        text += own;
        continue;
      }
      const bytes: number[] = [];
      for (; i < ids.length && this.of(ids[i]) === null; i++) {
        starts[i] = -1;
        bytes.push(...this.#tokenizer.bytesOf(ids[i]));
      }
      text += decoder.decode(Uint8Array.from(bytes));
    }
    return { text, starts };
  }
}

/** Vectors of some old pieces and of the new words. */
export class HelperSpace {
  /** Old ids that can be neighbours. */
  readonly candidates: Int32Array;
  /** [candidates, SPACE_SIZE], rows of length 1 or 0. */
  readonly old: Float32Array;
  /** [words, SPACE_SIZE], rows of length 1 or 0. */
  readonly fresh: Float32Array;

  private constructor(candidates: Int32Array, old: Float32Array, fresh: Float32Array) {
    this.candidates = candidates;
    this.old = old;
    this.fresh = fresh;
  }

  /** Builds the space. `texts` may be null: then only the forms count. */
  static async build(base: Tokenizer, grown: Tokenizer, words: readonly NewWord[], texts: Texts | null): Promise<HelperSpace> {
    const baseTexts = new PieceTexts(base);
    const counts = texts === null ? null : await countPieces(base, texts);
    const candidates = chooseCandidates(base, baseTexts, words, counts);
    const old = new Float32Array(candidates.length * SPACE_SIZE);
    const fresh = new Float32Array(words.length * SPACE_SIZE);
    candidates.forEach((id, i) => {
      addForm(old, i, baseTexts.of(id) ?? '');
    });
    const grownTexts = new PieceTexts(grown);
    words.forEach((word, i) => {
      if (word.kind === 'piece') addForm(fresh, i, grownTexts.of(word.id) ?? '');
    });
    if (texts !== null) {
      const rowOfOld = new Int32Array(base.vocabSize).fill(-1);
      candidates.forEach((id, i) => {
        rowOfOld[id] = i;
      });
      const rarity = await rarityOf(texts);
      const firstNew = words[0]?.id ?? 0;
      for await (const text of texts()) {
        addCompany(baseTexts, base.encode(text), (id) => rowOfOld[id], old, rarity);
        addCompany(grownTexts, grown.encode(text), (id) => (id >= firstNew && id - firstNew < words.length ? id - firstNew : -1), fresh, rarity);
      }
    }
    const center = companyCenter(old, candidates.length);
    finish(old, candidates.length, center);
    finish(fresh, words.length, center);
    return new HelperSpace(candidates, old, fresh);
  }

  /** The nearest old pieces of a new word by cosine, best first: rows of `old` and cosines above 0. */
  nearest(word: number, count: number): { rows: number[]; cosines: number[] } {
    const rows: number[] = [];
    const cosines: number[] = [];
    const at = word * SPACE_SIZE;
    const mine = this.fresh.subarray(at, at + SPACE_SIZE);
    for (let i = 0, from = 0; i < this.candidates.length; i++, from += SPACE_SIZE) {
      let cosine = 0;
      for (let j = 0; j < SPACE_SIZE; j++) cosine += mine[j] * this.old[from + j];
      if (cosine <= 0 || (rows.length === count && cosine <= cosines[count - 1])) continue;
      let place = Math.min(rows.length, count - 1);
      for (; place > 0 && cosines[place - 1] < cosine; place--) {
        rows[place] = rows[place - 1];
        cosines[place] = cosines[place - 1];
      }
      rows[place] = i;
      cosines[place] = cosine;
    }
    return { rows, cosines };
  }
}

/** Old pieces that are text: the commonest in the texts, or those that share a character with a new word; always the words' own sources. */
function chooseCandidates(base: Tokenizer, texts: PieceTexts, words: readonly NewWord[], counts: Float64Array | null): Int32Array {
  const usable = (id: number): boolean => !base.isSpecial(id) && (texts.of(id) ?? '').trim() !== '';
  const chosen = new Set<number>();
  const characters = new Set<string>();
  for (const word of words) {
    for (const id of word.bare) if (usable(id)) chosen.add(id);
    if (word.kind === 'piece') for (const c of word.piece) characters.add(c);
  }
  const ids: number[] = [];
  for (let id = 0; id < base.vocabSize; id++) {
    if (chosen.has(id) || (counts !== null && counts[id] < LEAST_COUNT)) continue;
    if (entryOrNull(base, id) === null || !usable(id)) continue;
    if (counts !== null || [...(texts.of(id) ?? '')].some((c) => characters.has(c))) ids.push(id);
  }
  if (counts !== null) ids.sort((a, b) => counts[b] - counts[a] || a - b);
  return Int32Array.from([...chosen, ...ids.slice(0, MOST_CANDIDATES)]).sort();
}

function entryOrNull(tokenizer: Tokenizer, id: number): string | null {
  try {
    return tokenizer.pieceOf(id);
  } catch {
    return null;
  }
}

/** 1/sqrt(count) of each character: common neighbours say little. */
async function rarityOf(texts: Texts): Promise<Float64Array> {
  const counts = new Float64Array(65536);
  for await (const text of texts()) for (let i = 0; i < text.length; i++) counts[text.charCodeAt(i)]++;
  return counts.map((n) => 1 / Math.sqrt(Math.max(1, n)));
}

function addForm(vectors: Float32Array, row: number, text: string): void {
  const plain = text.trim();
  const at = row * SPACE_SIZE + COMPANY;
  for (let i = 0; i < plain.length; i++) {
    addFeature(vectors, at, FORM, plain.charCodeAt(i), 1);
    if (i > 0) addFeature(vectors, at, FORM, (plain.charCodeAt(i - 1) << 16) | plain.charCodeAt(i), 1);
  }
}

function addCompany(texts: PieceTexts, ids: readonly number[], rowOf: (id: number) => number, vectors: Float32Array, rarity: Float64Array): void {
  const { text, starts } = texts.join(ids);
  ids.forEach((id, i) => {
    const row = starts[i] < 0 ? -1 : rowOf(id);
    if (row < 0) return;
    const start = starts[i];
    const end = start + (texts.of(id) ?? '').length;
    for (const [at, slot] of [
      [start - 2, 0],
      [start - 1, 1],
      [end, 2],
      [end + 1, 3],
    ]) {
      if (at < 0 || at >= text.length) continue;
      const unit = text.charCodeAt(at);
      addFeature(vectors, row * SPACE_SIZE, COMPANY, (slot << 16) | unit | 0x5000_0000, rarity[unit]);
    }
  });
}

/** What the company of all old pieces has in common, as a direction of length 1 each. */
function companyCenter(vectors: Float32Array, rows: number): Float64Array {
  const center = new Float64Array(COMPANY);
  let seen = 0;
  for (let r = 0; r < rows; r++) {
    const part = vectors.subarray(r * SPACE_SIZE, r * SPACE_SIZE + COMPANY);
    const length = Math.hypot(...part);
    if (length === 0) continue;
    seen++;
    for (let j = 0; j < COMPANY; j++) center[j] += part[j] / length;
  }
  return center.map((x) => x / Math.max(1, seen));
}

/** Both halves to length 1, company without its common part; then the whole to length 1. */
function finish(vectors: Float32Array, rows: number, center: Float64Array): void {
  for (let r = 0; r < rows; r++) {
    const whole = vectors.subarray(r * SPACE_SIZE, (r + 1) * SPACE_SIZE);
    const company = whole.subarray(0, COMPANY);
    const length = Math.hypot(...company);
    if (length > 0) for (let j = 0; j < COMPANY; j++) company[j] = company[j] / length - center[j];
    for (const part of [company, whole.subarray(COMPANY), whole]) {
      const size = Math.hypot(...part);
      if (size > 0) for (let j = 0; j < part.length; j++) part[j] /= size;
    }
  }
}

/**
 * The nearest point of the simplex to some numbers (sparsemax, Martins and Astudillo 2016): weights that add up to 1, zero for the small.
 * `values` falling.
 */
export function sparsemax(values: readonly number[]): Float64Array {
  let sum = 0;
  let threshold = 0;
  for (let k = 0; k < values.length; k++) {
    sum += values[k];
    if (1 + (k + 1) * values[k] <= sum) break;
    threshold = (sum - 1) / (k + 1);
  }
  return Float64Array.from(values, (x) => Math.max(0, x - threshold));
}

/** Solves a symmetric positive definite system of a few unknowns; null where it is singular. */
function solve(matrix: readonly Float64Array[], right: readonly number[]): number[] | null {
  const n = right.length;
  const rows = matrix.map((row, i) => [...row.subarray(0, n), right[i]]);
  for (let k = 0; k < n; k++) {
    if (!(rows[k][k] > 1e-9)) return null;
    for (let i = k + 1; i < n; i++) {
      const factor = rows[i][k] / rows[k][k];
      for (let j = k; j <= n; j++) rows[i][j] -= factor * rows[k][j];
    }
  }
  const out = new Array<number>(n).fill(0);
  for (let k = n - 1; k >= 0; k--) {
    let x = rows[k][n];
    for (let j = k + 1; j < n; j++) x -= rows[k][j] * out[j];
    out[k] = x / rows[k][k];
  }
  return out;
}

/**
 * Orthogonal matching pursuit (Pati et al. 1993): picks rows one by one, each the best for what is still missing, with least-squares weights
 * for all picked so far. `among` are rows of `dictionary`, [*, SPACE_SIZE].
 */
export function matchingPursuit(target: Float32Array, dictionary: Float32Array, among: readonly number[], most: number): { rows: number[]; weights: number[] } {
  const part = (row: number): Float32Array => dictionary.subarray(row * SPACE_SIZE, (row + 1) * SPACE_SIZE);
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
    let sum = 0;
    for (let j = 0; j < SPACE_SIZE; j++) sum += a[j] * b[j];
    return sum;
  };
  let rows: number[] = [];
  let weights: number[] = [];
  const gram: Float64Array[] = [];
  const rest = Float64Array.from(target);
  while (rows.length < most) {
    let best = -1;
    let gain = 1e-3; // below this a further row changes the vector by less than a thousandth
    for (const row of among) {
      if (rows.includes(row)) continue;
      const score = Math.abs(dot(part(row), rest));
      if (score > gain) [best, gain] = [row, score];
    }
    if (best < 0) break;
    const picked = [...rows, best];
    const line = new Float64Array(most);
    picked.forEach((row, i) => {
      line[i] = dot(part(row), part(best));
      if (gram[i]) gram[i][picked.length - 1] = line[i];
    });
    gram[picked.length - 1] = line;
    const found = solve(
      gram,
      picked.map((row) => dot(part(row), target)),
    );
    if (found === null) break;
    [rows, weights] = [picked, found];
    rest.set(target);
    rows.forEach((row, i) => {
      const vector = part(row);
      for (let j = 0; j < SPACE_SIZE; j++) rest[j] -= weights[i] * vector[j];
    });
  }
  return { rows, weights };
}
