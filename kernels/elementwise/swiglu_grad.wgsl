// Purpose: gradient of the gated activation by gate and up projection at once; the sigmoid is recomputed.
// Formula: s = sigmoid(g); dg = dy * u * s * (1 + g * (1 - s)); du = dy * g * s; DGU (+)= (dg, du).
// Shapes: GU, DGU [N, 2F]; DY [N, F]; width is F / VEC.
// Bindings: GU, DY, DGU (f32 or f16 storage each).
// Constants: switch VEC. Grid x = F / VEC / 64, (y, z) = rows folded.
// Numerics: f32; g clamped to +-80 inside the sigmoid.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=GU BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DY BINDING=2 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DGU BINDING=3 VEC=$(VEC)
struct Params {
  rows: u32,
  width: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  let c = gid.x;
  let row = gid.y + gid.z * nwg.y;
  if (c >= P.width || row >= P.rows) { return; }
  let i = row * P.width * 2u + c;
  let j = i + P.width;
  let g = GU_load(i);
  let u = GU_load(j);
  let dy = DY_load(row * P.width + c);
  let s = 1.0 / (1.0 + exp(-clamp(g, Num(-80.0), Num(80.0))));
  var dg = dy * u * s * (1.0 + g * (1.0 - s));
  var du = dy * g * s;
  if (P.accumulate != 0u) {
    dg += DGU_load(i);
    du += DGU_load(j);
  }
  DGU_store(i, dg);
  DGU_store(j, du);
}
