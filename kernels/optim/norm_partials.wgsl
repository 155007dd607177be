// Purpose: sums of squares of fixed blocks of 4,096 gradient elements, the same blocks however the state is sharded.
// Formula: PARTIALS[block0 + b] = sum of G[i]^2 over block b, or 3.4e38 (read as not finite by step_finish) if any element is not finite.
// Shapes: G f32 [n] as vec4, PARTIALS f32 [blocks of all gradients].
// Bindings: G, PARTIALS.
// Constants: none; one thread a block.
// Numerics: sixteen sums of 256 terms added in order; finiteness is read from the bits, not by comparison.
#include "lib/grid.wgsl"
@group(0) @binding(1) var<storage, read_write> G: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> PARTIALS: array<f32>;
struct Params {
  n4: u32,
  block0: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let b = flat_group(wg, nwg) * 16u + lane;
  var i = b * 1024u;
  if (i >= P.n4) { return; }
  let last = min(P.n4, i + 1024u);
  var total = 0.0;
  var bad = false;
  while (i < last) {
    let end = min(last, i + 64u);
    var sum = vec4f(0.0);
    for (; i < end; i++) {
      let bits = G[i];
      bad = bad || any((bits & vec4u(0x7f800000u)) == vec4u(0x7f800000u));
      let g = bitcast<vec4f>(bits);
      sum += g * g;
    }
    total += (sum.x + sum.y) + (sum.z + sum.w);
  }
  PARTIALS[P.block0 + b] = select(total, 3.4e38, bad);
}
