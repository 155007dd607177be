// Purpose: softmax cross-entropy of a chunk of rows whose logits lie in scratch; with GRAD the logits become their gradient in place.
// Formula: lse = log sum_j exp(x_j); nll = lse - x_label; loss = nll + z * lse^2; dx_j = g * ((1 + 2 z lse) p_j - [j = label]).
// Shapes: X [R, ldx] of which V columns count; labels, LOSS, NLL, G [N], rows row0 .. row0 + R; label -100 (or any outside 0..V-1) is ignored.
//   With MAKE and JOINED the columns are one rank's part of the vocabulary; STATS: (lse, x_label) of a part for each of N rows, label V or more: another
//   rank's, which counts as x_label 0. MAKE writes a part's, JOINED reads those of `ranks` parts one after the other and knows the whole row by them.
// Bindings: X, LABELS (i32), LOSS and NLL (not MAKE), G with GRAD, STATS with MAKE or JOINED.
// Constants: switches GRAD, MAKE, JOINED, WIDE (one workgroup a row, tree reduction, for GPUs; otherwise one thread a row, no barriers).
// Numerics: running max with rescaled sums, blocks of at most 256 terms; all f32; a finite stand-in replaces minus infinity.
@group(0) @binding(1) var<storage, read_write> X: array<f32>;
@group(0) @binding(2) var<storage, read_write> LABELS: array<i32>;
#if MAKE
@group(0) @binding(6) var<storage, read_write> STATS: array<vec2f>;
#else
@group(0) @binding(3) var<storage, read_write> LOSS: array<f32>;
@group(0) @binding(4) var<storage, read_write> NLL: array<f32>;
#endif
#if JOINED
@group(0) @binding(6) var<storage, read_write> STATS: array<vec2f>;
#endif
#if GRAD
@group(0) @binding(5) var<storage, read_write> G: array<f32>;
#endif
#include "lib/grid.wgsl"
struct Params {
  rows: u32,
  v: u32,
  ldx: u32,
  row0: u32,
  z: f32,
#if JOINED
  ranks: u32,
  n: u32,
#endif
}
@group(0) @binding(0) var<uniform> P: Params;

const LOWEST = -3.0e38;

// Joins two (max, sum) pairs of disjoint parts of a row.
fn join(a: vec2f, b: vec2f) -> vec2f {
  let m = max(a.x, b.x);
  return vec2f(m, a.y * exp(max(a.x - m, -88.0)) + b.y * exp(max(b.x - m, -88.0)));
}

// (max, sum of exp(x - max)) over columns first, first + step, ... in blocks of 256.
fn part(base: u32, first: u32, step: u32) -> vec2f {
  var total = vec2f(LOWEST, 0.0);
  var j = first;
  while (j < P.v) {
    let end = min(P.v, j + 256u * step);
    var m = LOWEST;
    for (var k = j; k < end; k += step) { m = max(m, X[base + k]); }
    var s = 0.0;
    for (; j < end; j += step) { s += exp(max(X[base + j] - m, -88.0)); }
    total = join(total, vec2f(m, s));
  }
  return total;
}

#if JOINED
// (lse, x_label) of a whole row.
fn joined(row: u32) -> vec2f {
  var total = vec2f(LOWEST, 0.0);
  var hit = 0.0;
  for (var k = 0u; k < P.ranks; k++) {
    let s = STATS[k * P.n + row];
    total = join(total, vec2f(s.x, 1.0));
    hit += s.y;
  }
  return vec2f(total.x + log(total.y), hit);
}
#endif

#if WIDE
var<workgroup> sums: array<vec2f, 64>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = flat_group(wg, nwg);
  // All threads of a workgroup share r, so leaving here is uniform.
  if (r >= P.rows) { return; }
  let base = r * P.ldx;
  sums[lane] = part(base, lane, 64u);
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) { sums[lane] = join(sums[lane], sums[lane + half]); }
    workgroupBarrier();
  }
  let total = sums[0];
  let first = lane;
  let step = 64u;
#else
@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = flat_group(wg, nwg) * 16u + lane;
  if (r >= P.rows) { return; }
  let base = r * P.ldx;
  let total = part(base, 0u, 1u);
  let first = 0u;
  let step = 1u;
#endif
  let row = P.row0 + r;
  let label = LABELS[row];
  let here = label >= 0 && u32(label) < P.v;
#if MAKE
  let made = vec2f(total.x + log(total.y), select(0.0, X[base + select(0u, u32(label), here)], here));
  // Every thread of a wide row writes the same.
  STATS[row] = made;
#else
#if JOINED
  let whole = joined(row);
  let counts = label >= 0;
  let lse = whole.x;
  let at = select(P.v, u32(label), here);
  let nll = select(0.0, lse - whole.y, counts);
#else
  let counts = here;
  let lse = total.x + log(total.y);
  let at = select(0u, u32(label), counts);
  let nll = select(0.0, lse - X[base + at], counts);
#endif
#if WIDE
  workgroupBarrier();
  if (lane == 0u) {
    NLL[row] = nll;
    LOSS[row] = select(0.0, nll + P.z * lse * lse, counts);
  }
#else
  NLL[row] = nll;
  LOSS[row] = select(0.0, nll + P.z * lse * lse, counts);
#endif
#if GRAD
  let g = G[row];
  let scale = g * (1.0 + 2.0 * P.z * lse);
  for (var j = first; j < P.v; j += step) {
    let p = exp(max(X[base + j] - lse, -88.0));
    let d = scale * p - select(0.0, g, j == at);
    X[base + j] = select(0.0, d, counts);
  }
#endif
#endif
}
