// Purpose: joins attention over one set of keys with attention over another, in place.
// Formula: L = log(exp L1 + exp L2); O = exp(L1 - L) O1 + exp(L2 - L) O2; rows that see no key of the second set stay.
// Shapes: O, O2 [B,T,HS]; L, L2 [B,H,T]; R [B,T,4] u32 (lo, hi of the second set's keys, and two that are not read).
// Bindings: O, O2 (f32 or f16 storage), L, L2 (f32), R (u32).
// Constants: switch VEC (4, 2 or 1); grid x = T/64, y = H, z = B.
// Numerics: f32, exponents relative to the larger log-sum-exp; one rounding on store to f16.
#include "lib/tensor.wgsl" NAME=O BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=O2 BINDING=2 VEC=$(VEC)
@group(0) @binding(3) var<storage, read_write> L: array<f32>;
@group(0) @binding(4) var<storage, read_write> L2: array<f32>;
@group(0) @binding(5) var<storage, read_write> R: array<vec4u>;
#include "lib/attention.wgsl"
struct Params {
  tokens: u32,
  heads: u32,
  size: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  if (gid.x >= P.tokens) { return; }
  let row = gid.z * P.tokens + gid.x;
  let range = R[row];
  if (range.x >= range.y) { return; }
  let stat = (gid.z * P.heads + gid.y) * P.tokens + gid.x;
  let high = max(L[stat], L2[stat]);
  let a = soft_exp(L[stat] - high);
  let b = soft_exp(L2[stat] - high);
  let total = a + b;
  L[stat] = high + log(total);
  let o = (row * P.heads + gid.y) * P.size;
  for (var c = 0u; c < P.size; c++) { O_store(o + c, (a * O_load(o + c) + b * O2_load(o + c)) / total); }
}
