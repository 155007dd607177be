// Purpose: the gated activation of LLaMA's feed-forward block.
// Formula: Y = silu(G) * U, where a row of GU is its gate G followed by its up projection U.
// Shapes: GU [N, 2F]; Y [N, F]; width is F / VEC.
// Bindings: GU, Y (f32 or f16 storage each).
// Constants: switch VEC (4 where F is a multiple of 4, else 1). Grid x = F / VEC / 64, (y, z) = rows folded.
// Numerics: f32; sigmoid as 1 / (1 + exp(-g)) with g clamped to +-80.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=GU BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=$(VEC)
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
  let i = row * P.width * 2u + c;
  let g = GU_load(i);
  let u = GU_load(i + P.width);
  Y_store(row * P.width + c, u * g / (1.0 + exp(-clamp(g, Num(-80.0), Num(80.0)))));
}
