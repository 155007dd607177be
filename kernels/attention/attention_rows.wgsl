// Purpose: v2 of the ladder, for CPU adapters: four query rows a thread against blocks of four keys, no barriers.
// Formula: O = softmax(scale Q K^T over keys lo <= j < hi) V, with CACHED over two such runs; L = max + log(sum exp(score - max)).
// Shapes: QKV [B,T,(H+2K)S]; R [B,T,4] u32 (lo, hi, qlo, qhi; CACHED: lo, hi, lo, hi); O [B,T,HS]; L [B,H,T]; CACHED: KV [B,C,2KS].
// Bindings: QKV, R, O, L, and KV if CACHED (f32 or f16 storage; L f32, R u32).
// Constants: switches VEC (2 or 1), SIZE (S / VEC, rounded up), CACHED, SOURCE (QKV, or KV if CACHED); grid x = T/32, y = H, z = B.
// Numerics: f32; running maximum and sum over blocks of four keys in order; a row without keys gives 0 and L = 0.
#include "lib/tensor.wgsl" NAME=QKV BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=O BINDING=2 VEC=$(VEC)
@group(0) @binding(3) var<storage, read_write> R: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> L: array<f32>;
#if CACHED
#include "lib/tensor.wgsl" NAME=KV BINDING=5 VEC=$(VEC)
#endif
#include "lib/attention.wgsl"
#include "lib/attention_params.wgsl"

fn run_of(range: vec4u, run: u32) -> vec2u { return select(range.xy, range.zw, vec2<bool>(run == 2u)); }

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t0 = wg.x * 32u;
  let h = wg.y;
  let b = wg.z;
  let last = P.tokens - 1u;
  let k = b * P.keys * P.kvRow + P.keyAt + (h / P.group) * P.size;
  let v = b * P.keys * P.kvRow + P.valueAt + (h / P.group) * P.size;
  let row0 = b * P.tokens + min(t0 + 0u + lane, last);
  let q0 = row0 * P.qkvRow + h * P.size;
  let both0 = R[row0];
  var high0 = MASKED;
  var total0 = 0.0;
  let row1 = b * P.tokens + min(t0 + 8u + lane, last);
  let q1 = row1 * P.qkvRow + h * P.size;
  let both1 = R[row1];
  var high1 = MASKED;
  var total1 = 0.0;
  let row2 = b * P.tokens + min(t0 + 16u + lane, last);
  let q2 = row2 * P.qkvRow + h * P.size;
  let both2 = R[row2];
  var high2 = MASKED;
  var total2 = 0.0;
  let row3 = b * P.tokens + min(t0 + 24u + lane, last);
  let q3 = row3 * P.qkvRow + h * P.size;
  let both3 = R[row3];
  var high3 = MASKED;
  var total3 = 0.0;
  var acc0: array<Vec, $(SIZE)>;
  var acc1: array<Vec, $(SIZE)>;
  var acc2: array<Vec, $(SIZE)>;
  var acc3: array<Vec, $(SIZE)>;
  for (var c = 0u; c < P.size; c++) {
    acc0[c] = Vec();
    acc1[c] = Vec();
    acc2[c] = Vec();
    acc3[c] = Vec();
  }
