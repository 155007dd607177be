// Purpose: stochastic gradient descent with momentum over a flat run of parameters.
// Formula: g = G gradScale + wd p; m = momentum m + g; p -= lr m.
// Shapes: W, G, M f32 [n] as vec4, STEP u32 [words], H f16 [n] with HALF.
// Bindings: W, G, M, STEP, H.
// Constants: switch HALF; switch RUN: only elements P.run0 <= e < P.run1 change (rows that learn), the vectors at its ends in part.
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
#if RUN
  run0: u32,
  run1: u32,
#endif
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
#if RUN
  let i = P.run0 / 4u + flat_group(wg, nwg) * 64u + lane;
  let e = vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u);
  let learns = (e >= vec4u(P.run0)) & (e < vec4u(P.run1));
#else
  let i = flat_group(wg, nwg) * 64u + lane;
#endif
  if (i >= P.n4 || STEP[STEP_FOUND_INF] != 0u) { return; }
  let p = W[i];
  let g = G[i] * bitcast<f32>(STEP[STEP_GRAD_SCALE]) + P.decay * p;
  let m = P.momentum * M[i] + g;
#if RUN
  M[i] = select(M[i], m, learns);
#else
  M[i] = m;
#endif
#if RUN
  let next = select(p, p - bitcast<f32>(STEP[STEP_LR]) * P.rate * m, learns);
#else
  let next = p - bitcast<f32>(STEP[STEP_LR]) * P.rate * m;
#endif
  W[i] = next;
#if HALF
  H_store(i, next);
#endif
}
