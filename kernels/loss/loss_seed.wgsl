// Purpose: the adjoint that starts the backward pass: the loss scale over the step's label count.
// Formula: Y[i] = step.lossScale * weight.
// Shapes: STEP u32 [words], Y f32 [N].
// Bindings: STEP, Y.
// Constants: none.
// Numerics: one product.
#include "lib/step.wgsl"
@group(0) @binding(1) var<storage, read_write> STEP: array<u32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
  weight: f32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  if (gid.x < P.n) { Y[gid.x] = bitcast<f32>(STEP[STEP_LOSS_SCALE]) * P.weight; }
}
