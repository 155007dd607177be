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
  return select(vec4f(), soft_exp4(s * P.scale - lse), (queries >= vec4u(range.x)) & (queries < min(vec4u(range.y), vec4u(P.tokens))));
}

// Stages a chunk of 32 query rows: of dO, or of the queries.
fn right(x: u32, y: u32, rows: u32, base: u32, last: u32, h: u32, c: u32, outputs: bool) {
  if (outputs) { DO_right(x, y, rows, base, last, P.heads * P.size, h * P.size, c); }
  else { QKV_right(x, y, rows, base, last, P.qkvRow, h * P.size, c); }
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let x = lane & 7u;
  let y = lane >> 3u;
  let base = wg.x * 64u;
  let last = P.tokens - 1u;
  let rows = wg.z * P.tokens;
  let k = P.keyAt + wg.y * P.size;
  let v = P.valueAt + wg.y * P.size;
  let span = span_of(lane, rows, base, 2u);
  let end = min(span.y, P.tokens);
  let tokens = min(vec4u(y, y + 16u, y + 32u, y + 48u) + base, vec4u(last));
  let range0 = range_of(rows, tokens.x, 2u);
  let range1 = range_of(rows, tokens.y, 2u);
  let range2 = range_of(rows, tokens.z, 2u);
  let range3 = range_of(rows, tokens.w, 2u);
  let width = size4();
  // dV, then dK.
  var acc: array<Scores, 2u * CHUNKS>;
  for (var c = 0u; c < 2u * CHUNKS; c++) { acc[c] = Scores(); }
  for (var h = wg.y * P.group; h < (wg.y + 1u) * P.group; h++) {
    for (var i = span.x; i < end; i += 32u) {
      // First pass: scores; second: dP. Both transposed, a row a key.
      var s = Scores();
      var dp = Scores();
      for (var pass_ = 0u; pass_ < 2u; pass_++) {
        s = dp;
        dp = Scores();
        for (var c = 0u; c < width; c += 8u) {
          workgroupBarrier();
          QKV_left(x, y, rows, base, last, P.qkvRow, select(k, v, pass_ == 1u), c);
          right(x, y, rows, i, end - 1u, h, c, pass_ == 1u);
          workgroupBarrier();
          dp = chunk_dots(dp, x, y, min(8u, width - c));
        }
      }
      let queries = vec4u(0u, 8u, 16u, 24u) + i + x;
      let at = (wg.z * P.heads + h) * P.tokens + min(queries, vec4u(end - 1u));
      let lse = vec4f(L[at.x], L[at.y], L[at.z], L[at.w]);
      let mean = vec4f(D[at.x], D[at.y], D[at.z], D[at.w]);
      var w = Scores(
        weights(s.s0, lse, queries, range0),
        weights(s.s1, lse, queries, range1),
        weights(s.s2, lse, queries, range2),
        weights(s.s3, lse, queries, range3));
      for (var pass_ = 0u; pass_ < 2u; pass_++) {
        for (var c = 0u; c < CHUNKS; c++) {
          workgroupBarrier();
          if (c == 0u) { put_weights(x, y, w); }
          right(x, y, rows, i, end - 1u, h, c * 8u, pass_ == 0u);
          workgroupBarrier();
          let a = pass_ * CHUNKS + c;
          acc[a] = chunk_mix(acc[a], x, y, min(8u, end - i));
        }
        w = Scores(
          w.s0 * (dp.s0 - mean) * P.scale, w.s1 * (dp.s1 - mean) * P.scale, w.s2 * (dp.s2 - mean) * P.scale, w.s3 * (dp.s3 - mean) * P.scale);
      }
    }
  }
  for (var r = 0u; r < P.rows; r++) {
    let t = base + y + 16u * r;
    if (t > last) { break; }
    let row = (rows + t) * P.qkvRow;
    for (var c = 0u; c < 2u * CHUNKS; c++) {
      let value = c < CHUNKS;
      DQKV_put(row + select(k, v, value), select(c - CHUNKS, c, value) * 8u + x, row_of(acc[c], r), P.accumulate != 0u);
    }
  }
}
