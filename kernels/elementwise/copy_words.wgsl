// Purpose: copies 32-bit words as they are (WebGPU forbids buffer copies within one buffer).
// Formula: Y = X.
// Shapes: X, Y flat, n words.
// Bindings: X, Y.
// Constants: none.
// Numerics: none; bits are moved.
#include "lib/grid.wgsl"
@group(0) @binding(1) var<storage, read_write> X: array<u32>;
@group(0) @binding(2) var<storage, read_write> Y: array<u32>;
struct Params {
  n: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i < P.n) { Y[i] = X[i]; }
}
