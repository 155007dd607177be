// Purpose: v1 of the ladder, one thread an output; the yardstick every faster variant is held against.
// Formula: C[z,m,n] (+)= alpha * sum_k A[z,m,k] * B[z,k,n], either operand stored transposed (A: K x M, B: N x K).
// Shapes: A [Z,M,K] or [Z,K,M]; B [Z,K,N] or [Z,N,K]; C [Z,M,N]; row strides in elements.
// Bindings: A, B, C (f32 or f16 storage each).
// Constants: switches TA, TB (operand stored transposed); grid x = N/64, y = M, z = Z.
// Numerics: f32 sums in blocks of 256 terms, blocks added in order.
#include "lib/tensor.wgsl" NAME=A BINDING=1 VEC=1
#include "lib/tensor.wgsl" NAME=B BINDING=2 VEC=1
#include "lib/tensor.wgsl" NAME=C BINDING=3 VEC=1
struct Params {
  m: u32, n: u32, k: u32,
  lda: u32, ldb: u32, ldc: u32,
  za: u32, zb: u32, zc: u32,
  alpha: f32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  let n = gid.x;
  let m = gid.y;
  if (n >= P.n || m >= P.m) { return; }
  let a0 = gid.z * P.za;
  let b0 = gid.z * P.zb;
  var total = 0.0;
  var k = 0u;
  while (k < P.k) {
    let end = min(k + 256u, P.k);
    var block = 0.0;
    for (; k < end; k++) {
#if TA
      let a = A_load(a0 + k * P.lda + m);
#else
      let a = A_load(a0 + m * P.lda + k);
#endif
#if TB
      let b = B_load(b0 + n * P.ldb + k);
#else
      let b = B_load(b0 + k * P.ldb + n);
#endif
      block += a * b;
    }
    total += block;
  }
  let c = gid.z * P.zc + m * P.ldc + n;
  total *= P.alpha;
  if (P.accumulate != 0u) { total += C_load(c); }
  C_store(c, total);
}
