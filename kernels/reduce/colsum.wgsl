// Purpose: sums over rows, block by block; with one block it finishes a two-stage column sum.
// Formula: Y[b, c] (+)= sum over rows n of block b of X[n, c]. With SPLIT the right half of the columns goes to Z.
// Shapes: X [N, D]; Y [ceil(N / block), D], with SPLIT Y, Z [D / 2] and one block; width is D / VEC.
// Bindings: X, Y (f32 or f16 storage each); with SPLIT also Z.
// Constants: switches VEC, SPLIT, TREE. Grid x = D / VEC / 64 (32 with TREE), y = blocks.
// Numerics: f32 sums in order, in sub-blocks of 256 rows; with TREE eight lanes take every eighth row and are added in order.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=$(VEC)
#if SPLIT
#include "lib/tensor.wgsl" NAME=Z BINDING=3 VEC=$(VEC)
#endif
struct Params {
  rows: u32,
  block: u32,
  width: u32,
  accumulate: u32,
#if SPLIT
  accumulate_z: u32,
#endif
}
@group(0) @binding(0) var<uniform> P: Params;

fn sum_rows(first: u32, step: u32, end: u32, c: u32) -> Num {
  var total = Num();
  var n = first;
  while (n < end) {
    let stop = min(n + 256u * step, end);
    var part = Num();
    for (; n < stop; n += step) { part += X_load(n * P.width + c); }
    total += part;
  }
  return total;
}

fn put(block: u32, c: u32, sum: Num) {
  var total = sum;
#if SPLIT
  let half = P.width / 2u;
  if (c >= half) {
    if (P.accumulate_z != 0u) { total += Z_load(c - half); }
    Z_store(c - half, total);
    return;
  }
#endif
  let i = block * P.width + c;
  if (P.accumulate != 0u) { total += Y_load(i); }
  Y_store(i, total);
}

#if TREE
var<workgroup> parts: array<Num, 256>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = wg.x * 32u + (lane & 31u);
  if (c < P.width) {
    let first = wg.y * P.block;
    parts[lane] = sum_rows(first + (lane >> 5u), 8u, min(first + P.block, P.rows), c);
  }
  workgroupBarrier();
  if (lane < 32u && c < P.width) {
    var total = parts[lane];
    for (var k = 1u; k < 8u; k++) { total += parts[lane + 32u * k]; }
    put(wg.y, c, total);
  }
}
#else
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  if (gid.x >= P.width) { return; }
  let first = gid.y * P.block;
  put(gid.y, gid.x, sum_rows(first, 1u, min(first + P.block, P.rows), gid.x));
}
#endif
