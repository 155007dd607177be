// Purpose: second pass of a product split along K: adds the parts in fixed order, so that runs repeat bit for bit.
// Formula: C[m,n] = alpha * sum_p X[p,m,n] (+ C if accumulate) (+ D under ADD).
// Shapes: X [parts, count] f32; C, D [M,N] contiguous, count = M*N; the tail of the last vector lies in padding.
// Bindings: X, C, and D under ADD.
// Constants: none; grid = count/4 over 64 lanes, folded.
// Numerics: f32 in part order; at most 64 parts.
#include "lib/input.wgsl" NAME=X BINDING=1 VEC=4
#include "lib/tensor.wgsl" NAME=C BINDING=2 VEC=4
#if ADD
#include "lib/input.wgsl" NAME=D BINDING=3 VEC=4
#endif
#include "lib/grid.wgsl"
struct Params {
  n4: u32,
  stride4: u32,
  parts: u32,
  c0: u32, d0: u32,
  alpha: f32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n4) { return; }
  var sum = vec4f();
  for (var p = 0u; p < P.parts; p++) { sum += X_load(p * P.stride4 + i); }
  sum *= P.alpha;
  if (P.accumulate != 0u) { sum += C_load(P.c0 / 4u + i); }
#if ADD
  sum += D_load(P.d0 / 4u + i);
#endif
  C_store(P.c0 / 4u + i, sum);
}
