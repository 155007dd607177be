// Purpose: v3 of the ladder, for GPUs: gradient by the queries, 64 query rows a workgroup against tiles of 32 keys.
// Formula: P = exp(scale q k - L); dQ (+)= sum_j scale P (dO v_j - D) k_j over keys lo <= j < hi.
// Shapes: DO [B,T,HS]; QKV, DQKV [B,T,(H+2K)S]; R [B,T,4]; L, D [B,H,T]. Writes only the query heads of DQKV.
// Bindings: DO, QKV, DQKV (f32 or f16 storage), R (u32), L, D (f32).
// Constants: switches VEC (4 or 1), SIZE (S / VEC, rounded up); grid x = T/64, y = H, z = B.
// Numerics: f32 sums over tiles of 32 keys in order; probabilities from the stored log-sum-exp, at most 1.
#include "lib/tensor.wgsl" NAME=QKV BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DO BINDING=2 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DQKV BINDING=3 VEC=$(VEC)
@group(0) @binding(4) var<storage, read_write> R: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> L: array<f32>;
@group(0) @binding(6) var<storage, read_write> D: array<f32>;
#include "lib/attention_params.wgsl"
#include "lib/attention.wgsl"
#include "lib/attention_tile.wgsl"
#include "lib/attention_four.wgsl" NAME=QKV
#include "lib/attention_four.wgsl" NAME=DO
#include "lib/attention_four.wgsl" NAME=DQKV
const CHUNKS = ($(SIZE)u * $(VEC)u + 31u) / 32u;

fn slopes(s: vec4f, dp: vec4f, lse: f32, mean: f32, keys: vec4u, range: vec2u) -> vec4f {
  let ds = soft_exp4(s * P.scale - lse) * (dp - mean) * P.scale;
  return select(vec4f(), ds, (keys >= vec4u(range.x)) & (keys < vec4u(range.y)));
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let x = lane & 7u;
  let y = lane >> 3u;
  let base = wg.x * 64u;
  let h = wg.y;
  let last = P.tokens - 1u;
  let rows = wg.z * P.tokens;
  let k = P.keyAt + (h / P.group) * P.size;
  let v = P.valueAt + (h / P.group) * P.size;
  let span = span_of(lane, rows, base, 0u);
  let end = min(span.y, P.keys);
  let tokens = min(vec4u(y, y + 16u, y + 32u, y + 48u) + base, vec4u(last));
  let range0 = range_of(rows, tokens.x, 0u);
  let range1 = range_of(rows, tokens.y, 0u);
  let range2 = range_of(rows, tokens.z, 0u);
  let range3 = range_of(rows, tokens.w, 0u);
  let at = (wg.z * P.heads + h) * P.tokens + tokens;
  let lse = vec4f(L[at.x], L[at.y], L[at.z], L[at.w]);
  let mean = vec4f(D[at.x], D[at.y], D[at.z], D[at.w]);
  let width = size4();
  var acc: array<Scores, CHUNKS>;
  for (var c = 0u; c < CHUNKS; c++) { acc[c] = Scores(); }
  for (var j = span.x; j < end; j += 32u) {
    // First pass: scores; second: dP.
    var s = Scores();
    var dp = Scores();
    for (var pass_ = 0u; pass_ < 2u; pass_++) {
      s = dp;
      dp = Scores();
      for (var c = 0u; c < width; c += 8u) {
        workgroupBarrier();
        if (pass_ == 0u) { QKV_left(x, y, rows, base, last, P.qkvRow, h * P.size, c); }
        else { DO_left(x, y, rows, base, last, P.heads * P.size, h * P.size, c); }
        QKV_right(x, y, rows, j, end - 1u, P.kvRow, select(k, v, pass_ == 1u), c);
        workgroupBarrier();
        dp = chunk_dots(dp, x, y, min(8u, width - c));
      }
    }
    let index = vec4u(0u, 8u, 16u, 24u) + j + x;
    let ds = Scores(
      slopes(s.s0, dp.s0, lse.x, mean.x, index, range0),
      slopes(s.s1, dp.s1, lse.y, mean.y, index, range1),
      slopes(s.s2, dp.s2, lse.z, mean.z, index, range2),
      slopes(s.s3, dp.s3, lse.w, mean.w, index, range3));
    for (var c = 0u; c < CHUNKS; c++) {
      workgroupBarrier();
      if (c == 0u) { put_weights(x, y, ds); }
      QKV_right(x, y, rows, j, end - 1u, P.kvRow, k, c * 8u);
      workgroupBarrier();
      acc[c] = chunk_mix(acc[c], x, y, min(8u, end - j));
    }
  }
  for (var r = 0u; r < P.rows; r++) {
    let t = base + y + 16u * r;
    if (t > last) { break; }
    for (var c = 0u; c < CHUNKS; c++) { DQKV_put((rows + t) * P.qkvRow + h * P.size, c * 8u + x, row_of(acc[c], r), P.accumulate != 0u); }
  }
}
