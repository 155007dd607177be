/**
 * The methods beside the means, each by what it promises: frequencies, moments, lengths, neighbours. Sums and moments are worked out here, in doubles; a bound on a
 * statistic is several standard errors wide and says so.
 */
import { describe, expect, it } from 'vitest';
import { baseModel, grownModel } from '../../../test/vocab/synthetic.ts';
import { Random } from '../../base/random.ts';
import { PIECE } from '../../formats/sentencepiece.ts';
import { tokenizerFromModel } from '../../text/tokenizer.ts';
import { type GrowMethod, prepareMethod } from './methods.ts';
import { RowScan, type RowStatistics, RowStore } from './rows.ts';
import { HelperSpace, matchingPursuit, SPACE_SIZE, sparsemax, type Texts } from './similarity.ts';
import { sourcesOf } from './sources.ts';

const BASE = 500;
const D = 16;
const model = baseModel(BASE, 40);
const base = tokenizerFromModel(model);
const grownTokenizer = tokenizerFromModel(grownModel(model, 3000, 40, 5, [{ text: '<mark>', score: 0, type: PIECE.CONTROL }]));
const words = sourcesOf(base, grownTokenizer);

/** Old rows whose numbers depend on each other, with a mean: row = mean + A z. */
const matrix = ((): Float32Array<ArrayBuffer> => {
  const random = new Random(3);
  const mix = Float64Array.from({ length: D * D }, () => random.normal() / 4);
  const out = new Float32Array(BASE * D);
  for (let r = 0; r < BASE; r++) {
    const z = Float64Array.from({ length: D }, () => random.normal());
    for (let j = 0; j < D; j++) out[r * D + j] = 0.3 * j + z.reduce((sum, x, k) => sum + x * mix[j * D + k], 0);
  }
  return out;
})();
const bytes = new Uint8Array(matrix.buffer);
const old = ((): RowStatistics => {
  const scan = new RowScan(BASE, D);
  scan.take(bytes, 'F32', 'm');
  return scan.finish();
})();
const oldRow = (id: number): Float64Array => Float64Array.from(matrix.subarray(id * D, (id + 1) * D));

async function rowsOf(method: GrowMethod, options: { seed?: number; texts?: Texts | null; matrix?: number } = {}): Promise<Float64Array[]> {
  const { seed = 1, texts = null } = options;
  const maker = (await prepareMethod({ method, base, grown: grownTokenizer, words, baseSize: BASE, seed, texts }))(options.matrix ?? 0);
  const store = new RowStore((first, count) => Promise.resolve(bytes.slice(first * D * 4, (first + count) * D * 4)), BASE, D, 'F32', 1 << 20);
  const out: Float64Array[] = [];
  for (const word of words) {
    await store.load(maker.needs(word));
    const row = new Float64Array(D);
    maker.make(word, row, store, old);
    out.push(row);
  }
  return out;
}

const length = (row: Float64Array): number => Math.hypot(...row);
const textsOf = (list: readonly string[]): Texts =>
  async function* () {
    yield* list;
  };

it('statistics of old rows are what they are', () => {
  for (let j = 0; j < D; j++) expect(old.mean[j]).toBeCloseTo(matrix.reduce((sum, x, i) => sum + (i % D === j ? x : 0), 0) / BASE, 12);
  const center = matrix.reduce((a, b) => a + b, 0) / matrix.length;
  expect(old.deviation).toBeCloseTo(Math.sqrt(matrix.reduce((sum, x) => sum + (x - center) ** 2, 0) / matrix.length), 10);
  expect(old.norms[7]).toBeCloseTo(length(oldRow(7)), 12);
});

it('weighted: SIF weights of the counts, adding up to one', async () => {
  const texts = ['ab \u4e00\u4e07 cab', '\u4e00\u4e00 q'];
  const counts = new Float64Array(BASE);
  for (const text of texts) for (const id of base.encode(text)) counts[id]++;
  const total = counts.reduce((a, b) => a + b, 0);
  const rows = await rowsOf('weighted', { texts: textsOf(texts) });
  words.forEach(({ bare }, i) => {
    const weights = bare.map((id) => 0.001 / (0.001 + counts[id] / total));
    const sum = weights.reduce((a, b) => a + b, 0);
    for (let j = 0; j < D; j++) {
      const wanted = bare.reduce((all, id, k) => all + weights[k] * matrix[id * D + j], 0) / sum;
      expect(Math.abs(rows[i][j] - wanted)).toBeLessThan(1e-12); // doubles, a few roundings of numbers below 10
    }
  });
});

