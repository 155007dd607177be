/**
 * The largest singular values and vectors of a matrix by randomised subspace iteration (Halko, Martinsson and Tropp 2011) in
 * float64. Exact to rounding where the subspace is as wide as the matrix is thin; else the closer, the faster the values fall.
 */
import { Random } from '../base/random.ts';

/** Columns beyond those asked for, and rounds of iteration: PEFT's fast PiSSA uses as many. */
const OVERSAMPLE = 10;
const ROUNDS = 4;

type Columns = Float64Array[];

/** W x for each column; W is [m, n], row-major. */
function times(w: ArrayLike<number>, m: number, n: number, x: Columns): Columns {
  return x.map((column) => {
    const y = new Float64Array(m);
    for (let i = 0; i < m; i++) {
      let sum = 0;
      for (let j = 0, at = i * n; j < n; j++, at++) sum += w[at] * column[j];
      y[i] = sum;
    }
    return y;
  });
}

/** W^T x for each column. */
function transposeTimes(w: ArrayLike<number>, m: number, n: number, x: Columns): Columns {
  return x.map((column) => {
    const y = new Float64Array(n);
    for (let i = 0; i < m; i++) {
      const f = column[i];
      for (let j = 0, at = i * n; j < n; j++, at++) y[j] += f * w[at];
    }
    return y;
  });
}

/** Orthonormal columns of the same span (Gram-Schmidt, twice); a column that depends on earlier ones becomes zero. */
function orthonormal(x: Columns): Columns {
  const out: Columns = [];
  for (const column of x) {
    const before = normOf(column);
    for (let pass = 0; pass < 2; pass++) {
      for (const q of out) {
        let dot = 0;
        for (let i = 0; i < q.length; i++) dot += q[i] * column[i];
        for (let i = 0; i < q.length; i++) column[i] -= dot * q[i];
      }
    }
    const norm = normOf(column);
    const keep = norm > 1e-12 * before && norm > 0;
    for (let i = 0; i < column.length; i++) column[i] = keep ? column[i] / norm : 0;
    out.push(column);
  }
  return out;
}

function normOf(column: Float64Array): number {
  let sum = 0;
  for (const v of column) sum += v * v;
  return Math.sqrt(sum);
}

/** Eigenvalues and eigenvectors (columns) of a symmetric matrix, cyclic Jacobi. */
function symmetricEigen(a: number[][]): { values: number[]; vectors: number[][] } {
  const k = a.length;
  const v: number[][] = a.map((_, i) => a.map((_, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let i = 0; i < k; i++) for (let j = 0; j < i; j++) off += a[i][j] ** 2;
    if (off < 1e-30 * a.reduce((sum, row, i) => sum + row[i] ** 2, 1e-300)) break;
    for (let p = 0; p < k; p++) {
      for (let q = p + 1; q < k; q++) {
        if (a[p][q] === 0) continue;
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        const s = t * c;
        for (let i = 0; i < k; i++) [a[i][p], a[i][q]] = [c * a[i][p] - s * a[i][q], s * a[i][p] + c * a[i][q]];
        for (let i = 0; i < k; i++) [a[p][i], a[q][i]] = [c * a[p][i] - s * a[q][i], s * a[p][i] + c * a[q][i]];
        for (let i = 0; i < k; i++) [v[i][p], v[i][q]] = [c * v[i][p] - s * v[i][q], s * v[i][p] + c * v[i][q]];
      }
    }
  }
  return { values: a.map((row, i) => row[i]), vectors: v };
}

/**
 * Top `rank` singular triples of W [m, n], row-major, largest first; fewer where min(m, n) is less.
 * @returns u: columns [m]; s; v: columns [n].
 */
export function topSingular(w: ArrayLike<number>, m: number, n: number, rank: number, seed: number): { u: Columns; s: number[]; v: Columns } {
  const k = Math.min(rank + OVERSAMPLE, m, n);
  const random = new Random(seed, 0x5bd);
  let q = orthonormal(
    times(
      w,
      m,
      n,
      Array.from({ length: k }, () => Float64Array.from({ length: n }, () => random.normal())),
    ),
  );
  for (let round = 0; round < ROUNDS; round++) q = orthonormal(times(w, m, n, orthonormal(transposeTimes(w, m, n, q))));
  // W is near Q Q^T W: the small problem is of B = Q^T W [k, n], whose rows are these columns.
  const b = transposeTimes(w, m, n, q);
  const gram = b.map((x) => b.map((y) => x.reduce((sum, value, i) => sum + value * y[i], 0)));
  const { values, vectors } = symmetricEigen(gram);
  const order = values.map((_, i) => i).sort((i, j) => values[j] - values[i]);
  const combine = (columns: Columns, size: number, e: number, f: number): Float64Array => {
    const out = new Float64Array(size);
    columns.forEach((column, i) => {
      for (let x = 0; x < size; x++) out[x] += vectors[i][e] * f * column[x];
    });
    return out;
  };
  const kept = order.slice(0, Math.min(rank, k)).filter((e) => values[e] > 0);
  const s = kept.map((e) => Math.sqrt(values[e]));
  return { u: kept.map((e) => combine(q, m, e, 1)), s, v: kept.map((e, i) => combine(b, n, e, 1 / s[i])) };
}