#if CACHED
  // Keys of a cache lie in two runs: what many sequences begin with, and a sequence's own. The bound, 4, is data.
  for (var run = 0u; run < P.rows; run += 2u) {
#else
  {
    let run = 0u;
#endif
    // The group's keys: bounds equal for all lanes, so that a key is loaded once for all of them.
    var first = P.keys;
    var end = 0u;
    for (var t = t0; t < min(t0 + 32u, P.tokens); t++) {
      let range = run_of(R[b * P.tokens + t], run);
      if (range.x < range.y) {
        first = min(first, range.x);
        end = max(end, min(range.y, P.keys));
      }
    }
    let range0 = run_of(both0, run);
    let range1 = run_of(both1, run);
    let range2 = run_of(both2, run);
    let range3 = run_of(both3, run);
    for (var j = first; j < end; j += 4u) {
      let j0 = j * P.kvRow;
      let j1 = min(j + 1u, end - 1u) * P.kvRow;
      let j2 = min(j + 2u, end - 1u) * P.kvRow;
      let j3 = min(j + 3u, end - 1u) * P.kvRow;
      var s0 = vec4f();
      var s1 = vec4f();
      var s2 = vec4f();
      var s3 = vec4f();
      for (var c = 0u; c < P.size; c++) {
        let k0 = $(SOURCE)_load(k + j0 + c);
        let k1 = $(SOURCE)_load(k + j1 + c);
        let k2 = $(SOURCE)_load(k + j2 + c);
        let k3 = $(SOURCE)_load(k + j3 + c);
        let l0 = QKV_load(q0 + c);
        let l1 = QKV_load(q1 + c);
        let l2 = QKV_load(q2 + c);
        let l3 = QKV_load(q3 + c);
        s0 += vec_dots(l0, k0, k1, k2, k3);
        s1 += vec_dots(l1, k0, k1, k2, k3);
        s2 += vec_dots(l2, k0, k1, k2, k3);
        s3 += vec_dots(l3, k0, k1, k2, k3);
      }
      let keys = vec4u(j, j + 1u, j + 2u, j + 3u);
      let seen0 = (keys >= vec4u(range0.x)) & (keys < vec4u(range0.y));
      s0 = select(vec4f(MASKED), s0 * P.scale, seen0);
      let next0 = max(high0, vec_max(s0));
      let keep0 = soft_exp(high0 - next0);
      let p0 = select(vec4f(), soft_exp4(s0 - next0), seen0);
      total0 = total0 * keep0 + vec_sum(p0);
      high0 = next0;
      let seen1 = (keys >= vec4u(range1.x)) & (keys < vec4u(range1.y));
      s1 = select(vec4f(MASKED), s1 * P.scale, seen1);
      let next1 = max(high1, vec_max(s1));
      let keep1 = soft_exp(high1 - next1);
      let p1 = select(vec4f(), soft_exp4(s1 - next1), seen1);
      total1 = total1 * keep1 + vec_sum(p1);
      high1 = next1;
      let seen2 = (keys >= vec4u(range2.x)) & (keys < vec4u(range2.y));
      s2 = select(vec4f(MASKED), s2 * P.scale, seen2);
      let next2 = max(high2, vec_max(s2));
      let keep2 = soft_exp(high2 - next2);
      let p2 = select(vec4f(), soft_exp4(s2 - next2), seen2);
      total2 = total2 * keep2 + vec_sum(p2);
      high2 = next2;
      let seen3 = (keys >= vec4u(range3.x)) & (keys < vec4u(range3.y));
      s3 = select(vec4f(MASKED), s3 * P.scale, seen3);
      let next3 = max(high3, vec_max(s3));
      let keep3 = soft_exp(high3 - next3);
      let p3 = select(vec4f(), soft_exp4(s3 - next3), seen3);
      total3 = total3 * keep3 + vec_sum(p3);
      high3 = next3;
      for (var c = 0u; c < P.size; c++) {
        let v0 = $(SOURCE)_load(v + j0 + c);
        let v1 = $(SOURCE)_load(v + j1 + c);
        let v2 = $(SOURCE)_load(v + j2 + c);
        let v3 = $(SOURCE)_load(v + j3 + c);
        let acc0c = acc0[c];
        let acc1c = acc1[c];
        let acc2c = acc2[c];
        let acc3c = acc3[c];
        acc0[c] = acc0c * keep0 + vec_mix(p0, v0, v1, v2, v3);
        acc1[c] = acc1c * keep1 + vec_mix(p1, v0, v1, v2, v3);
        acc2[c] = acc2c * keep2 + vec_mix(p2, v0, v1, v2, v3);
        acc3[c] = acc3c * keep3 + vec_mix(p3, v0, v1, v2, v3);
      }
    }
  }
  if (t0 + 0u + lane < P.tokens) {
    let inverse = select(0.0, 1.0 / max(total0, 1e-30), total0 > 0.0);
    let o = (row0 * P.heads + h) * P.size;
    for (var c = 0u; c < P.size; c++) { O_store(o + c, acc0[c] * inverse); }
    L[(b * P.heads + h) * P.tokens + t0 + 0u + lane] = select(0.0, high0 + log(max(total0, 1e-30)), total0 > 0.0);
  }
  if (t0 + 8u + lane < P.tokens) {
    let inverse = select(0.0, 1.0 / max(total1, 1e-30), total1 > 0.0);
    let o = (row1 * P.heads + h) * P.size;
    for (var c = 0u; c < P.size; c++) { O_store(o + c, acc1[c] * inverse); }
    L[(b * P.heads + h) * P.tokens + t0 + 8u + lane] = select(0.0, high1 + log(max(total1, 1e-30)), total1 > 0.0);
  }
  if (t0 + 16u + lane < P.tokens) {
    let inverse = select(0.0, 1.0 / max(total2, 1e-30), total2 > 0.0);
    let o = (row2 * P.heads + h) * P.size;
    for (var c = 0u; c < P.size; c++) { O_store(o + c, acc2[c] * inverse); }
    L[(b * P.heads + h) * P.tokens + t0 + 16u + lane] = select(0.0, high2 + log(max(total2, 1e-30)), total2 > 0.0);
  }
  if (t0 + 24u + lane < P.tokens) {
    let inverse = select(0.0, 1.0 / max(total3, 1e-30), total3 > 0.0);
    let o = (row3 * P.heads + h) * P.size;
    for (var c = 0u; c < P.size; c++) { O_store(o + c, acc3[c] * inverse); }
    L[(b * P.heads + h) * P.tokens + t0 + 24u + lane] = select(0.0, high3 + log(max(total3, 1e-30)), total3 > 0.0);
  }
}
