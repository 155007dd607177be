// Purpose: v1 of the ladder: gradients by keys and values, one thread a key row and kv head, one query at a time.
// Formula: dV (+)= sum_i P dO_i; dK (+)= sum_i scale P (dO_i v - D_i) q_i over the group's heads and queries qlo <= i < qhi.
// Shapes: DO [B,T,HS]; QKV, DQKV [B,T,(H+2K)S]; R [B,T,4]; L, D [B,H,T]. Writes the key and value heads of DQKV.
// Bindings: DO, QKV, DQKV (f32 or f16 storage), R (u32), L, D (f32).
// Constants: switches VEC (2 or 1), SIZE (S / VEC, rounded up); grid x = T/64, y = K, z = B.
// Numerics: f32 sums, heads of the group in order, queries in order within each.
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
  let t = gid.x;
  let b = gid.z;
  if (t >= P.tokens) { return; }
  let row = b * P.tokens + t;
  let k = row * P.qkvRow + P.keyAt + gid.y * P.size;
  let v = row * P.qkvRow + P.valueAt + gid.y * P.size;
  let range = R[row];
  var dk: array<Vec, $(SIZE)>;
  var dv: array<Vec, $(SIZE)>;
  for (var c = 0u; c < P.size; c++) {
    dk[c] = Vec();
    dv[c] = Vec();
  }
  for (var h = gid.y * P.group; h < (gid.y + 1u) * P.group; h++) {
    for (var i = range.z; i < min(range.w, P.tokens); i++) {
      let query = b * P.tokens + i;
      let q = query * P.qkvRow + h * P.size;
      let o = (query * P.heads + h) * P.size;
      var score = 0.0;
      var dp = 0.0;
      for (var c = 0u; c < P.size; c++) {
        score += vec_dot(QKV_load(q + c), QKV_load(k + c));
        dp += vec_dot(DO_load(o + c), QKV_load(v + c));
      }
      let stat = (b * P.heads + h) * P.tokens + i;
      let p = soft_exp(score * P.scale - L[stat]);
      let ds = p * (dp - D[stat]) * P.scale;
      for (var c = 0u; c < P.size; c++) {
        dk[c] += ds * QKV_load(q + c);
        dv[c] += p * DO_load(o + c);
      }
    }
  }
  for (var c = 0u; c < P.size; c++) {
    var gk = dk[c];
    var gv = dv[c];
    if (P.accumulate != 0u) {
      gk += DQKV_load(k + c);
      gv += DQKV_load(v + c);
    }
    DQKV_store(k + c, gk);
    DQKV_store(v + c, gv);
  }
}
