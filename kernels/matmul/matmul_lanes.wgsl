// Purpose: v2b of the ladder, for CPU adapters with subgroups: a workgroup is one subgroup of W lanes, each lane loads different
//   rows of A and hands them to the others: ROWS x 4*COLS*W outputs cost ROWS + 4*COLS*W scalar loads a term, which CPU drivers do one by one.
// Formula: C[z,m,n] = alpha * sum_k A[z,m,k] * B[z,k,n] (+ C[z,m,n] if accumulate) (+ D[z,m,n] under ADD).
// Shapes: A [Z,M,K] or [Z,K,M] (TA); B [Z,K,N] or [Z,N,K] (TB); C, D [Z,M,N]; strides and offsets in elements.
// Bindings: A, B, C, and D under ADD (f32 or f16 storage each).
// Constants: W 4, 8 or 16 (must be the width of every subgroup); TA, TB; STEP 2 (K even) or 1; BVEC 4 (without TB) or 1; under STEP 2 AVEC = 2 without TA
//   and BVEC = 2 with TB (lda, ldb, offsets even); CVEC 4 or 1; ROWS a multiple of W; COLS;
//   grid x = N/(4*COLS*W), y = M/ROWS, z = Z. Loop bounds are data.
// Numerics: as matmul_generic, to the bit: f32 sums in blocks of 256 terms, blocks added in order; one rounding at the store.
enable subgroups;
#include "lib/input.wgsl" NAME=A BINDING=1 VEC=$(AVEC)
#include "lib/input.wgsl" NAME=B BINDING=2 VEC=$(BVEC)
#include "lib/tensor.wgsl" NAME=C BINDING=3 VEC=$(CVEC)
#if ADD
#include "lib/input.wgsl" NAME=D BINDING=4 VEC=$(CVEC)
#endif
#include "lib/matmul_params.wgsl"
const TILE = $(ROWS)u * $(COLS)u;
const PARTS = $(ROWS)u / $(W)u;

@compute @workgroup_size($(W))
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let m0 = wg.y * $(ROWS)u;
  var n0: array<u32, $(COLS)>;
  for (var v = 0u; v < $(COLS)u; v++) { n0[v] = 4u * ((wg.x * $(COLS)u + v) * $(W)u + lane); }
  let a0 = P.a0 + wg.z * P.za;
  let b0 = P.b0 + wg.z * P.zb;
  // Rows and columns beyond the edge read the last one and are not stored.
  var arow: array<u32, PARTS>;
  for (var i = 0u; i < PARTS; i++) {
    let m = min(m0 + i * $(W)u + lane, P.m - 1u);
#if TA
    arow[i] = a0 + m;
#else
    arow[i] = a0 + m * P.lda;
#endif
  }
#if TA
  let astep = P.lda;
#else
  let astep = 1u;
#endif
#if BVEC == 4
  var bcol: array<u32, $(COLS)>;
  for (var v = 0u; v < $(COLS)u; v++) { bcol[v] = (b0 + min(n0[v], (P.n - 1u) & ~3u)) / 4u; }
  let bstep = P.ldb / 4u;
#else
  var bcol: array<vec4u, $(COLS)>;
  for (var v = 0u; v < $(COLS)u; v++) {
    let n = min(vec4u(n0[v]) + vec4u(0u, 1u, 2u, 3u), vec4u(P.n - 1u));
#if TB
    bcol[v] = b0 + n * P.ldb;
#else
    bcol[v] = b0 + n;
#endif
  }
#if TB
  let bstep = 1u;
#else
  let bstep = P.ldb;