it('copy: the old row that spells most of the word', async () => {
  const rows = await rowsOf('copy');
  words.forEach(({ bare }, i) => {
    const longest = Math.max(...bare.map((id) => base.bytesOf(id).length));
    const id = bare.find((one) => base.bytesOf(one).length === longest) ?? -1;
    expect(rows[i]).toEqual(oldRow(id));
  });
});

describe('random rows', () => {
  it('random: one mean and deviation for all numbers', async () => {
    const numbers = (await rowsOf('random')).flatMap((row) => [...row]);
    const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
    const deviation = Math.sqrt(numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length);
    // 48,000 numbers: standard errors of deviation/219 and deviation/310; five of them.
    expect(Math.abs(mean - old.center)).toBeLessThan((5 * old.deviation) / 219);
    expect(Math.abs(deviation - old.deviation)).toBeLessThan((5 * old.deviation) / 310);
    // Normal: 68.3 % within one deviation, standard error 0.2 %.
    expect(numbers.filter((x) => Math.abs(x - old.center) < old.deviation).length / numbers.length).toBeCloseTo(0.683, 1.9);
  });

  it('gaussian: mean and covariance of the old rows', async () => {
    const rows = await rowsOf('gaussian');
    const covariance = (list: readonly Float64Array[], mean: (j: number) => number, a: number, b: number): number =>
      list.reduce((sum, row) => sum + (row[a] - mean(a)) * (row[b] - mean(b)), 0) / list.length;
    const olds = Array.from({ length: BASE }, (_, id) => oldRow(id));
    const n = rows.length;
    for (let a = 0; a < D; a++) {
      const own = covariance(olds, (j) => old.mean[j], a, a);
      const mean = rows.reduce((sum, row) => sum + row[a], 0) / n;
      expect(Math.abs(mean - old.mean[a])).toBeLessThan(5 * Math.sqrt(own / n)); // five standard errors
      for (let b = 0; b <= a; b++) {
        const other = covariance(olds, (j) => old.mean[j], b, b);
        const wanted = covariance(olds, (j) => old.mean[j], a, b);
        const found = covariance(rows, (j) => old.mean[j], a, b);
        // The standard error of a covariance of normal numbers is at most sqrt(2 own other / n); six, as 136 are looked at.
        expect(Math.abs(found - wanted)).toBeLessThan(6 * Math.sqrt((2 * own * other) / n));
      }
    }
  });

  it('mean+noise: each length is that of an old row, the lengths spread as theirs do', async () => {
    const rows = await rowsOf('mean+noise');
    const lengths = rows.map(length).sort((a, b) => a - b);
    const known = [...old.norms].sort((a, b) => a - b);
    for (const one of lengths) {
      const near = known.reduce((best, x) => (Math.abs(x - one) < Math.abs(best - one) ? x : best));
      expect(Math.abs(near / one - 1)).toBeLessThan(1e-12);
    }
    // Quantiles of 3,000 draws from 500: 2 % of rank is over five standard errors of 0.8 %... of the middle one.
    for (const q of [0.25, 0.5, 0.75]) {
      const share = known.filter((x) => x <= lengths[Math.floor(q * lengths.length)]).length / known.length;
      expect(Math.abs(share - q)).toBeLessThan(0.05);
    }
    // Apart from the mean row, which all share.
    const means = (await rowsOf('mean-bare')).map((row) => row.map((x, j) => x - old.mean[j]));
    for (const row of rows) for (let j = 0; j < D; j++) row[j] -= old.mean[j];
    const cosine = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, j) => sum + x * b[j], 0) / length(a) / length(b);
    const average = rows.reduce((sum, row, i) => sum + cosine(row, means[i]), 0) / rows.length;
    const strangers = rows.reduce((sum, row, i) => sum + cosine(row, means[(i + 1) % means.length]), 0) / rows.length;
    expect(average).toBeGreaterThan(strangers + 0.05);
  });

  it.each(['random', 'gaussian', 'mean+noise'] as const)('%s: the seed and the matrix decide, nothing else', async (method) => {
    const first = await rowsOf(method);
    expect(await rowsOf(method)).toEqual(first);
    expect(await rowsOf(method, { seed: 2 })).not.toEqual(first);
    expect(await rowsOf(method, { matrix: 1 })).not.toEqual(first);
  });
});

