// Purpose: copies a tensor, converting between storage dtypes, optionally scaled and added to what is there.
// Formula: Y (+)= scale * X.
// Shapes: X, Y flat, n elements; the tail of the last vector lies in the allocation's padding.
// Bindings: X, Y (f32 or f16 storage each).
// Constants: none.
// Numerics: one rounding to nearest even on store to f16.
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=4
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=4
#include "lib/grid.wgsl"
struct Params {
  n4: u32,
  scale: f32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n4) { return; }
  var y = P.scale * X_load(i);
  if (P.accumulate != 0u) { y += Y_load(i); }
  Y_store(i, y);
}
