// Purpose: sum (scaled, so mean too) or maximum of each row.
// Formula: Y[n] = scale * sum_c X[n, c], or max_c X[n, c] where P.largest is set.
// Shapes: X [N, D], the last row may be shorter (P.total); Y f32 [N]; width and total in units of VEC.
// Bindings: X (f32 or f16 storage), Y.
// Constants: switches VEC, WG, TREE, SUBGROUPS (lib/rows).
// Numerics: f32 sums in blocks of 64 units, then lanes, then workgroup; true maxima.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=1
#include "lib/rows.wgsl"
struct Params {
  rows: u32,
  half: u32,
  width: u32,
  total: u32,
  largest: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> P: Params;

fn rows(row: u32, at: RowLane) {
  if (row >= P.rows) { return; }
  let base = row * P.width;
  let end = min(base + P.width, P.total);
  var i = base + row_from(at);
  var y: f32;
  if (P.largest != 0u) {
    // Every lane starts from an element of the row: no constant stands in for minus infinity.
    var largest = lanes_max(X_load(base));
    for (; i < end; i += ROW_STEP) { largest = max(largest, lanes_max(X_load(i))); }
    y = row_max(largest, at);
  } else {
    var sum = 0.0;
    while (i < end) {
      let stop = min(i + 64u * ROW_STEP, end);
      var part = Num();
      for (; i < stop; i += ROW_STEP) { part += X_load(i); }
      sum += lanes_sum(part);
    }
    y = row_sum(vec2f(sum, 0.0), at).x * P.scale;
  }
  if (at.lane == 0u) { Y_store(row, y); }
}
