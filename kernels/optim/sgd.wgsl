// Purpose: stochastic gradient descent with momentum over a flat run of parameters.
// Formula: g = G gradScale + wd p; m = momentum m + g; p -= lr m.
// Shapes: W, G, M f32 [n] as vec4, STEP u32 [words], H f16 [n] with HALF.
// Bindings: W, G, M, STEP, H.
// Constants: switch HALF.
// Numerics: all f32; nothing is written when the step found an infinity; decay is coupled, as is usual for SGD.
#include "lib/step.wgsl"
#include "lib/grid.wgsl"
@group(0) @binding(1) var<storage, read_write> W: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> G: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> M: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> STEP: array<u32>;
#if HALF
#include "lib/tensor.wgsl" NAME=H BINDING=6 VEC=4
#endif
struct Params {
  n4: u32,
  momentum: f32,
  decay: f32,
  rate: f32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n4 || STEP[STEP_FOUND_INF] != 0u) { return; }
  let p = W[i];
  let g = G[i] * bitcast<f32>(STEP[STEP_GRAD_SCALE]) + P.decay * p;
  let m = P.momentum * M[i] + g;
  M[i] = m;
  let next = p - bitcast<f32>(STEP[STEP_LR]) * P.rate * m;
  W[i] = next;
#if HALF
  H_store(i, next);
#endif
}
