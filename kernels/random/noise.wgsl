// Purpose: uniform noise of a size of its own for each row, added in place (Y holds X already): NEFTune.
// Formula: Y[n, c] += scale[n] * (2 u - 1), u = (word e >> 8) / 2^24 of Philox((e / 4, site), (seed, stream)), e = n D + c.
// Shapes: Y [N, D]; SCALE f32 [N].
// Bindings: Y (f32 or f16 storage), SCALE.
// Constants: none. A thread a vector of four; rows need not be a multiple of it, the tail lies in the allocation's padding.
// Numerics: the noise is exact to one f32 product; one rounding on store. Rows of scale 0 keep their bits.
#include "lib/tensor.wgsl" NAME=Y BINDING=1 VEC=4
@group(0) @binding(2) var<storage, read_write> SCALE: array<f32>;
#include "lib/grid.wgsl"
#include "lib/philox.wgsl"
struct Params {
  n: u32,
  width: u32,
  seed: u32,
  stream: u32,
  site: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (4u * i >= P.n) { return; }
  let w = philox(vec4u(i, P.site, 0u, 0u), vec2u(P.seed, P.stream));
  let u = vec4f(w >> vec4u(8u)) * 1.1920928955078125e-7 - 1.0;
  let last = vec4u(P.n - 1u);
  let row = min(vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u), last) / P.width;
  Y_store(i, Y_load(i) + vec4f(SCALE[row.x], SCALE[row.y], SCALE[row.z], SCALE[row.w]) * u);
}
