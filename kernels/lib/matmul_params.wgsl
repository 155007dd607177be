// What every matmul kernel is told: sizes, row strides, batch strides and offsets in elements, the factor, and whether
// C adds to what it holds. kpart, under SPLITK: the length of a part of K.
struct Params {
  m: u32, n: u32, k: u32,
  lda: u32, ldb: u32, ldc: u32,
  za: u32, zb: u32, zc: u32,
  a0: u32, b0: u32, c0: u32, d0: u32,
  alpha: f32,
  accumulate: u32,
#if SPLITK
  kpart: u32,
#endif
}
@group(0) @binding(0) var<uniform> P: Params;
