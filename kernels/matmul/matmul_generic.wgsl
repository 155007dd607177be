// Purpose: v2 of the ladder, the kernel of CPU adapters: no barrier, no shared memory; each lane keeps ROWS x 4*COLS outputs
//   in registers, so one load feeds 8 multiply-adds instead of one (naive). 
// Formula: C[z,m,n] = alpha * sum_k A[z,m,k] * B[z,k,n] (+ C[z,m,n] if accumulate) (+ D[z,m,n] under ADD).
// Shapes: A [Z,M,K] or [Z,K,M] (TA); B [Z,K,N] or [Z,N,K] (TB); C, D [Z,M,N]; strides and offsets in elements.
// Bindings: A, B, C, and D under ADD (f32 or f16 storage each).
// Constants: TA, TB; AVEC 4 (M, lda, offset multiples of 4, only with TA) or 1; BVEC 4 (without TB) or 1; AVEC = BVEC = 2 (K, lda, ldb, offsets even, TB without TA); CVEC 4 or 1; ROWS a multiple of 4, COLS, LANES,
//   HIGH (2 with TB: fewer different rows of B in flight than the cache has ways); grid x = N*HIGH/(4*COLS*LANES), y = M/(ROWS*HIGH), z = Z. Loop bounds are data: constants would cost seconds of JIT.
// Numerics: f32 sums in blocks of 256 terms, blocks added in order; one rounding at the store.
#include "lib/input.wgsl" NAME=A BINDING=1 VEC=$(AVEC)
#include "lib/input.wgsl" NAME=B BINDING=2 VEC=$(BVEC)
#include "lib/tensor.wgsl" NAME=C BINDING=3 VEC=$(CVEC)
#if ADD
#include "lib/input.wgsl" NAME=D BINDING=4 VEC=$(CVEC)
#endif
#include "lib/matmul_params.wgsl"
const TILE = $(ROWS)u * $(COLS)u;

@compute @workgroup_size($(LANES))
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Lanes stand HIGH by LANES / HIGH; neighbouring lanes of a row take neighbouring groups of four columns.
  let m0 = (wg.y * $(HIGH)u + lane % $(HIGH)u) * $(ROWS)u;
  let wide = $(LANES)u / $(HIGH)u;
  var n0: array<u32, $(COLS)>;
  for (var v = 0u; v < $(COLS)u; v++) { n0[v] = 4u * ((wg.x * $(COLS)u + v) * wide + lane / $(HIGH)u); }
  let a0 = P.a0 + wg.z * P.za;
  let b0 = P.b0 + wg.z * P.zb;
  // Rows and columns beyond the edge read the last one and are not stored.
#if TA && AVEC == 4
  var arow: array<u32, $(ROWS)>;
  for (var r = 0u; r < $(ROWS)u; r += 4u) { arow[r] = (a0 + min(m0 + r, P.m - 4u)) / 4u; }
  let astep = P.lda / 4u;
#elif TA
  var arow: array<u32, $(ROWS)>;
  for (var r = 0u; r < $(ROWS)u; r++) { arow[r] = a0 + min(m0 + r, P.m - 1u); }
  let astep = P.lda;
#else
  var arow: array<u32, $(ROWS)>;
  for (var r = 0u; r < $(ROWS)u; r++) { arow[r] = (a0 + min(m0 + r, P.m - 1u) * P.lda) / $(AVEC)u; }
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
    bcol[v] = (b0 + n * P.ldb) / $(BVEC)u;
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
    // All loads before all arithmetic, A before B: CPU drivers load lane by lane behind branches, and a value that is
    // spilled while its lanes arrive costs a trip through memory a lane.
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
      for (var q = k; q < stop; q++) {
        var a: array<f32, $(ROWS)>;
        for (var r = 0u; r < $(ROWS)u; r++) { a[r] = A_load(arow[r] + q); }
        var b: array<vec4f, $(COLS)>;
        for (var v = 0u; v < $(COLS)u; v++) {
          b[v] = B_code(word[v]) * scale[v];
          word[v] >>= vec4u(B_BITS);
        }
        for (var r = 0u; r < $(ROWS)u; r++) {
          for (var v = 0u; v < $(COLS)u; v++) { sum[r * $(COLS)u + v] += a[r] * b[v]; }
        }
      }
    }
#elif BVEC == 2
    // Both rows run along K: two terms a load halve the cache misses of rows a power of two apart, and are one word in f16.
    for (; k < end; k += 2u) {
      var a: array<vec2f, $(ROWS)>;
      for (var r = 0u; r < $(ROWS)u; r++) { a[r] = A_load(arow[r] + k / 2u); }
      var b0: array<vec4f, $(COLS)>;
      var b1: array<vec4f, $(COLS)>;
      for (var v = 0u; v < $(COLS)u; v++) {
        let at = bcol[v] + k / 2u;
        let x = B_load(at.x);
        let y = B_load(at.y);
        let z = B_load(at.z);
        let w = B_load(at.w);
        b0[v] = vec4f(x.x, y.x, z.x, w.x);
        b1[v] = vec4f(x.y, y.y, z.y, w.y);
      }
      for (var r = 0u; r < $(ROWS)u; r++) {
        for (var v = 0u; v < $(COLS)u; v++) { sum[r * $(COLS)u + v] += a[r].x * b0[v]; }
      }
      for (var r = 0u; r < $(ROWS)u; r++) {
        for (var v = 0u; v < $(COLS)u; v++) { sum[r * $(COLS)u + v] += a[r].y * b1[v]; }
      }
    }
#else
    for (; k < end; k++) {
#if TA && AVEC == 4
      var a: array<vec4f, $(ROWS) / 4>;
      for (var r = 0u; r < $(ROWS)u; r += 4u) { a[r / 4u] = A_load(arow[r] + k * astep); }
#else
      var a: array<f32, $(ROWS)>;
      for (var r = 0u; r < $(ROWS)u; r++) { a[r] = A_load(arow[r] + k * astep); }
#endif
      var b: array<vec4f, $(COLS)>;
      for (var v = 0u; v < $(COLS)u; v++) {
#if BVEC == 4
        b[v] = B_load(bcol[v] + k * bstep);
#else
        let at = bcol[v] + k * bstep;
        b[v] = vec4f(B_load(at.x), B_load(at.y), B_load(at.z), B_load(at.w));
#endif
      }
#if TA && AVEC == 4
      for (var r = 0u; r < $(ROWS)u; r++) {
        for (var v = 0u; v < $(COLS)u; v++) { sum[r * $(COLS)u + v] += a[r / 4u][r % 4u] * b[v]; }
      }
#else
      for (var r = 0u; r < $(ROWS)u; r++) {
        for (var v = 0u; v < $(COLS)u; v++) { sum[r * $(COLS)u + v] += a[r] * b[v]; }
      }
#endif
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
