// Purpose: zeroes what lies outside the blocks of a block-structured matrix: the gradient of a fused adapter's B.
// Formula: G[n, c] = 0 unless row n lies in the block of column c, first_j <= n < last_j with j = c / rank.
// Shapes: G f32 [N, R], R = rank x blocks (1 to 3).
// Bindings: G.
// Constants: none. A thread an element.
// Numerics: writes zeros, whatever was there; touches nothing else.
#include "lib/grid.wgsl"
@group(0) @binding(1) var<storage, read_write> G: array<f32>;
struct Params {
  n: u32,
  width: u32,
  rank: u32,
  first0: u32, last0: u32,
  first1: u32, last1: u32,
  first2: u32, last2: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n) { return; }
  let row = i / P.width;
  let block = (i % P.width) / P.rank;
  var first = P.first0;
  var last = P.last0;
  if (block == 1u) { first = P.first1; last = P.last1; }
  if (block == 2u) { first = P.first2; last = P.last2; }
  if (row < first || row >= last) { G[i] = 0.0; }
}
