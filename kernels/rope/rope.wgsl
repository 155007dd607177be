// Purpose: rotary position embedding of the query and key heads, in place; values stay. Backward turns the other way.
// Formula: (x_i, x_{i+S/2}) = (x_i cos - x_{i+S/2} sin, x_{i+S/2} cos + x_i sin), sin times `sign`.
// Shapes: Y [B,T,(H+2K)S]; POS [B,T] u32; TABLE [C,S/2,2] (cos, sin).
// Bindings: Y (f32 or f16 storage), POS (u32), TABLE (f32).
// Constants: switch VEC (4 where S/2 is a multiple of 4, else 1); one thread VEC pairs of all heads, grid folded over x and y.
// Numerics: f32 arithmetic, table from float64; a position past the table reads its last row.
#include "lib/tensor.wgsl" NAME=Y BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=TABLE BINDING=2 VEC=$(VEC)
#include "lib/grid.wgsl"
@group(0) @binding(3) var<storage, read_write> POS: array<u32>;
struct Params {
  n: u32,         // B T half
  half: u32,      // S / 2 / VEC
  heads: u32,     // H + K: the heads that are turned
  row: u32,       // (H + 2K) S / VEC
  capacity: u32,  // C
  sign: f32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n) { return; }
  let token = i / P.half;
  let c = i - token * P.half;
  let angle = (min(POS[token], P.capacity - 1u) * P.half + c) * 2u;
  let first = TABLE_load(angle);
  let second = TABLE_load(angle + 1u);
#if VEC == 4
  let cosine = vec4f(first.xz, second.xz);
  let sine = vec4f(first.yw, second.yw) * P.sign;
#else
  let cosine = first;
  let sine = second * P.sign;
#endif
  var at = token * P.row + c;
  for (var h = 0u; h < P.heads; h++) {
    let x = Y_load(at);
    let y = Y_load(at + P.half);
    Y_store(at, x * cosine - y * sine);
    Y_store(at + P.half, y * cosine + x * sine);
    at += P.half * 2u;
  }
}
