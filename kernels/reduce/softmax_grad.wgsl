// Purpose: gradient of softmax or of its logarithm, from the result.
// Formula: dx (+)= y * (dy - sum_c dy * y); with P.logarithm dx (+)= dy - exp(y) * sum_c dy.
// Shapes: Y, DY, DX [N, D]; width is D / VEC.
// Bindings: Y, DY, DX (f32 or f16 storage each).
// Constants: switches VEC, WG, TREE, SUBGROUPS (lib/rows).
// Numerics: f32 sums in blocks of 64 units, then lanes, then workgroup.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=Y BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DY BINDING=2 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DX BINDING=3 VEC=$(VEC)
#include "lib/rows.wgsl"
struct Params {
  rows: u32,
  half: u32,
  width: u32,
  logarithm: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

fn rows(row: u32, at: RowLane) {
  if (row >= P.rows) { return; }
  let base = row * P.width;
  var sum = 0.0;
  var c = row_from(at);
  while (c < P.width) {
    let stop = min(c + 64u * ROW_STEP, P.width);
    var part = Num();
    for (; c < stop; c += ROW_STEP) {
      var term = DY_load(base + c);
      if (P.logarithm == 0u) { term *= Y_load(base + c); }
      part += term;
    }
    sum += lanes_sum(part);
  }
  let total = row_sum(vec2f(sum, 0.0), at).x;
  for (c = at.lane; c < P.width; c += COLUMN_STEP) {
    let i = base + c;
    let y = Y_load(i);
    let dy = DY_load(i);
    var dx: Num;
    if (P.logarithm != 0u) { dx = dy - exp(clamp(y, Num(-87.0), Num(0.0))) * total; }
    else { dx = y * (dy - total); }
    if (P.accumulate != 0u) { dx += DX_load(i); }
    DX_store(i, dx);
  }
}
