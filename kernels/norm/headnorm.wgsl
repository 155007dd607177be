// Purpose: RMSNorm of each query and key head inside fused qkv rows (Qwen 3); value heads are copied.
// Formula: y = x * inverseSqrt(mean(x^2) + eps) * w over a head's S elements, w = WQ for query heads, WK for key heads.
// Shapes: X, Y [N, H + 2K, S]; WQ, WK [S]; width is S / VEC; a row is one head of one token.
// Bindings: X, Y (f32 or f16 storage each), WQ, WK (f32).
// Constants: switches VEC, WG, TREE, SUBGROUPS (lib/rows).
// Numerics: f32 sums of squares in blocks of 64 units, then lanes, then workgroup.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=WQ BINDING=2 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=WK BINDING=3 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=Y BINDING=4 VEC=$(VEC)
#include "lib/rows.wgsl"
struct Params {
  rows: u32,
  half: u32,
  width: u32,
  heads: u32,
  key_end: u32,
  slots: u32,
  per_d: f32,
  eps: f32,
}
@group(0) @binding(0) var<uniform> P: Params;

fn rows(row: u32, at: RowLane) {
  if (row >= P.rows) { return; }
  let base = row * P.width;
  let slot = row % P.slots;
  var squares = 0.0;
  var c = row_from(at);
  while (c < P.width) {
    let stop = min(c + 64u * ROW_STEP, P.width);
    var part = Num();
    for (; c < stop; c += ROW_STEP) {
      let x = X_load(base + c);
      part += x * x;
    }
    squares += lanes_sum(part);
  }
  let scale = inverseSqrt(row_sum(vec2f(squares, 0.0), at).x * P.per_d + P.eps);
  for (c = at.lane; c < P.width; c += COLUMN_STEP) {
    var y = X_load(base + c);
    if (slot < P.heads) { y *= scale * WQ_load(c); }
    else if (slot < P.key_end) { y *= scale * WK_load(c); }
    Y_store(base + c, y);
  }
}
