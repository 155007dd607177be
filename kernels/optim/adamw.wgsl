// Purpose: AdamW over a flat run of parameters, with the 16-bit copy written in the same pass.
// Formula: g = G gradScale; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p -= lr ((m bc1) / (sqrt(v bc2) + eps) + wd p).
// Shapes: W, G, M, V f32 [n] as vec4, STEP u32 [words], H f16 [n] with HALF.
// Bindings: W, G, M, V, STEP, H.
// Constants: switch HALF; switch RUN: only elements P.run0 <= e < P.run1 change (rows that learn), the vectors at its ends in part.
// Numerics: all f32; nothing is written when the step found an infinity; decay is decoupled (Loshchilov and Hutter).
#include "lib/step.wgsl"
#include "lib/grid.wgsl"
@group(0) @binding(1) var<storage, read_write> W: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> G: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> M: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> V: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> STEP: array<u32>;
#if HALF
#include "lib/tensor.wgsl" NAME=H BINDING=6 VEC=4
#endif
struct Params {
  n4: u32,
  beta1: f32,
  beta2: f32,
  epsilon: f32,
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
  let lr = bitcast<f32>(STEP[STEP_LR]) * P.rate;
  let g = G[i] * bitcast<f32>(STEP[STEP_GRAD_SCALE]);
  let m = P.beta1 * M[i] + (1.0 - P.beta1) * g;
  let v = P.beta2 * V[i] + (1.0 - P.beta2) * g * g;
#if RUN
  M[i] = select(M[i], m, learns);
  V[i] = select(V[i], v, learns);
#else
  M[i] = m;
  V[i] = v;
#endif
  let p = W[i];
  let update = (m * bitcast<f32>(STEP[STEP_BC1])) / (sqrt(v * bitcast<f32>(STEP[STEP_BC2])) + P.epsilon);
#if RUN
  let next = select(p, p - lr * (update + P.decay * p), learns);
#else
  let next = p - lr * (update + P.decay * p);
#endif
  W[i] = next;
#if HALF
  H_store(i, next);
#endif
}
