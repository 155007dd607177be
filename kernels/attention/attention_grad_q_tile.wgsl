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
  let b = wg.z;
  let last = P.tokens - 1u;
  let k = b * P.keys * P.kvRow + P.keyAt + (h / P.group) * P.size;
  let v = b * P.keys * P.kvRow + P.valueAt + (h / P.group) * P.size;
  var own = vec2u();
  if (base + lane < P.tokens) { own = R[b * P.tokens + base + lane].xy; }
  let span = span_of(lane, own);
  let end = min(span.y, P.keys);
  let tokens = min(vec4u(y, y + 16u, y + 32u, y + 48u) + base, vec4u(last));
  let rows = b * P.tokens + tokens;
  let range0 = R[rows.x].xy;
  let range1 = R[rows.y].xy;
  let range2 = R[rows.z].xy;
  let range3 = R[rows.w].xy;
  let q = rows * P.qkvRow + h * P.size;
  let o = (rows * P.heads + h) * P.size;
  let at = (b * P.heads + h) * P.tokens + tokens;
  let lse = vec4f(L[at.x], L[at.y], L[at.z], L[at.w]);
  let mean = vec4f(D[at.x], D[at.y], D[at.z], D[at.w]);
  let width = size4();
  var acc: array<Scores, CHUNKS>;
  for (var c = 0u; c < CHUNKS; c++) { acc[c] = Scores(); }
  for (var j = span.x; j < end; j += 32u) {
    let near = min(j + y, end - 1u) * P.kvRow;
    let far = min(j + y + 16u, end - 1u) * P.kvRow;
    var s = Scores();
    var dp = Scores();
    for (var c = 0u; c < width; c += 8u) {
      workgroupBarrier();
      LEFT[y * 9u + x] = QKV_four(q.x, c + x);
      LEFT[y * 9u + 144u + x] = QKV_four(q.y, c + x);
      LEFT[y * 9u + 288u + x] = QKV_four(q.z, c + x);
      LEFT[y * 9u + 432u + x] = QKV_four(q.w, c + x);
      RIGHT[y * 9u + x] = QKV_four(k + near, c + x);
      RIGHT[y * 9u + 144u + x] = QKV_four(k + far, c + x);
      workgroupBarrier();
      s = chunk_dots(s, x, y, min(8u, width - c));
      workgroupBarrier();
      LEFT[y * 9u + x] = DO_four(o.x, c + x);
      LEFT[y * 9u + 144u + x] = DO_four(o.y, c + x);
      LEFT[y * 9u + 288u + x] = DO_four(o.z, c + x);
      LEFT[y * 9u + 432u + x] = DO_four(o.w, c + x);
      RIGHT[y * 9u + x] = QKV_four(v + near, c + x);
      RIGHT[y * 9u + 144u + x] = QKV_four(v + far, c + x);
      workgroupBarrier();
      dp = chunk_dots(dp, x, y, min(8u, width - c));
    }
    let keys = vec4u(0u, 8u, 16u, 24u) + j + x;
    workgroupBarrier();
    put_weights(x, y, Scores(
      slopes(s.s0, dp.s0, lse.x, mean.x, keys, range0),
      slopes(s.s1, dp.s1, lse.y, mean.y, keys, range1),
      slopes(s.s2, dp.s2, lse.z, mean.z, keys, range2),
      slopes(s.s3, dp.s3, lse.w, mean.w, keys, range3)));
    for (var c = 0u; c < CHUNKS; c++) {
      workgroupBarrier();
      RIGHT[y * 9u + x] = QKV_four(k + near, c * 8u + x);
      RIGHT[y * 9u + 144u + x] = QKV_four(k + far, c * 8u + x);
      workgroupBarrier();
      acc[c] = chunk_mix(acc[c], x, y, min(8u, end - j));
    }
  }
  for (var r = 0u; r < 4u; r++) {
    if (base + y + 16u * r > last) { break; }
    for (var c = 0u; c < CHUNKS; c++) {
      let a = acc[c];
      var one = a.s0;
      if (r == 1u) { one = a.s1; }
      if (r == 2u) { one = a.s2; }
      if (r == 3u) { one = a.s3; }
      DQKV_put(q[r], c * 8u + x, one, P.accumulate != 0u);
    }
  }
}
