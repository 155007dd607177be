// Purpose: v1 of the ladder: gradient by the queries, one thread a query row and head, one key at a time.
// Formula: P = exp(scale q k - L); dQ (+)= sum_j scale P (dO v_j - D) k_j over keys lo <= j < hi.
// Shapes: DO [B,T,HS]; QKV, DQKV [B,T,(H+2K)S]; R [B,T,4]; L, D [B,H,T]. Writes only the query heads of DQKV.
// Bindings: DO, QKV, DQKV (f32 or f16 storage), R (u32), L, D (f32).
// Constants: switches VEC (2 or 1), SIZE (S / VEC, rounded up); grid x = T H/64, z = B.
// Numerics: f32 sums over keys in order; probabilities from the stored log-sum-exp, at most 1.
#include "lib/tensor.wgsl" NAME=QKV BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DO BINDING=2 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DQKV BINDING=3 VEC=$(VEC)
@group(0) @binding(4) var<storage, read_write> R: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> L: array<f32>;
@group(0) @binding(6) var<storage, read_write> D: array<f32>;
#include "lib/attention.wgsl"
#include "lib/attention_params.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  // Neighbours are heads of one token: they attend equally many keys, and a single new token still fills the lanes.
  let t = gid.x / P.heads;
  let h = gid.x - t * P.heads;
  let b = gid.z;
  if (t >= P.tokens) { return; }
  let row = b * P.tokens + t;
  let q = row * P.qkvRow + h * P.size;
  let o = (row * P.heads + h) * P.size;
  let k = b * P.keys * P.kvRow + P.keyAt + (h / P.group) * P.size;
  let v = b * P.keys * P.kvRow + P.valueAt + (h / P.group) * P.size;
  let range = R[row];
  let stat = (b * P.heads + h) * P.tokens + t;
  let lse = L[stat];
  let delta = D[stat];
  var acc: array<Vec, $(SIZE)>;
  for (var c = 0u; c < P.size; c++) { acc[c] = Vec(); }
  for (var j = range.x; j < min(range.y, P.keys); j++) {
    var score = 0.0;
    var dp = 0.0;
    for (var c = 0u; c < P.size; c++) {
      score += vec_dot(QKV_load(q + c), QKV_load(k + j * P.kvRow + c));
      dp += vec_dot(DO_load(o + c), QKV_load(v + j * P.kvRow + c));
    }
    let ds = soft_exp(score * P.scale - lse) * (dp - delta) * P.scale;
    for (var c = 0u; c < P.size; c++) { acc[c] += ds * QKV_load(k + j * P.kvRow + c); }
  }
  for (var c = 0u; c < P.size; c++) {
    var g = acc[c];
    if (P.accumulate != 0u) { g += DQKV_load(q + c); }
    DQKV_store(q + c, g);
  }
}
