// Purpose: adds a row vector to every row, in place (Y holds X already).
// Formula: Y[n] += B.
// Shapes: Y [N, D]; B [D]; width is D / VEC.
// Bindings: Y (f32 or f16 storage), B (f32).
// Constants: switch VEC. Grid x = D / VEC / 64, (y, z) = rows folded.
// Numerics: f32; one rounding on store.
#include "lib/tensor.wgsl" NAME=Y BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=B BINDING=2 VEC=$(VEC)
struct Params {
  rows: u32,
  width: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  let c = gid.x;
  let row = gid.y + gid.z * nwg.y;
  if (c >= P.width || row >= P.rows) { return; }
  let i = row * P.width + c;
  Y_store(i, Y_load(i) + B_load(c));
}