describe('similar pieces', () => {
  it('sparsemax: the nearest point of the simplex', () => {
    expect([...sparsemax([2, 0.5, 0.1])]).toEqual([1, 0, 0]);
    expect([...sparsemax([0.6, 0.4])]).toEqual([0.6, 0.4]);
    const found = sparsemax([0.9, 0.8, 0.7, 0.1]);
    // (0.9 + 0.8 + 0.7 - 1) / 3 = 7/15 is taken from each.
    for (const [i, x] of [0.9, 0.8, 0.7, 7 / 15].entries()) expect(found[i]).toBeCloseTo(x - 7 / 15, 12);
  });

  it('matching pursuit finds the rows a vector was made of, and their weights', () => {
    const random = new Random(8);
    const rows = 40;
    const dictionary = Float32Array.from({ length: rows * SPACE_SIZE }, () => random.normal() / Math.sqrt(SPACE_SIZE));
    const target = new Float32Array(SPACE_SIZE);
    const made = new Map([
      [3, 0.9],
      [17, -0.6],
      [30, 0.4],
    ]);
    for (const [row, weight] of made) for (let j = 0; j < SPACE_SIZE; j++) target[j] += weight * dictionary[row * SPACE_SIZE + j];
    const found = matchingPursuit(
      target,
      dictionary,
      Array.from({ length: rows }, (_, i) => i),
      3,
    );
    expect(found.rows.toSorted((a, b) => a - b)).toEqual([3, 17, 30]);
    for (const [i, row] of found.rows.entries()) expect(found.weights[i]).toBeCloseTo(made.get(row) ?? Number.NaN, 5); // the target is in f32
  });

  /** The new word and the old character keep the same company; the word's own characters keep another. */
  const word = words.find((w) => w.kind === 'piece' && w.bare.length === 2) ?? words[1];
  const twin = String.fromCodePoint(0x4e00 + 7 * 39);
  const texts = textsOf(
    Array.from({ length: 200 }, (_, i) => {
      const place = ['ax', 'bx', 'cx', 'dx'][i % 4];
      return `${place}${word.piece}y${place.at(0)} ${place}${twin}y${place.at(0)} g${base.pieceOf(word.bare[0])}h ${'efg'[i % 3]}${base.pieceOf(word.bare[1])}kk`;
    }),
  );

  it('the nearest is the one in the same company, by texts; a piece of the word itself without them', async () => {
    const index = word.id - BASE;
    const space = await HelperSpace.build(base, grownTokenizer, words, texts);
    const { rows, cosines } = space.nearest(index, 5);
    expect(base.pieceOf(space.candidates[rows[0]])).toBe(twin);
    expect(cosines).toEqual(cosines.toSorted((a, b) => b - a));
    const plain = await HelperSpace.build(base, grownTokenizer, words, null);
    const nearest = plain.nearest(index, 2).rows.map((row) => plain.candidates[row]);
    expect(nearest.toSorted()).toEqual([...word.bare].toSorted());
  });

  it.each(['focus', 'omp'] as const)('%s: rows lean to the similar ones; marks and words without any are means', async (method) => {
    const rows = await rowsOf(method, { texts });
    const means = await rowsOf('mean-bare');
    const distance = (a: Float64Array, b: Float64Array): number => length(a.map((x, j) => x - b[j]));
    const index = word.id - BASE;
    const id = base.idOf(twin) ?? -1;
    expect(distance(rows[index], oldRow(id))).toBeLessThan(distance(means[index], oldRow(id)));
    const mark = words.findIndex((w) => w.kind === 'mark');
    expect(rows[mark]).toEqual(means[mark]);
    for (const row of rows) expect(row.every(Number.isFinite)).toBe(true);
  });
});
