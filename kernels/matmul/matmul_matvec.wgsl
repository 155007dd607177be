// Purpose: products with few rows (decoding): memory bound, so every word of B is read once, 16 bytes at a time, by as many lanes as there are.
// Formula: C[m,n] = alpha * sum_k A[m,k] * B[n,k] (+ C if accumulate) (+ D under ADD); B stored [N,K], as weights are.
// Shapes: A [Z,M,K], M at most ROWS; B [Z,N,K]; C, D [Z,M,N]; strides and offsets in elements; K, lda, ldb, offsets multiples of 4.
// Bindings: A, B, C, and D under ADD (f32 or f16 storage each).
// Constants: ROWS 1 or 4; SPLIT 1, or the lanes that share an output (64 at most, a power of two) and add up in workgroup memory;
//   LANES a workgroup; grid x = N*SPLIT/LANES folded over x and y, z = Z.
// Numerics: f32 sums in blocks of 256 terms, blocks in order; with SPLIT a fixed tree over the lanes' sums.
#include "lib/input.wgsl" NAME=A BINDING=1 VEC=4
#include "lib/input.wgsl" NAME=B BINDING=2 VEC=4
#include "lib/tensor.wgsl" NAME=C BINDING=3 VEC=1
#if ADD
#include "lib/input.wgsl" NAME=D BINDING=4 VEC=1
#endif
#include "lib/grid.wgsl"
#include "lib/matmul_params.wgsl"
#if SPLIT != 1
var<workgroup> shared_sum: array<f32, $(ROWS)u * $(LANES)u>;
#endif

@compute @workgroup_size($(LANES))
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = (flat_group(wg, nwg) * $(LANES)u + lane) / $(SPLIT)u;
  let part = lane % $(SPLIT)u;
  var total = array<f32, $(ROWS)>();
  let a0 = (P.a0 + wg.z * P.za) / 4u;
  let b = (P.b0 + wg.z * P.zb + min(n, P.n - 1u) * P.ldb) / 4u;
  let k4 = P.k / 4u;
  var k = part;
  while (k < k4) {
    let end = min(k + 64u * $(SPLIT)u, k4);
    var sum = array<f32, $(ROWS)>();
    for (; k < end; k += $(SPLIT)u) {
      let w = B_load(b + k);
      for (var r = 0u; r < $(ROWS)u; r++) { sum[r] += dot(A_load(a0 + min(r, P.m - 1u) * (P.lda / 4u) + k), w); }
    }
    for (var r = 0u; r < $(ROWS)u; r++) { total[r] += sum[r]; }
  }
#if SPLIT != 1
  for (var r = 0u; r < $(ROWS)u; r++) { shared_sum[r * $(LANES)u + lane] = total[r]; }
  for (var stride = $(SPLIT)u / 2u; stride > 0u; stride >>= 1u) {
    workgroupBarrier();
    if (part < stride) {
      for (var r = 0u; r < $(ROWS)u; r++) { shared_sum[r * $(LANES)u + lane] += shared_sum[r * $(LANES)u + lane + stride]; }
    }
  }
  if (part != 0u) { return; }
#endif
  if (n >= P.n) { return; }
  for (var r = 0u; r < min($(ROWS)u, P.m); r++) {
    let i = wg.z * P.zc + r * P.ldc + n;
#if SPLIT != 1
    var value = P.alpha * shared_sum[r * $(LANES)u + lane];
#else
    var value = P.alpha * total[r];
#endif
    if (P.accumulate != 0u) { value += C_load(P.c0 + i); }
#if ADD
    value += D_load(P.d0 + i);
#endif
    C_store(P.c0 + i, value);
  }
}
