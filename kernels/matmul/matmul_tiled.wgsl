// Purpose: v3 of the ladder, the kernel of GPUs: a workgroup of 256 lanes stages KT-deep tiles of A and B in shared memory, so that each
//   word read from memory serves TM (or TN) outputs, and each lane keeps RM x RN outputs in registers.
// Formula: C[z,m,n] = alpha * sum_k A[z,m,k] * B[z,k,n] (+ C if accumulate) (+ D under ADD); under SPLITK partial sums to C[part,m,n], unscaled.
// Shapes: A [Z,M,K] or [Z,K,M] (TA); B [Z,K,N] or [Z,N,K] (TB); C, D [Z,M,N]; strides and offsets in elements.
// Bindings: A, B, C, and D under ADD (f32 or f16 storage each).
// Constants: TA, TB; AVEC, BVEC, CVEC 4 (contiguous axis, strides and offsets multiples of 4) or 1; TM, TN tile of a workgroup 64 or 128, with
//   RM = TM/16, RN = TN/16; KT 8 or 16; grid x = N/TN, y = M/TM, z = Z, or the parts of K under SPLITK (P.kpart terms each, a multiple of KT).
// Numerics: f32 sums in blocks of 256 terms (of KT rounded down to it), blocks in order; beyond the edge zeros are staged.
#include "lib/input.wgsl" NAME=A BINDING=1 VEC=$(AVEC)
#include "lib/input.wgsl" NAME=B BINDING=2 VEC=$(BVEC)
#include "lib/tensor.wgsl" NAME=C BINDING=3 VEC=$(CVEC)
#if ADD
#include "lib/input.wgsl" NAME=D BINDING=4 VEC=$(CVEC)
#endif
#include "lib/matmul_params.wgsl"
const TM = $(TM)u;
const TN = $(TN)u;
const KT = $(KT)u;
const RM = TM / 16u;
const RN4 = TN / 64u;
// k-major, rows padded by one vec4 against bank conflicts of the transposing store.
const SA = TM / 4u + 1u;
const SB = TN / 4u + 1u;
var<workgroup> tile_a: array<vec4f, KT * SA>;
var<workgroup> tile_b: array<vec4f, KT * SB>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let m0 = wg.y * TM;
  let n0 = wg.x * TN;
  // A lane's rows are RM/4 groups of four, its columns RN4 groups of four, 64 apart: neighbours read neighbouring words.
  let row4 = lane / 16u;
  let col4 = lane % 16u;
#if SPLITK
  let z = 0u;
  let first = wg.z * P.kpart;
  let to = min(first + P.kpart, P.k);
#else
  let z = wg.z;
  let first = 0u;
  let to = P.k;
#endif
  let a0 = P.a0 + z * P.za;
  let b0 = P.b0 + z * P.zb;
  var total = array<vec4f, RM * RN4>();
  var k0 = first;
  while (k0 < to) {
    let end = min(k0 + 256u, to);
    var sum = array<vec4f, RM * RN4>();
    for (; k0 < end; k0 += KT) {
      // Stage A.
      for (var t = lane; t < KT * TM / 4u; t += 256u) {
        var v = vec4f();
#if TA
        let k = t / (TM / 4u);
        let m = (t % (TM / 4u)) * 4u;
        let at = a0 + (k0 + k) * P.lda + m0 + m;
        if (k0 + k < to) {
#if AVEC == 4
          if (m0 + m < P.m) { v = A_load(at / 4u); }
#else
          for (var j = 0u; j < 4u; j++) { if (m0 + m + j < P.m) { v[j] = A_load(at + j); } }
#endif
        }
        tile_a[k * SA + m / 4u] = v;
#else
        let k = (t % (KT / 4u)) * 4u;
        let m = t / (KT / 4u);
        let at = a0 + (m0 + m) * P.lda + k0 + k;
        if (m0 + m < P.m) {
#if AVEC == 4
          if (k0 + k < to) { v = A_load(at / 4u); }
#else
          for (var j = 0u; j < 4u; j++) { if (k0 + k + j < to) { v[j] = A_load(at + j); } }
#endif
        }
        for (var j = 0u; j < 4u; j++) { tile_a[(k + j) * SA + m / 4u][m % 4u] = v[j]; }
#endif
      }
      // Stage B.
      for (var t = lane; t < KT * TN / 4u; t += 256u) {
        var v = vec4f();
#if TB
        let k = (t % (KT / 4u)) * 4u;
        let n = t / (KT / 4u);
        let at = b0 + (n0 + n) * P.ldb + k0 + k;
        if (n0 + n < P.n) {
#if BVEC == 4
          if (k0 + k < to) { v = B_load(at / 4u); }
#else
          for (var j = 0u; j < 4u; j++) { if (k0 + k + j < to) { v[j] = B_load(at + j); } }
#endif
        }
        for (var j = 0u; j < 4u; j++) { tile_b[(k + j) * SB + n / 4u][n % 4u] = v[j]; }
#else
        let k = t / (TN / 4u);
        let n = (t % (TN / 4u)) * 4u;
        let at = b0 + (k0 + k) * P.ldb + n0 + n;
        if (k0 + k < to) {
#if BVEC == 4
          if (n0 + n < P.n) { v = B_load(at / 4u); }
#else
          for (var j = 0u; j < 4u; j++) { if (n0 + n + j < P.n) { v[j] = B_load(at + j); } }
#endif
        }
        tile_b[k * SB + n / 4u] = v;
#endif
      }
      workgroupBarrier();
      for (var k = 0u; k < KT; k++) {
        var b: array<vec4f, RN4>;
        for (var v = 0u; v < RN4; v++) { b[v] = tile_b[k * SB + col4 + 16u * v]; }
        for (var r = 0u; r < RM / 4u; r++) {
          let a = tile_a[k * SA + row4 + 16u * r];
          for (var v = 0u; v < RN4; v++) {
            let i = 4u * r * RN4 + v;
            sum[i] += a.x * b[v];
            sum[i + RN4] += a.y * b[v];
            sum[i + 2u * RN4] += a.z * b[v];
            sum[i + 3u * RN4] += a.w * b[v];
          }
        }
      }
      workgroupBarrier();
    }
    for (var i = 0u; i < RM * RN4; i++) { total[i] += sum[i]; }
  }
  // Nested conditions, no early exit: the loops must unroll, or the sums would move from registers to memory.
  for (var r = 0u; r < RM; r++) {
    let m = m0 + (row4 + 16u * (r / 4u)) * 4u + r % 4u;
    for (var v = 0u; v < RN4; v++) {
      let n = n0 + (col4 + 16u * v) * 4u;
      let i = wg.z * P.zc + m * P.ldc + n;
      var value = P.alpha * total[r * RN4 + v];
      if (m < P.m && n < P.n) {
#include "lib/matmul_store.wgsl"
      }
    }
  }
}
