// Purpose: the column of each row's largest element: greedy decoding reads back one number a sequence.
// Formula: Y[n] = least c with X[n, c] = max over c of X[n, c]; D where the row holds a NaN.
// Shapes: X [N, D]; Y u32 [N].
// Bindings: X (f32 or f16 storage), Y (u32).
// Constants: switch TREE: a workgroup of 256 threads a row, grid folded; without it one thread a row, 64 a workgroup.
// Numerics: exact; elements are compared as ordered integers, so infinities and NaN need no float comparison.
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=1
#include "lib/grid.wgsl"
@group(0) @binding(2) var<storage, read_write> Y: array<u32>;
struct Params {
  rows: u32,
  width: u32,
  half: u32,   // 128: where the tree starts; as data, so that CPU drivers do not unroll it
}
@group(0) @binding(0) var<uniform> P: Params;
const NAN_KEY = 0xffffffffu;

// Rises with x; both zeros are one key, every NaN is the greatest.
fn order(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return NAN_KEY; }
  return select(bits | 0x80000000u, ~bits, bits != size && size != 0u);
}

// The greater of two (key, column); of equal keys the lesser column.
fn better(a: vec2u, b: vec2u) -> vec2u {
  return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
}

fn scan(row: u32, first: u32, step: u32) -> vec2u {
  // A lane without columns holds what everything beats.
  var best = vec2u(0u, P.width);
  for (var c = first; c < P.width; c += step) { best = better(best, vec2u(order(X_load(row * P.width + c)), c)); }
  return best;
}

fn finish(row: u32, best: vec2u) {
  Y[row] = select(best.y, P.width, best.x == NAN_KEY);
}

#if TREE
var<workgroup> part: array<vec2u, 256>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wg, nwg);
  if (row < P.rows) { part[lane] = scan(row, lane, 256u); }
  workgroupBarrier();
  for (var half = P.half; half > 0u; half >>= 1u) {
    if (lane < half) { part[lane] = better(part[lane], part[lane + half]); }
    workgroupBarrier();
  }
  if (lane == 0u && row < P.rows) { finish(row, part[0]); }
}
#else
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wg, nwg) * 64u + lane;
  if (row < P.rows) { finish(row, scan(row, 0u, 1u)); }
}
#endif
