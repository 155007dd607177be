// Purpose: v4 of the ladder, tensor cores: eight (four) subgroups of 32 lanes compute a 128 x 128 (64 x 64) tile, each 64 x 32 (32 x 32) of it
//   in 16 x 16 fragments, from f16 tiles staged in shared memory. Never run on a CPU adapter; compile-checked on the null backend.
// Formula: C[z,m,n] = alpha * sum_k A[z,m,k] * B[z,k,n] (+ C if accumulate) (+ D under ADD).
// Shapes: A [Z,M,K] or [Z,K,M] (TA); B [Z,K,N] or [Z,N,K] (TB); C, D [Z,M,N]; strides and offsets in elements.
// Bindings: A, B, C, and D under ADD; A and B should be stored as f16 (f32 is rounded to f16 when staged).
// Constants: TA, TB; AVEC, BVEC 4 (contiguous axis, strides and offsets multiples of 4) or 1; TILE 128 or 64 with LANES 256 or 128;
//   grid x = N/TILE, y = M/TILE, z = Z.
// Numerics: f16 products, f32 sums in the hardware's order within 16 terms, then along K in order (no blocks of 256: fragments cannot be added on every driver).
enable f16;
enable subgroups;
enable subgroup_size_control;
enable chromium_experimental_subgroup_matrix;
#include "lib/input.wgsl" NAME=A BINDING=1 VEC=$(AVEC)
#include "lib/input.wgsl" NAME=B BINDING=2 VEC=$(BVEC)
#include "lib/tensor.wgsl" NAME=C BINDING=3 VEC=1
#if ADD
#include "lib/input.wgsl" NAME=D BINDING=4 VEC=1
#endif
#include "lib/matmul_params.wgsl"
const TILE = $(TILE)u;
const LANES = $(LANES)u;
const KT = 32u;
// Fragments a subgroup holds: FM high, two wide.
const FM = TILE / 32u;
// Rows are padded by 8 halves against bank conflicts.
const S = KT + 8u;
var<workgroup> tile_a: array<f16, TILE * S>;
var<workgroup> tile_b: array<f16, TILE * S>;
// One fragment a subgroup on its way to C.
var<workgroup> staged: array<f32, LANES * 8u>;

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Result = subgroup_matrix_result<f32, 16, 16>;

@compute @workgroup_size($(LANES)) @subgroup_size(32)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) group: u32, @builtin(subgroup_invocation_id) inner: u32) {
  let m0 = wg.y * TILE;
  let n0 = wg.x * TILE;
  let a0 = P.a0 + wg.z * P.za;
  let b0 = P.b0 + wg.z * P.zb;
  // Subgroups stand two high and TILE / 32 wide.
  let gm = (group / FM) * (TILE / 2u);
  let gn = (group % FM) * 32u;
  var total: array<Result, 2u * FM>;
  for (var i = 0u; i < 2u * FM; i++) { total[i] = Result(); }
  for (var k0 = 0u; k0 < P.k; k0 += KT) {
    for (var t = lane; t < TILE * KT / 4u; t += LANES) {
      var v = vec4f();
#if TA
      let k = t / (TILE / 4u);
      let m = (t % (TILE / 4u)) * 4u;
      let at = a0 + (k0 + k) * P.lda + m0 + m;
      if (k0 + k < P.k) {
#if AVEC == 4
        if (m0 + m < P.m) { v = A_load(at / 4u); }
#else
        for (var j = 0u; j < 4u; j++) { if (m0 + m + j < P.m) { v[j] = A_load(at + j); } }
#endif
      }
      for (var j = 0u; j < 4u; j++) { tile_a[(m + j) * S + k] = f16(v[j]); }
#else
      let k = (t % 8u) * 4u;
      let m = t / 8u;
      let at = a0 + (m0 + m) * P.lda + k0 + k;
      if (m0 + m < P.m) {
#if AVEC == 4
        if (k0 + k < P.k) { v = A_load(at / 4u); }
#else
        for (var j = 0u; j < 4u; j++) { if (k0 + k + j < P.k) { v[j] = A_load(at + j); } }
#endif
      }
      for (var j = 0u; j < 4u; j++) { tile_a[m * S + k + j] = f16(v[j]); }
#endif
    }
    for (var t = lane; t < TILE * KT / 4u; t += LANES) {
      var v = vec4f();
#if TB
      let k = (t % 8u) * 4u;
      let n = t / 8u;
      let at = b0 + (n0 + n) * P.ldb + k0 + k;
      if (n0 + n < P.n) {
#if BVEC == 4
        if (k0 + k < P.k) { v = B_load(at / 4u); }
#else
        for (var j = 0u; j < 4u; j++) { if (k0 + k + j < P.k) { v[j] = B_load(at + j); } }
#endif
      }
      for (var j = 0u; j < 4u; j++) { tile_b[n * S + k + j] = f16(v[j]); }
#else
      let k = t / (TILE / 4u);
      let n = (t % (TILE / 4u)) * 4u;
      let at = b0 + (k0 + k) * P.ldb + n0 + n;
      if (k0 + k < P.k) {
#if BVEC == 4
        if (n0 + n < P.n) { v = B_load(at / 4u); }
#else
        for (var j = 0u; j < 4u; j++) { if (n0 + n + j < P.n) { v[j] = B_load(at + j); } }
#endif
      }
      for (var j = 0u; j < 4u; j++) { tile_b[(n + j) * S + k] = f16(v[j]); }
#endif
    }
    workgroupBarrier();
    for (var k = 0u; k < KT; k += 16u) {
      var left: array<Left, FM>;
      for (var i = 0u; i < FM; i++) { left[i] = subgroupMatrixLoad<Left, row_major>(&tile_a, (gm + 16u * i) * S + k, S); }
      for (var j = 0u; j < 2u; j++) {
        let right = subgroupMatrixLoad<Right, col_major>(&tile_b, (gn + 16u * j) * S + k, S);
        for (var i = 0u; i < FM; i++) { total[2u * i + j] = subgroupMatrixMultiplyAccumulate(left[i], right, total[2u * i + j]); }
      }
    }
    workgroupBarrier();
  }
  for (var f = 0u; f < 2u * FM; f++) {
    subgroupMatrixStore<row_major>(&staged, group * 256u, total[f], 16u);
    workgroupBarrier();
    for (var e = inner; e < 256u; e += 32u) {
      let m = m0 + gm + 16u * (f / 2u) + e / 16u;
      let n = n0 + gn + 16u * (f % 2u) + e % 16u;
      if (m < P.m && n < P.n) {
        let i = wg.z * P.zc + m * P.ldc + n;
        var value = P.alpha * staged[group * 256u + e];
        if (P.accumulate != 0u) { value += C_load(P.c0 + i); }
#if ADD
        value += D_load(P.d0 + i);
#endif
        C_store(P.c0 + i, value);
      }
    }
    workgroupBarrier();
  }
}
