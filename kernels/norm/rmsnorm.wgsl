// Purpose: RMSNorm of each row, with the residual addition before it on request.
// Formula: s = x + r; y = s * inverseSqrt(mean(s^2) + eps) * w. Without RESIDUAL s = x.
// Shapes: X, R, Y, S [N, D]; W [D]; width is D / VEC.
// Bindings: X, W (f32), Y; with RESIDUAL also R and S.
// Constants: switches RESIDUAL, VEC (4 where D is a multiple of 4, else 1), WG, TREE, SUBGROUPS (lib/rows).
// Numerics: f32 sums of squares in blocks of 64 units, then lanes, then workgroup; y comes from the unrounded s.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=W BINDING=2 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=Y BINDING=3 VEC=$(VEC)
#if RESIDUAL
#include "lib/tensor.wgsl" NAME=R BINDING=4 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=S BINDING=5 VEC=$(VEC)
#endif
#include "lib/rows.wgsl"
struct Params {
  rows: u32,
  half: u32,
  width: u32,
  per_d: f32,
  eps: f32,
}
@group(0) @binding(0) var<uniform> P: Params;

fn element(i: u32) -> Num {
#if RESIDUAL
  return X_load(i) + R_load(i);
#else
  return X_load(i);
#endif
}

fn rows(row: u32, at: RowLane) {
  if (row >= P.rows) { return; }
  let base = row * P.width;
  var squares = 0.0;
  var c = row_from(at);
  while (c < P.width) {
    let stop = min(c + 64u * ROW_STEP, P.width);
    var part = Num();
    for (; c < stop; c += ROW_STEP) {
      let s = element(base + c);
      part += s * s;
    }
    squares += lanes_sum(part);
  }
  let scale = inverseSqrt(row_sum(vec2f(squares, 0.0), at).x * P.per_d + P.eps);
  for (c = at.lane; c < P.width; c += COLUMN_STEP) {
    let s = element(base + c);
#if RESIDUAL
    S_store(base + c, s);
#endif
    Y_store(base + c, s * scale * W_load(c));
  }
}
