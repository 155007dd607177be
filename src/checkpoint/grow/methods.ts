/**
 * The ways to make a new row out of old ones. Most are fixed combinations of a few rows ("recipes", the same for the input and the output
 * matrix); the random ones draw from streams of their own, addressed by seed, matrix and id, so that a row does not depend on
 * how the work is cut. Every formula and its source stands in docs/vocab.md.
 */
import { invariant, ScionError } from '../../base/errors.ts';
import { philox, Random } from '../../base/random.ts';
import type { Tokenizer } from '../../text/types.ts';
import type { RowStatistics, RowStore } from './rows.ts';
import { countPieces, HelperSpace, matchingPursuit, SPACE_SIZE, sparsemax, type Texts } from './similarity.ts';
import type { NewWord } from './sources.ts';

export const GROW_METHODS = ['mean', 'mean-bare', 'weighted', 'gaussian', 'focus', 'omp', 'mean+noise', 'random', 'copy'] as const;
export type GrowMethod = (typeof GROW_METHODS)[number];

/** Old rows and what each counts; null weights: all alike, and the mean is taken. */
export interface Recipe {
  readonly ids: readonly number[];
  readonly weights: Float64Array | null;
  /** The weights are for what rows differ from the mean row in, which is added once; for weights that do not add up to 1. */
  readonly aboutMean?: boolean;
}

/** Makes rows of one matrix. */
export interface RowMaker {
  /** Old rows that `make` will add up for this word. */
  needs(word: NewWord): readonly number[];
  /** Fills `row`; what `needs` named is loaded in the store. */
  make(word: NewWord, row: Float64Array, store: RowStore, old: RowStatistics): void;
}

/** SIF's constant (Arora et al. 2017): pieces much commoner than this count for little. */
const COMMON = 1e-3;
/** Old rows mixed into one random row: enough that the sum of so many is near normal. */
const MIXED = 64;
/** Neighbours that are looked at, and the most that omp may use. */
const NEIGHBOURS = 64;
const MOST_TERMS = 8;

/** What methods are prepared from. */
export interface MethodOptions {
  readonly method: GrowMethod;
  readonly base: Tokenizer;
  readonly grown: Tokenizer;
  readonly words: readonly NewWord[];
  /** Ids of the base; rows from here on are no old rows. */
  readonly baseSize: number;
  readonly seed: number;
  /** Needed by `weighted`; makes `focus` and `omp` better. */
  readonly texts: Texts | null;
}

/**
 * Prepares a method: recipes are worked out once and serve both matrices. Gives back the maker of a matrix by its number (0 input, 1 output).
 * @throws ScionError `usage` for `weighted` without texts, `input` for texts without a single piece.
 */
export async function prepareMethod(options: MethodOptions): Promise<(matrix: number) => RowMaker> {
  const { method, seed, baseSize } = options;
  switch (method) {
    case 'random':
      return (matrix) => ({
        needs: () => [],
        make: padded((word, row, _, old) => fillNormal(row, seed, streamOf(matrix, word.id), old.center, old.deviation)),
      });
    case 'gaussian':
      return (matrix) => ({
        needs: (word) => (word.kind === 'padding' ? [] : mixOf(seed, streamOf(matrix, word.id), baseSize).ids),
        make: padded((word, row, store, old) => {
          combine({ ...mixOf(seed, streamOf(matrix, word.id), baseSize), aboutMean: true }, row, store, old);
        }),
      });
    case 'mean+noise':
      return (matrix) => ({
        needs: (word) => (word.kind === 'padding' ? [] : [...word.bare, ...mixOf(seed, streamOf(matrix, word.id), baseSize).ids]),
        make: padded((word, row, store, old) => addNoise(word, row, store, old, seed, streamOf(matrix, word.id), baseSize)),
      });
    default: {
      const recipe = await recipesOf(options);
      return () => ({
        needs: (word) => recipe(word).ids,
        make: padded((word, row, store, old) => combine(recipe(word), row, store, old)),
      });
    }
  }
}

/** Padding rows are the mean of all old rows, whatever the method: never asked for, and nowhere near the likely ones. */
function padded(make: RowMaker['make']): RowMaker['make'] {
  return (word, row, store, old) => {
    if (word.kind === 'padding') row.set(old.mean);
    else make(word, row, store, old);
  };
}

function combine(recipe: Recipe, row: Float64Array, store: RowStore, old: RowStatistics): void {
  const { ids, weights } = recipe;
  if (recipe.aboutMean === true) {
    addMix(recipe, row, store, old.mean);
    for (let j = 0; j < row.length; j++) row[j] += old.mean[j];
    return;
  }
  row.fill(0);
  for (let i = 0; i < ids.length; i++) store.add(row, ids[i], weights === null ? 1 : weights[i]);
  if (weights === null && ids.length > 1) for (let j = 0; j < row.length; j++) row[j] /= ids.length;
}

