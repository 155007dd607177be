// Purpose: gradient of RMSNorm by its input, and partial sums of the gradient by its weight.
// Formula: r = inverseSqrt(mean(x^2) + eps); g = dy * w; dx (+)= r * (g - x * r^2 * mean(g * x)); part = sum over a group's rows of dy * x * r.
// Shapes: X, DY, DX [N, D]; W [D]; PART f32 [groups, D]; a group takes `chunks` runs of `block` <= 16 rows; width is D / VEC.
// Bindings: X, W (f32), DY, DX; with DW also PART.
// Constants: switches DW, VEC, WG, TREE, SUBGROUPS (lib/rows).
// Numerics: f32; row sums in blocks of 64 units; weight sums over rows in order, chunk by chunk.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=W BINDING=2 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DY BINDING=3 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DX BINDING=4 VEC=$(VEC)
#if DW
#include "lib/tensor.wgsl" NAME=PART BINDING=5 VEC=$(VEC)
#endif
#include "lib/rows.wgsl"
struct Params {
  rows: u32,
  block: u32,
  chunks: u32,
  half: u32,
  width: u32,
  per_d: f32,
  eps: f32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

fn rows(group: u32, at: RowLane) {
  if (group * P.chunks * P.block >= P.rows) { return; }
  // Of each row of a chunk: r, and r^3 * mean(g * x).
  var stats: array<vec2f, 16>;
  for (var chunk = 0u; chunk < P.chunks; chunk++) {
    let first = min((group * P.chunks + chunk) * P.block, P.rows);
    let count = min(P.block, P.rows - first);
    for (var k = 0u; k < count; k++) {
      let base = (first + k) * P.width;
      var sums = vec2f();
      var c = row_from(at);
      while (c < P.width) {
        let stop = min(c + 64u * ROW_STEP, P.width);
        var squares = Num();
        var products = Num();
        for (; c < stop; c += ROW_STEP) {
          let x = X_load(base + c);
          squares += x * x;
          products += x * DY_load(base + c) * W_load(c);
        }
        sums += vec2f(lanes_sum(squares), lanes_sum(products));
      }
      let total = row_sum(sums, at);
      let r = inverseSqrt(total.x * P.per_d + P.eps);
      stats[k] = vec2f(r, r * r * r * total.y * P.per_d);
    }
    for (var c = at.lane; c < P.width; c += COLUMN_STEP) {
      let w = W_load(c);
      var dw = Num();
      for (var k = 0u; k < count; k++) {
        let i = (first + k) * P.width + c;
        let x = X_load(i);
        let dy = DY_load(i);
        let s = stats[k];
        dw += dy * x * s.x;
        var dx = dy * w * s.x - x * s.y;
        if (P.accumulate != 0u) { dx += DX_load(i); }
        DX_store(i, dx);
      }
#if DW
      let j = group * P.width + c;
      if (chunk > 0u) { dw += PART_load(j); }
      PART_store(j, dw);
#endif
    }
  }
}