#endif
#endif
  var total = array<vec4f, TILE>();
  var k = 0u;
  while (k < P.k) {
    let end = min(k + 256u, P.k);
    var sum = array<vec4f, TILE>();
    // All loads before all arithmetic, as in matmul_generic.
#if B_QUANT && TB
    // A word holds several terms of a row: it stays in a register while they pass.
    for (; k < end; k += B_TERMS) {
      var word: array<vec4u, $(COLS)>;
      var scale: array<vec4f, $(COLS)>;
      for (var v = 0u; v < $(COLS)u; v++) {
        let at = (bcol[v] + k) / B_TERMS;
        let block = (bcol[v] + k) / 64u;
        word[v] = vec4u(B[at.x], B[at.y], B[at.z], B[at.w]);
        scale[v] = vec4f(B_scales[block.x], B_scales[block.y], B_scales[block.z], B_scales[block.w]);
      }
      let stop = min(k + B_TERMS, end);
      for (var q = k; q < stop; q += $(STEP)u) {
#if STEP == 2
        var a: array<vec2f, PARTS>;
        for (var i = 0u; i < PARTS; i++) { a[i] = A_load((arow[i] + q) / 2u); }
        var b0: array<vec4f, $(COLS)>;
        var b1: array<vec4f, $(COLS)>;
        for (var v = 0u; v < $(COLS)u; v++) {
          b0[v] = B_code(word[v]) * scale[v];
          b1[v] = B_code(word[v] >> vec4u(B_BITS)) * scale[v];
          word[v] >>= vec4u(2u * B_BITS);
        }
#include "lib/matmul_hand_out.wgsl" A=a[i].x B=b0[v]
#include "lib/matmul_hand_out.wgsl" A=a[i].y B=b1[v]
#else
        var a: array<f32, PARTS>;
        for (var i = 0u; i < PARTS; i++) { a[i] = A_load(arow[i] + q); }
        var b: array<vec4f, $(COLS)>;
        for (var v = 0u; v < $(COLS)u; v++) {
          b[v] = B_code(word[v]) * scale[v];
          word[v] >>= vec4u(B_BITS);
        }
#include "lib/matmul_hand_out.wgsl" A=a[i] B=b[v]
#endif
      }
    }
#elif STEP == 2
    // Where rows run along K, two terms a load halve the cache misses of rows a power of two apart, and are one word in f16.
    for (; k < end; k += 2u) {
      var a: array<vec2f, PARTS>;
#if TA
      for (var i = 0u; i < PARTS; i++) { a[i] = vec2f(A_load(arow[i] + k * astep), A_load(arow[i] + (k + 1u) * astep)); }
#else
      for (var i = 0u; i < PARTS; i++) { a[i] = A_load((arow[i] + k) / 2u); }
#endif
      var b0: array<vec4f, $(COLS)>;
      var b1: array<vec4f, $(COLS)>;
      for (var v = 0u; v < $(COLS)u; v++) {
#if TB
        let at = (bcol[v] + k) / 2u;
        let x = B_load(at.x);
        let y = B_load(at.y);
        let z = B_load(at.z);
        let w = B_load(at.w);
        b0[v] = vec4f(x.x, y.x, z.x, w.x);
        b1[v] = vec4f(x.y, y.y, z.y, w.y);
#else
        b0[v] = B_load(bcol[v] + k * bstep);
        b1[v] = B_load(bcol[v] + (k + 1u) * bstep);
#endif
      }
#include "lib/matmul_hand_out.wgsl" A=a[i].x B=b0[v]
#include "lib/matmul_hand_out.wgsl" A=a[i].y B=b1[v]
    }
#else
    for (; k < end; k++) {
      var a: array<f32, PARTS>;
      for (var i = 0u; i < PARTS; i++) { a[i] = A_load(arow[i] + k * astep); }
      var b: array<vec4f, $(COLS)>;
      for (var v = 0u; v < $(COLS)u; v++) {
#if BVEC == 4
        b[v] = B_load(bcol[v] + k * bstep);
#else
        let at = bcol[v] + k * bstep;
        b[v] = vec4f(B_load(at.x), B_load(at.y), B_load(at.z), B_load(at.w));
#endif
      }
#include "lib/matmul_hand_out.wgsl" A=a[i] B=b[v]
    }
#endif
    for (var i = 0u; i < TILE; i++) { total[i] += sum[i]; }
  }
  // A runtime loop over an array in memory: one copy of the store's code, where unrolled ones doubled the JIT time.
  let rows = min($(ROWS)u, max(P.m, m0) - m0);
  for (var t = 0u; t < rows * $(COLS)u; t++) {
    let n = n0[t % $(COLS)u];
    if (n >= P.n) { continue; }
    let i = wg.z * P.zc + (m0 + t / $(COLS)u) * P.ldc + n;
    var value = P.alpha * total[t];
#include "lib/matmul_store.wgsl"
  }
}
