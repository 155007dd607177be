// Purpose: gradient of sum and mean: one number over a whole row.
// Formula: DX[n, c] (+)= scale * DY[n * step]; step 0 spreads a single number over everything.
// Shapes: DX [N, D], the last row may be shorter (P.total); DY f32 or f16 [N] or [1]; width and total in units of VEC.
// Bindings: DX, DY.
// Constants: switch VEC. Grid x = D / VEC / 64, (y, z) = rows folded.
// Numerics: f32; one rounding on store.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=DX BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DY BINDING=2 VEC=1
struct Params {
  rows: u32,
  width: u32,
  total: u32,
  step: u32,
  scale: f32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  let row = gid.y + gid.z * nwg.y;
  let i = row * P.width + gid.x;
  if (gid.x >= P.width || row >= P.rows || i >= P.total) { return; }
  var dx = Num(P.scale * DY_load(row * P.step));
  if (P.accumulate != 0u) { dx += DX_load(i); }
  DX_store(i, dx);
}
