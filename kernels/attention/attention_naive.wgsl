// Purpose: v1 of the ladder: attention forward, one thread a query row and head, one key at a time.
// Formula: O = softmax(scale Q K^T over keys lo <= j < hi) V, with CACHED over two such runs; L = max + log(sum exp(score - max)).
// Shapes: QKV [B,T,(H+2K)S]; R [B,T,4] u32 (lo, hi, qlo, qhi; CACHED: lo, hi, lo, hi); O [B,T,HS]; L [B,H,T]; CACHED: KV [B,C,2KS].
// Bindings: QKV, R, O, L, and KV if CACHED (f32 or f16 storage; L f32, R u32).
// Constants: switches VEC (2 or 1), SIZE (S / VEC, rounded up), CACHED, SOURCE (QKV, or KV if CACHED); grid x = T H/64, z = B.
// Numerics: f32; running maximum and sum over keys in order; a row without keys gives 0 and L = 0.
#include "lib/tensor.wgsl" NAME=QKV BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=O BINDING=2 VEC=$(VEC)
@group(0) @binding(3) var<storage, read_write> R: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> L: array<f32>;
#if CACHED
#include "lib/tensor.wgsl" NAME=KV BINDING=5 VEC=$(VEC)
#endif
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
  let k = b * P.keys * P.kvRow + P.keyAt + (h / P.group) * P.size;
  let v = b * P.keys * P.kvRow + P.valueAt + (h / P.group) * P.size;
  let range = R[row];
  var acc: array<Vec, $(SIZE)>;
  for (var c = 0u; c < P.size; c++) { acc[c] = Vec(); }
  var high = MASKED;
  var total = 0.0;
#if CACHED
  // Keys of a cache lie in two runs: what many sequences begin with, and a sequence's own. The bound, 4, is data.
  for (var run = 0u; run < P.rows; run += 2u) {
    let keys = select(range.xy, range.zw, vec2<bool>(run == 2u));
#else
  {
    let keys = range.xy;
#endif
    for (var j = keys.x; j < min(keys.y, P.keys); j++) {
      var score = 0.0;
      for (var c = 0u; c < P.size; c++) { score += vec_dot(QKV_load(q + c), $(SOURCE)_load(k + j * P.kvRow + c)); }
      score *= P.scale;
      let next = max(high, score);
      let keep = soft_exp(high - next);
      let p = soft_exp(score - next);
      high = next;
      total = total * keep + p;
      for (var c = 0u; c < P.size; c++) { acc[c] = acc[c] * keep + p * $(SOURCE)_load(v + j * P.kvRow + c); }
    }
  }
  let any = total > 0.0;
  let inverse = select(0.0, 1.0 / max(total, 1e-30), any);
  let o = row * P.heads * P.size + h * P.size;
  for (var c = 0u; c < P.size; c++) { O_store(o + c, acc[c] * inverse); }
  L[(b * P.heads + h) * P.tokens + t] = select(0.0, high + log(max(total, 1e-30)), any);
}
