// Purpose: sums over rows, block by block; with one block it finishes a two-stage column sum.
// Formula: Y[b, c] (+)= sum over rows n of block b of X[n, c].
// Shapes: X [N, stride]; Y [ceil(N / block), D]; widths and stride in units of VEC.
// Bindings: X, Y (f32 or f16 storage each).
// Constants: switch VEC. Grid x = D / VEC / 64, y = blocks.
// Numerics: f32 sums in order, in sub-blocks of 256 rows.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=$(VEC)
struct Params {
  rows: u32,
  block: u32,
  width: u32,
  stride: u32,
  first: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  let c = gid.x;
  if (c >= P.width) { return; }
  let end = min((gid.y + 1u) * P.block, P.rows);
  var total = Num();
  var n = gid.y * P.block;
  while (n < end) {
    let stop = min(n + 256u, end);
    var part = Num();
    for (; n < stop; n++) { part += X_load(n * P.stride + P.first + c); }
    total += part;
  }
  let i = gid.y * P.width + c;
  if (P.accumulate != 0u) { total += Y_load(i); }
  Y_store(i, total);
}
