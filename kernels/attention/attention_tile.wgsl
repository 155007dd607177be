// Purpose: v3 of the ladder, for GPUs: 64 query rows a workgroup against tiles of 32 keys in workgroup memory, 4 x 4 scores a thread.
// Formula: O = softmax(scale Q K^T over keys lo <= j < hi) V; L = max + log(sum exp(score - max)).
// Shapes: QKV [B,T,(H+2K)S]; R [B,T,4] u32 (lo, hi, qlo, qhi); O [B,T,HS]; L [B,H,T]; with CACHED also KV [B,C,2KS].
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

// Largest (or sum) of a row's eight strands.
fn strand_max(row: u32) -> f32 {
  var m = STRANDS[row * 8u];
  for (var i = 1u; i < 8u; i++) { m = max(m, STRANDS[row * 8u + i]); }
  return m;
}
fn strand_sum(row: u32) -> f32 {
  var m = STRANDS[row * 8u];
  for (var i = 1u; i < 8u; i++) { m += STRANDS[row * 8u + i]; }
  return m;
}
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
  let k = b * P.keys * P.kvRow + P.keyAt + (h / P.group) * P.size;
  let v = b * P.keys * P.kvRow + P.valueAt + (h / P.group) * P.size;
  var own = vec2u();
  if (base + lane < P.tokens) { own = R[b * P.tokens + base + lane].xy; }
  let span = span_of(lane, own);
  let end = min(span.y, P.keys);
  let rows = b * P.tokens + min(vec4u(y, y + 16u, y + 32u, y + 48u) + base, vec4u(last));
  let range0 = R[rows.x].xy;
  let range1 = R[rows.y].xy;
  let range2 = R[rows.z].xy;
  let range3 = R[rows.w].xy;
  let q = rows * P.qkvRow + h * P.size;
  let width = size4();
  var acc: array<Scores, CHUNKS>;
  for (var c = 0u; c < CHUNKS; c++) { acc[c] = Scores(); }
  var high = vec4f(MASKED);
  var total = vec4f();
  for (var j = span.x; j < end; j += 32u) {
    let near = min(j + y, end - 1u) * P.kvRow;
    let far = min(j + y + 16u, end - 1u) * P.kvRow;
    var s = Scores();
    for (var c = 0u; c < width; c += 8u) {
      workgroupBarrier();
      LEFT[y * 9u + x] = QKV_four(q.x, c + x);
      LEFT[y * 9u + 144u + x] = QKV_four(q.y, c + x);
      LEFT[y * 9u + 288u + x] = QKV_four(q.z, c + x);
      LEFT[y * 9u + 432u + x] = QKV_four(q.w, c + x);
      RIGHT[y * 9u + x] = $(SOURCE)_four(k + near, c + x);
      RIGHT[y * 9u + 144u + x] = $(SOURCE)_four(k + far, c + x);
      workgroupBarrier();
      s = chunk_dots(s, x, y, min(8u, width - c));
    }
    let keys = vec4u(0u, 8u, 16u, 24u) + j + x;
    s = Scores(mask(s.s0, keys, range0), mask(s.s1, keys, range1), mask(s.s2, keys, range2), mask(s.s3, keys, range3));
    STRANDS[y * 8u + x] = vec_max(s.s0);
    STRANDS[(y + 16u) * 8u + x] = vec_max(s.s1);
    STRANDS[(y + 32u) * 8u + x] = vec_max(s.s2);
    STRANDS[(y + 48u) * 8u + x] = vec_max(s.s3);
    workgroupBarrier();
    let next = max(high, vec4f(strand_max(y), strand_max(y + 16u), strand_max(y + 32u), strand_max(y + 48u)));
    let keep = soft_exp4(high - next);
    high = next;
    let p = Scores(weights(s.s0, next.x), weights(s.s1, next.y), weights(s.s2, next.z), weights(s.s3, next.w));
    total = total * keep + vec4f(vec_sum(p.s0), vec_sum(p.s1), vec_sum(p.s2), vec_sum(p.s3));
    put_weights(x, y, p);
    for (var c = 0u; c < CHUNKS; c++) {
      workgroupBarrier();
      RIGHT[y * 9u + x] = $(SOURCE)_four(v + near, c * 8u + x);
      RIGHT[y * 9u + 144u + x] = $(SOURCE)_four(v + far, c * 8u + x);
      workgroupBarrier();
      let a = acc[c];
      acc[c] = chunk_mix(Scores(a.s0 * keep.x, a.s1 * keep.y, a.s2 * keep.z, a.s3 * keep.w), x, y, min(8u, end - j));
    }
  }
  workgroupBarrier();
  STRANDS[y * 8u + x] = total.x;
  STRANDS[(y + 16u) * 8u + x] = total.y;
  STRANDS[(y + 32u) * 8u + x] = total.z;
  STRANDS[(y + 48u) * 8u + x] = total.w;
  workgroupBarrier();
  for (var r = 0u; r < 4u; r++) {
    let t = base + y + 16u * r;
    if (t > last) { break; }
    let sum = strand_sum(y + 16u * r);
    let any = sum > 0.0;
    let inverse = select(0.0, 1.0 / max(sum, 1e-30), any);
    let o = ((b * P.tokens + t) * P.heads + h) * P.size;
    for (var c = 0u; c < CHUNKS; c++) {
      let a = acc[c];
      var one = a.s0;
      if (r == 1u) { one = a.s1; }
      if (r == 2u) { one = a.s2; }
      if (r == 3u) { one = a.s3; }
      O_put(o, c * 8u + x, one * inverse, false);
    }
    if (x == 0u) { L[(b * P.heads + h) * P.tokens + t] = select(0.0, high[r] + log(max(sum, 1e-30)), any); }
  }
}
