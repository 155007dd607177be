// Purpose: inverted dropout whose mask is drawn from a counter, so that the gradient draws it again instead of reading it.
// Formula: Y[e] (+)= (word e of Philox((e / 4, site), (seed, stream)) < threshold) ? 0 : X[e] * scale.
// Shapes: X, Y flat, n elements; the tail of the last vector lies in the allocation's padding.
// Bindings: X, Y (f32 or f16 storage each).
// Constants: none.
// Numerics: masks exact; one product, one rounding on store.
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=4
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=4
#include "lib/grid.wgsl"
#include "lib/philox.wgsl"
struct Params {
  n4: u32,
  seed: u32,
  stream: u32,
  site: u32,
  threshold: u32,
  scale: f32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n4) { return; }
  let w = philox(vec4u(i, P.site, 0u, 0u), vec2u(P.seed, P.stream));
  var y = select(X_load(i) * P.scale, vec4f(), w < vec4u(P.threshold));
  if (P.accumulate != 0u) { y += Y_load(i); }
  Y_store(i, y);
}
