// Purpose: first launch of attention's backward: what each row's probabilities sum against.
// Formula: D = sum_s dO O.
// Shapes: DO, O [B,T,HS]; D [B,H,T].
// Bindings: DO, O (f32 or f16 storage), D (f32).
// Constants: switch VEC (4 or 1); grid x = T/64, y = H, z = B.
// Numerics: f32 sum of at most 256 terms in order.
#include "lib/tensor.wgsl" NAME=DO BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=O BINDING=2 VEC=$(VEC)
@group(0) @binding(3) var<storage, read_write> D: array<f32>;
#include "lib/attention.wgsl"
#include "lib/attention_params.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  if (gid.x >= P.tokens) { return; }
  let o = ((gid.z * P.tokens + gid.x) * P.heads + gid.y) * P.size;
  var sum = 0.0;
  for (var c = 0u; c < P.size; c++) { sum += vec_dot(DO_load(o + c), O_load(o + c)); }
  D[(gid.z * P.heads + gid.y) * P.tokens + gid.x] = sum;
}
