// Purpose: v3 of the ladder, for GPUs: 64 query rows a workgroup against tiles of 32 keys in workgroup memory, 4 x 4 scores a thread.
// Formula: O = softmax(scale Q K^T over keys lo <= j < hi) V, with CACHED over two such runs; L = max + log(sum exp(score - max)).
// Shapes: QKV [B,T,(H+2K)S]; R [B,T,4] u32 (lo, hi, qlo, qhi; CACHED: lo, hi, lo, hi); O [B,T,HS]; L [B,H,T]; CACHED: KV [B,C,2KS].
// Bindings: QKV, R, O, L, and KV if CACHED (f32 or f16 storage; L f32, R u32).
// Constants: switches VEC (4 or 1), SIZE (S / VEC, rounded up), CACHED, SOURCE (QKV, or KV if CACHED); grid x = T/64, y = H, z = B.
// Numerics: f32; true maximum of each row and tile; sums over keys in eight strands of a row, joined at the end.
#include "lib/tensor.wgsl" NAME=QKV BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=O BINDING=2 VEC=$(VEC)
@group(0) @binding(3) var<storage, read_write> R: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> L: array<f32>;
#if CACHED
#include "lib/tensor.wgsl" NAME=KV BINDING=5 VEC=$(VEC)
#endif
#include "lib/attention_params.wgsl"
#include "lib/attention.wgsl"
#include "lib/attention_tile.wgsl"
#include "lib/attention_four.wgsl" NAME=QKV
#include "lib/attention_four.wgsl" NAME=O
#if CACHED
#include "lib/attention_four.wgsl" NAME=KV
#endif
const CHUNKS = ($(SIZE)u * $(VEC)u + 31u) / 32u;
var<workgroup> STRANDS: array<f32, 512>;

fn mask(s: vec4f, keys: vec4u, range: vec2u) -> vec4f {
  return select(vec4f(MASKED), s * P.scale, (keys >= vec4u(range.x)) & (keys < vec4u(range.y)));
}
// A masked score is far below any true one, unless the row has seen none yet: then its weight is set to 0 here.
fn weights(s: vec4f, high: f32) -> vec4f {
  return select(vec4f(), soft_exp4(s - high), s > vec4f(0.5 * MASKED));
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let x = lane & 7u;
  let y = lane >> 3u;
  let base = wg.x * 64u;
  let h = wg.y;
  let b = wg.z;
  let last = P.tokens - 1u;
  let queries = b * P.tokens;
  let keys = b * P.keys;
  let k = P.keyAt + (h / P.group) * P.size;
  let v = P.valueAt + (h / P.group) * P.size;
  let tokens = min(vec4u(y, y + 16u, y + 32u, y + 48u) + base, vec4u(last));
  let width = size4();
  var acc: array<Scores, CHUNKS>;
  for (var c = 0u; c < CHUNKS; c++) { acc[c] = Scores(); }
  var high = vec4f(MASKED);
  var total = vec4f();
#if CACHED
  // Keys of a cache lie in two runs: what many sequences begin with, and a sequence's own. The bound, 4, is data.
  for (var run = 0u; run < P.rows; run += 2u) {
#else
  {
    let run = 0u;
#endif
    let span = span_of(lane, queries, base, run);
    let end = min(span.y, P.keys);
    let range0 = range_of(queries, tokens.x, run);
    let range1 = range_of(queries, tokens.y, run);
    let range2 = range_of(queries, tokens.z, run);
    let range3 = range_of(queries, tokens.w, run);
    for (var j = span.x; j < end; j += 32u) {
      var s = Scores();
      for (var c = 0u; c < width; c += 8u) {
        workgroupBarrier();
        QKV_left(x, y, queries, base, last, P.qkvRow, h * P.size, c);
        $(SOURCE)_right(x, y, keys, j, end - 1u, P.kvRow, k, c);
        workgroupBarrier();
        s = chunk_dots(s, x, y, min(8u, width - c));
      }
      let index = vec4u(0u, 8u, 16u, 24u) + j + x;
      s = Scores(mask(s.s0, index, range0), mask(s.s1, index, range1), mask(s.s2, index, range2), mask(s.s3, index, range3));
      STRANDS[y * 8u + x] = vec_max(s.s0);
      STRANDS[y * 8u + 128u + x] = vec_max(s.s1);
      STRANDS[y * 8u + 256u + x] = vec_max(s.s2);
      STRANDS[y * 8u + 384u + x] = vec_max(s.s3);
      workgroupBarrier();
      var next = high;
      for (var i = 0u; i < P.rows * 2u; i++) {
        let at = y * 8u + i;
        next = max(next, vec4f(STRANDS[at], STRANDS[at + 128u], STRANDS[at + 256u], STRANDS[at + 384u]));
      }
      let keep = soft_exp4(high - next);
      high = next;
      let p = Scores(weights(s.s0, next.x), weights(s.s1, next.y), weights(s.s2, next.z), weights(s.s3, next.w));
      total = total * keep + vec4f(vec_sum(p.s0), vec_sum(p.s1), vec_sum(p.s2), vec_sum(p.s3));
      for (var c = 0u; c < CHUNKS; c++) {
        workgroupBarrier();
        if (c == 0u) { put_weights(x, y, p); }
        $(SOURCE)_right(x, y, keys, j, end - 1u, P.kvRow, v, c * 8u);
        workgroupBarrier();
        let a = acc[c];
        acc[c] = chunk_mix(Scores(a.s0 * keep.x, a.s1 * keep.y, a.s2 * keep.z, a.s3 * keep.w), x, y, min(8u, end - j));
      }
    }
  }
  // The strands were last read before the barriers of the values' product.
  STRANDS[y * 8u + x] = total.x;
  STRANDS[y * 8u + 128u + x] = total.y;
  STRANDS[y * 8u + 256u + x] = total.z;
  STRANDS[y * 8u + 384u + x] = total.w;
  workgroupBarrier();
  for (var r = 0u; r < P.rows; r++) {
    let t = base + y + 16u * r;
    if (t > last) { break; }
    var sum = 0.0;
    for (var i = 0u; i < P.rows * 2u; i++) { sum += STRANDS[y * 8u + 128u * r + i]; }
    let any = sum > 0.0;
    let inverse = select(0.0, 1.0 / max(sum, 1e-30), any);
    let o = ((queries + t) * P.heads + h) * P.size;
    for (var c = 0u; c < CHUNKS; c++) { O_put(o, c * 8u + x, row_of(acc[c], r) * inverse, false); }
    if (x == 0u) { L[(b * P.heads + h) * P.tokens + t] = select(0.0, high[r] + log(max(sum, 1e-30)), any); }
  }
}
