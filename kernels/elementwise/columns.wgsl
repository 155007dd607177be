// Purpose: copies a run of columns from rows of one tensor into rows of another, or adds it to what is there.
// Formula: Y[b,t,yAt+c] (+)= X[b,t,xAt+c].
// Shapes: X, Y flat; `inner` rows t in each b, strides of both as data, n = rows times columns.
// Bindings: X, Y (f32 or f16 storage each).
// Constants: switch VEC (4, 2 or 1); all widths, strides and starts count units of VEC; one thread a unit, grid folded over x and y.
// Numerics: f32; one rounding to nearest even on store to f16.
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=$(VEC)
#include "lib/grid.wgsl"
struct Params {
  n: u32,
  width: u32,
  inner: u32,
  xAt: u32,
  xRow: u32,
  xOuter: u32,
  yAt: u32,
  yRow: u32,
  yOuter: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n) { return; }
  let row = i / P.width;
  let c = i - row * P.width;
  let b = row / P.inner;
  let t = row - b * P.inner;
  let y = P.yAt + b * P.yOuter + t * P.yRow + c;
  var value = X_load(P.xAt + b * P.xOuter + t * P.xRow + c);
  if (P.accumulate != 0u) { value += Y_load(y); }
  Y_store(y, value);
}
