// Purpose: v3 of the ladder, for GPUs: gradients by keys and values, 64 key rows a workgroup against tiles of 32 queries.
// Formula: dV (+)= sum_i P dO_i; dK (+)= sum_i scale P (dO_i v - D_i) q_i over the group's heads and queries qlo <= i < qhi.
// Shapes: DO [B,T,HS]; QKV, DQKV [B,T,(H+2K)S]; R [B,T,4]; L, D [B,H,T]. Writes the key and value heads of DQKV.
// Bindings: DO, QKV, DQKV (f32 or f16 storage), R (u32), L, D (f32).
// Constants: switches VEC (4 or 1), SIZE (S / VEC, rounded up); grid x = T/64, y = K, z = B.
// Numerics: f32 sums, heads of the group in order, tiles of 32 queries in order within each.
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

fn weights(s: vec4f, lse: vec4f, queries: vec4u, range: vec2u) -> vec4f {
  return select(vec4f(), soft_exp4(s * P.scale - lse), (queries >= vec4u(range.x)) & (queries < vec4u(range.y)));
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let x = lane & 7u;
  let y = lane >> 3u;
  let base = wg.x * 64u;
  let b = wg.z;
  let last = P.tokens - 1u;
  var own = vec2u();
  if (base + lane < P.tokens) { own = R[b * P.tokens + base + lane].zw; }
  let span = span_of(lane, own);
  let end = min(span.y, P.tokens);
  let rows = b * P.tokens + min(vec4u(y, y + 16u, y + 32u, y + 48u) + base, vec4u(last));
  let range0 = R[rows.x].zw;
  let range1 = R[rows.y].zw;
  let range2 = R[rows.z].zw;
  let range3 = R[rows.w].zw;
  let k = rows * P.qkvRow + P.keyAt + wg.y * P.size;
  let v = rows * P.qkvRow + P.valueAt + wg.y * P.size;
  let width = size4();
  var dk: array<Scores, CHUNKS>;
  var dv: array<Scores, CHUNKS>;
  for (var c = 0u; c < CHUNKS; c++) {
    dk[c] = Scores();
    dv[c] = Scores();
  }
  for (var h = wg.y * P.group; h < (wg.y + 1u) * P.group; h++) {
    for (var i = span.x; i < end; i += 32u) {
      let near = b * P.tokens + min(i + y, end - 1u);
      let far = b * P.tokens + min(i + y + 16u, end - 1u);
      let qNear = near * P.qkvRow + h * P.size;
      let qFar = far * P.qkvRow + h * P.size;
      let oNear = (near * P.heads + h) * P.size;
      let oFar = (far * P.heads + h) * P.size;
      var s = Scores();
      var dp = Scores();
      for (var c = 0u; c < width; c += 8u) {
        workgroupBarrier();
        LEFT[y * 9u + x] = QKV_four(k.x, c + x);
        LEFT[y * 9u + 144u + x] = QKV_four(k.y, c + x);
        LEFT[y * 9u + 288u + x] = QKV_four(k.z, c + x);
        LEFT[y * 9u + 432u + x] = QKV_four(k.w, c + x);
        RIGHT[y * 9u + x] = QKV_four(qNear, c + x);
        RIGHT[y * 9u + 144u + x] = QKV_four(qFar, c + x);
        workgroupBarrier();
        s = chunk_dots(s, x, y, min(8u, width - c));
        workgroupBarrier();
        LEFT[y * 9u + x] = QKV_four(v.x, c + x);
        LEFT[y * 9u + 144u + x] = QKV_four(v.y, c + x);
        LEFT[y * 9u + 288u + x] = QKV_four(v.z, c + x);
        LEFT[y * 9u + 432u + x] = QKV_four(v.w, c + x);
        RIGHT[y * 9u + x] = DO_four(oNear, c + x);
        RIGHT[y * 9u + 144u + x] = DO_four(oFar, c + x);
        workgroupBarrier();
        dp = chunk_dots(dp, x, y, min(8u, width - c));
      }
      let queries = vec4u(0u, 8u, 16u, 24u) + i + x;
      let at = (b * P.heads + h) * P.tokens + min(queries, vec4u(end - 1u));
      let lse = vec4f(L[at.x], L[at.y], L[at.z], L[at.w]);
      let mean = vec4f(D[at.x], D[at.y], D[at.z], D[at.w]);
      let inside = queries < vec4u(end);
      let p = Scores(
        select(vec4f(), weights(s.s0, lse, queries, range0), inside),
        select(vec4f(), weights(s.s1, lse, queries, range1), inside),
        select(vec4f(), weights(s.s2, lse, queries, range2), inside),
        select(vec4f(), weights(s.s3, lse, queries, range3), inside));
      workgroupBarrier();
      put_weights(x, y, p);
      for (var c = 0u; c < CHUNKS; c++) {
        workgroupBarrier();
        RIGHT[y * 9u + x] = DO_four(oNear, c * 8u + x);
        RIGHT[y * 9u + 144u + x] = DO_four(oFar, c * 8u + x);
        workgroupBarrier();
        dv[c] = chunk_mix(dv[c], x, y, min(8u, end - i));
      }
      workgroupBarrier();
      put_weights(x, y, Scores(
        p.s0 * (dp.s0 - mean) * P.scale, p.s1 * (dp.s1 - mean) * P.scale, p.s2 * (dp.s2 - mean) * P.scale, p.s3 * (dp.s3 - mean) * P.scale));
      for (var c = 0u; c < CHUNKS; c++) {
        workgroupBarrier();
        RIGHT[y * 9u + x] = QKV_four(qNear, c * 8u + x);
        RIGHT[y * 9u + 144u + x] = QKV_four(qFar, c * 8u + x);
        workgroupBarrier();
        dk[c] = chunk_mix(dk[c], x, y, min(8u, end - i));
      }
    }
  }
  for (var r = 0u; r < 4u; r++) {
    if (base + y + 16u * r > last) { break; }
    for (var c = 0u; c < CHUNKS; c++) {
      let a = dk[c];
      let e = dv[c];
      var gk = a.s0;
      var gv = e.s0;
      if (r == 1u) {
        gk = a.s1;
        gv = e.s1;
      }
      if (r == 2u) {
        gk = a.s2;
        gv = e.s2;
      }
      if (r == 3u) {
        gk = a.s3;
        gv = e.s3;
      }
      DQKV_put(k[r], c * 8u + x, gk, P.accumulate != 0u);
      DQKV_put(v[r], c * 8u + x, gv, P.accumulate != 0u);
    }
  }
}
