// Purpose: exponential moving average of trained weights.
// Formula: E += (1 - decay) (W - E).
// Shapes: E, W f32 [n] as vec4, STEP u32 [words].
// Bindings: E, W, STEP.
// Constants: none.
// Numerics: f32; written as a difference, so that weights that rest leave their average's bits alone; nothing is written when the step found an infinity.
#include "lib/step.wgsl"
#include "lib/grid.wgsl"
@group(0) @binding(1) var<storage, read_write> E: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> W: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> STEP: array<u32>;
struct Params {
  n4: u32,
  rate: f32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n4 || STEP[STEP_FOUND_INF] != 0u) { return; }
  let e = E[i];
  E[i] = e + P.rate * (W[i] - e);
}