async function recipesOf({ method, base, grown, words, texts }: MethodOptions): Promise<(word: NewWord) => Recipe> {
  switch (method) {
    case 'mean':
      return (word) => ({ ids: word.mean, weights: null });
    case 'mean-bare':
      return (word) => ({ ids: word.bare, weights: null });
    case 'copy':
      return (word) => ({ ids: word.bare.length === 0 ? [] : [longest(base, word.bare)], weights: null });
    case 'weighted': {
      if (texts === null) throw new ScionError('usage', '--method weighted counts the old pieces in a corpus; give one with --data FILE …');
      const counts = await countPieces(base, texts);
      const total = counts.reduce((sum, n) => sum + n, 0);
      if (total === 0) throw new ScionError('input', '--data holds no text, so there is nothing to count');
      return ({ bare }) => ({ ids: bare, weights: normalised(bare.map((id) => COMMON / (COMMON + counts[id] / total))) });
    }
    case 'focus':
    case 'omp': {
      const space = await HelperSpace.build(base, grown, words, texts);
      const found = words.map((word, i) => neighbourRecipe(method, space, word, i));
      const first = words[0]?.id ?? 0;
      return (word) => found[word.id - first];
    }
    default:
      throw new ScionError('internal', `no recipes for ${method}`);
  }
}

/** The piece that spells most of the word; the first of equals. */
function longest(base: Tokenizer, ids: readonly number[]): number {
  return ids.reduce((best, id) => (base.bytesOf(id).length > base.bytesOf(best).length ? id : best));
}

function normalised(weights: readonly number[]): Float64Array {
  const sum = weights.reduce((a, b) => a + b, 0);
  return Float64Array.from(weights, (w) => w / sum);
}

/** A combination of similar old pieces; the word's own sources where nothing is similar. */
function neighbourRecipe(method: 'focus' | 'omp', space: HelperSpace, word: NewWord, index: number): Recipe {
  const plain: Recipe = { ids: word.bare, weights: null };
  if (word.kind !== 'piece') return plain;
  const { rows, cosines } = space.nearest(index, NEIGHBOURS);
  if (rows.length === 0) return plain;
  if (method === 'focus') {
    const weights = sparsemax(cosines);
    const used = rows.flatMap((row, i) => (weights[i] > 0 ? [{ id: space.candidates[row], weight: weights[i] }] : []));
    // The cut at so many neighbours may leave the weights a little short of 1.
    return { ids: used.map((u) => u.id), weights: normalised(used.map((u) => u.weight)) };
  }
  const target = space.fresh.subarray(index * SPACE_SIZE, (index + 1) * SPACE_SIZE);
  const found = matchingPursuit(target, space.old, rows, MOST_TERMS);
  if (found.rows.length === 0) return plain;
  return { ids: found.rows.map((row) => space.candidates[row]), weights: Float64Array.from(found.weights), aboutMean: true };
}

const streamOf = (matrix: number, id: number): number => (matrix * 0x40000000 + id) >>> 0;

/** Random old rows with normal weights: their centred sum has the old rows' covariance exactly, at any number of rows and without its matrix. */
function mixOf(seed: number, stream: number, rows: number): Recipe {
  const random = new Random(seed, stream);
  const ids: number[] = [];
  const weights = new Float64Array(MIXED);
  for (let i = 0; i < MIXED; i++) {
    ids.push(random.below(rows));
    weights[i] = random.normal() / Math.sqrt(MIXED);
  }
  return { ids, weights };
}

/** row = sum of weight * (old row - mean). */
function addMix({ ids, weights }: Recipe, row: Float64Array, store: RowStore, mean: Float64Array): void {
  invariant(weights, 'a mix has weights');
  row.fill(0);
  let sum = 0;
  for (let i = 0; i < ids.length; i++) {
    store.add(row, ids[i], weights[i]);
    sum += weights[i];
  }
  for (let j = 0; j < row.length; j++) row[j] -= sum * mean[j];
}

/** The mean of the sources plus noise shaped like the old rows, as much of it as gives the length of an old row drawn at random. */
function addNoise(word: NewWord, row: Float64Array, store: RowStore, old: RowStatistics, seed: number, stream: number, rows: number): void {
  const noise = new Float64Array(row.length);
  addMix(mixOf(seed, stream, rows), noise, store, old.mean);
  combine({ ids: word.bare, weights: null }, row, store, old);
  const length = old.norms[new Random(seed, stream, 2 ** 32).below(old.norms.length)];
  let mm = 0;
  let mn = 0;
  let nn = 0;
  for (let j = 0; j < row.length; j++) {
    mm += row[j] * row[j];
    mn += row[j] * noise[j];
    nn += noise[j] * noise[j];
  }
  const missing = length * length - mm;
  if (missing < 0) {
    const scale = length / Math.sqrt(mm);
    for (let j = 0; j < row.length; j++) row[j] *= scale;
  } else if (nn > 0) {
    const scale = (Math.sqrt(mn * mn + nn * missing) - mn) / nn;
    for (let j = 0; j < row.length; j++) row[j] += scale * noise[j];
  }
}

/** Normal numbers, four a block of the generator (Box-Muller, both of each pair). */
function fillNormal(row: Float64Array, seed: number, stream: number, center: number, deviation: number): void {
  for (let j = 0; j < row.length; j += 4) {
    const words = philox(j / 4, 0, 1, 0, seed >>> 0, stream);
    for (let k = 0; k < 4 && j + k < row.length; k += 2) {
      const radius = deviation * Math.sqrt(-2 * Math.log((words[k] + 0.5) / 0x100000000));
      const angle = (2 * Math.PI * words[k + 1]) / 0x100000000;
      row[j + k] = center + radius * Math.cos(angle);
      if (j + k + 1 < row.length) row[j + k + 1] = center + radius * Math.sin(angle);
    }
  }
}
