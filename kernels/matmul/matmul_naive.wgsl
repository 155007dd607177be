// Purpose: v1 of the ladder, one thread an output; the yardstick every faster variant is held against.
// Formula: C[z,m,n] = alpha * sum_k A[z,m,k] * B[z,k,n] (+ C[z,m,n] if accumulate) (+ D[z,m,n] under ADD).
// Shapes: A [Z,M,K] or [Z,K,M] (TA); B [Z,K,N] or [Z,N,K] (TB); C, D [Z,M,N]; strides and offsets in elements.
// Bindings: A, B, C, and D under ADD (f32 or f16 storage each).
// Constants: switches TA, TB (operand stored transposed); grid x = N/64, y = M, z = Z.
// Numerics: f32 sums in blocks of 256 terms, blocks added in order.
#include "lib/input.wgsl" NAME=A BINDING=1 VEC=1
#include "lib/input.wgsl" NAME=B BINDING=2 VEC=1
#include "lib/tensor.wgsl" NAME=C BINDING=3 VEC=1
#if ADD
#include "lib/input.wgsl" NAME=D BINDING=4 VEC=1
#endif
#include "lib/matmul_params.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  let n = gid.x;
  let m = gid.y;
  if (n >= P.n || m >= P.m) { return; }
  let a0 = P.a0 + gid.z * P.za;
  let b0 = P.b0 + gid.z * P.zb;
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
  let i = gid.z * P.zc + m * P.ldc + n;
  let c = P.c0 + i;
  total *= P.alpha;
  if (P.accumulate != 0u) { total += C_load(c); }
#if ADD
  total += D_load(P.d0 + i);
#endif
  C_store(c, total);
}
