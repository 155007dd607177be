// Purpose: softmax or its logarithm over rows.
// Formula: m = max_c x; y = exp(x - m) / sum exp(x - m), or with P.logarithm x - m - log(sum exp(x - m)).
// Shapes: X, Y [N, D]; width is D / VEC.
// Bindings: X, Y (f32 or f16 storage each).
// Constants: switches VEC, WG, TREE, SUBGROUPS (lib/rows).
// Numerics: f32; true row maximum; exp of at least -87; sums in blocks of 64 units, then lanes, then workgroup.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=$(VEC)
#include "lib/rows.wgsl"
struct Params {
  rows: u32,
  half: u32,
  width: u32,
  logarithm: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

fn rows(row: u32, at: RowLane) {
  if (row >= P.rows) { return; }
  let base = row * P.width;
  var largest = lanes_max(X_load(base));
  var c = row_from(at);
  for (; c < P.width; c += ROW_STEP) { largest = max(largest, lanes_max(X_load(base + c))); }
  let m = row_max(largest, at);
  var sum = 0.0;
  c = row_from(at);
  while (c < P.width) {
    let stop = min(c + 64u * ROW_STEP, P.width);
    var part = Num();
    for (; c < stop; c += ROW_STEP) { part += exp(max(X_load(base + c) - m, Num(-87.0))); }
    sum += lanes_sum(part);
  }
  let total = row_sum(vec2f(sum, 0.0), at).x;
  let log_total = log(total);
  for (c = at.lane; c < P.width; c += COLUMN_STEP) {
    let x = X_load(base + c) - m;
    if (P.logarithm != 0u) { Y_store(base + c, x - log_total); }
    else { Y_store(base + c, exp(max(x, Num(-87.0))) / total); }
  }
}
