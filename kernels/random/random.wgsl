// Purpose: random numbers by counter: any part of a sequence can be made alone, with the bits the host would make.
// Formula: words w of Philox(counter, (seed, stream)); uniform (w >> 8) / 2^24; normal sqrt(-2 log((w0 + 0.5) / 2^32)) * cos(2 pi w1 / 2^32); y = shift + scale * that.
// Shapes: Y flat, n elements; element i takes word i (bits, uniform) or words 2i, 2i + 1 (normal); word j is word j % 4 of counter j / 4.
// Bindings: Y (f32 or f16 storage; u32 with BITS).
// Constants: switches BITS, NORMAL.
// Numerics: bits exact; uniform exact in [0, 1); normal to the accuracy of log and of a polynomial cosine (1e-7 absolute).
#if BITS
@group(0) @binding(1) var<storage, read_write> Y: array<vec4u>;
#else
#include "lib/tensor.wgsl" NAME=Y BINDING=1 VEC=4
#endif
#include "lib/grid.wgsl"
#include "lib/philox.wgsl"
struct Params {
  n4: u32,
  seed: u32,
  stream: u32,
#if !BITS
  scale: f32,
  shift: f32,
#endif
}
@group(0) @binding(0) var<uniform> P: Params;

#if NORMAL
// cos(2 pi w / 2^32). The quadrant comes off in integers, so no driver's argument reduction matters.
fn cos_turn(w: u32) -> f32 {
  let quadrant = (w + 0x20000000u) >> 30u;
  let x = f32(bitcast<i32>(w - (quadrant << 30u))) * 1.4629180792671596e-9;
  let x2 = x * x;
  let c = 1.0 + x2 * (-0.5 + x2 * (4.1666667e-2 + x2 * (-1.3888889e-3 + x2 * 2.4801587e-5)));
  let s = x * (1.0 + x2 * (-1.6666667e-1 + x2 * (8.3333333e-3 + x2 * (-1.9841270e-4 + x2 * 2.7557319e-6))));
  let even = select(c, s, (quadrant & 1u) == 1u);
  return select(even, -even, quadrant == 1u || quadrant == 2u);
}

fn normal(a: u32, b: u32) -> f32 {
  return sqrt(-2.0 * log((f32(a) + 0.5) * 2.3283064365386963e-10)) * cos_turn(b);
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n4) { return; }
  let key = vec2u(P.seed, P.stream);
#if BITS
  Y[i] = philox(vec4u(i, 0u, 0u, 0u), key);
#elif NORMAL
  let a = philox(vec4u(2u * i, i >> 31u, 0u, 0u), key);
  let b = philox(vec4u(2u * i + 1u, i >> 31u, 0u, 0u), key);
  Y_store(i, P.shift + P.scale * vec4f(normal(a.x, a.y), normal(a.z, a.w), normal(b.x, b.y), normal(b.z, b.w)));
#else
  let w = philox(vec4u(i, 0u, 0u, 0u), key);
  Y_store(i, P.shift + P.scale * (vec4f(w >> vec4u(8u)) * 5.9604644775390625e-8));
#endif
}
