// Purpose: v2 of the ladder, for CPU adapters: gradient by the queries, four query rows a thread against blocks of four keys.
// Formula: P = exp(scale q k - L); dQ (+)= sum_j scale P (dO v_j - D) k_j over keys lo <= j < hi.
// Shapes: DO [B,T,HS]; QKV, DQKV [B,T,(H+2K)S]; R [B,T,4]; L, D [B,H,T]. Writes only the query heads of DQKV.
// Bindings: DO, QKV, DQKV (f32 or f16 storage), R (u32), L, D (f32).
// Constants: switches VEC (2 or 1), SIZE (S / VEC, rounded up); grid x = T/32, y = H, z = B.
// Numerics: f32 sums over blocks of four keys in order; probabilities from the stored log-sum-exp, at most 1.
#include "lib/tensor.wgsl" NAME=QKV BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DO BINDING=2 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DQKV BINDING=3 VEC=$(VEC)
@group(0) @binding(4) var<storage, read_write> R: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> L: array<f32>;
@group(0) @binding(6) var<storage, read_write> D: array<f32>;
#include "lib/attention.wgsl"
#include "lib/attention_params.wgsl"

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = wg.x * 32u;
  let h = wg.y;
  let b = wg.z;
  let last = P.tokens - 1u;
  let k = b * P.keys * P.kvRow + P.keyAt + (h / P.group) * P.size;
  let v = b * P.keys * P.kvRow + P.valueAt + (h / P.group) * P.size;
  let stats = (b * P.heads + h) * P.tokens;
  // The group's keys: bounds equal for all lanes, so that a key is loaded once for all of them.
  var first = P.keys;
  var end = 0u;
  for (var t = base; t < min(base + 32u, P.tokens); t++) {
    let range = R[b * P.tokens + t].xy;
    if (range.x < range.y) {
      first = min(first, range.x);
      end = max(end, min(range.y, P.keys));
    }
  }
  let t0 = min(base + 0u + lane, last);
  let row0 = b * P.tokens + t0;
  let q0 = row0 * P.qkvRow + h * P.size;
  let o0 = (row0 * P.heads + h) * P.size;
  let range0 = R[row0].xy;
  let lse0 = L[stats + t0];
  let mean0 = D[stats + t0];
  var acc0: array<Vec, $(SIZE)>;
  let t1 = min(base + 8u + lane, last);
  let row1 = b * P.tokens + t1;
  let q1 = row1 * P.qkvRow + h * P.size;
  let o1 = (row1 * P.heads + h) * P.size;
  let range1 = R[row1].xy;
  let lse1 = L[stats + t1];
  let mean1 = D[stats + t1];
  var acc1: array<Vec, $(SIZE)>;
  let t2 = min(base + 16u + lane, last);
  let row2 = b * P.tokens + t2;
  let q2 = row2 * P.qkvRow + h * P.size;
  let o2 = (row2 * P.heads + h) * P.size;
  let range2 = R[row2].xy;
  let lse2 = L[stats + t2];
  let mean2 = D[stats + t2];
  var acc2: array<Vec, $(SIZE)>;
  let t3 = min(base + 24u + lane, last);
  let row3 = b * P.tokens + t3;
  let q3 = row3 * P.qkvRow + h * P.size;
  let o3 = (row3 * P.heads + h) * P.size;
  let range3 = R[row3].xy;
  let lse3 = L[stats + t3];
  let mean3 = D[stats + t3];
  var acc3: array<Vec, $(SIZE)>;
  for (var c = 0u; c < P.size; c++) {
    acc0[c] = Vec();
    acc1[c] = Vec();
    acc2[c] = Vec();
    acc3[c] = Vec();
  }
  for (var j = first; j < end; j += 4u) {
    let j0 = j * P.kvRow;
    let j1 = min(j + 1u, end - 1u) * P.kvRow;
    let j2 = min(j + 2u, end - 1u) * P.kvRow;
    let j3 = min(j + 3u, end - 1u) * P.kvRow;
    var s0 = vec4f();
    var d0 = vec4f();
    var s1 = vec4f();
    var d1 = vec4f();
    var s2 = vec4f();
    var d2 = vec4f();
    var s3 = vec4f();
    var d3 = vec4f();
    for (var c = 0u; c < P.size; c++) {
      let k0 = QKV_load(k + j0 + c);
      let k1 = QKV_load(k + j1 + c);
      let k2 = QKV_load(k + j2 + c);
      let k3 = QKV_load(k + j3 + c);
      let v0 = QKV_load(v + j0 + c);
      let v1 = QKV_load(v + j1 + c);
      let v2 = QKV_load(v + j2 + c);
      let v3 = QKV_load(v + j3 + c);
      let l0 = QKV_load(q0 + c);
      let l1 = DO_load(o0 + c);
      let l2 = QKV_load(q1 + c);
      let l3 = DO_load(o1 + c);
      let l4 = QKV_load(q2 + c);
      let l5 = DO_load(o2 + c);
      let l6 = QKV_load(q3 + c);
      let l7 = DO_load(o3 + c);
      s0 += vec_dots(l0, k0, k1, k2, k3);
      d0 += vec_dots(l1, v0, v1, v2, v3);
      s1 += vec_dots(l2, k0, k1, k2, k3);
      d1 += vec_dots(l3, v0, v1, v2, v3);
      s2 += vec_dots(l4, k0, k1, k2, k3);
      d2 += vec_dots(l5, v0, v1, v2, v3);
      s3 += vec_dots(l6, k0, k1, k2, k3);
      d3 += vec_dots(l7, v0, v1, v2, v3);
    }
    let keys = vec4u(j, j + 1u, j + 2u, j + 3u);
    let seen0 = (keys >= vec4u(range0.x)) & (keys < vec4u(range0.y));
    let ds0 = select(vec4f(), soft_exp4(s0 * P.scale - lse0) * (d0 - mean0) * P.scale, seen0);
    let seen1 = (keys >= vec4u(range1.x)) & (keys < vec4u(range1.y));
    let ds1 = select(vec4f(), soft_exp4(s1 * P.scale - lse1) * (d1 - mean1) * P.scale, seen1);
    let seen2 = (keys >= vec4u(range2.x)) & (keys < vec4u(range2.y));
    let ds2 = select(vec4f(), soft_exp4(s2 * P.scale - lse2) * (d2 - mean2) * P.scale, seen2);
    let seen3 = (keys >= vec4u(range3.x)) & (keys < vec4u(range3.y));
    let ds3 = select(vec4f(), soft_exp4(s3 * P.scale - lse3) * (d3 - mean3) * P.scale, seen3);
    for (var c = 0u; c < P.size; c++) {
      let k0 = QKV_load(k + j0 + c);
      let k1 = QKV_load(k + j1 + c);
      let k2 = QKV_load(k + j2 + c);
      let k3 = QKV_load(k + j3 + c);
      let acc0c = acc0[c];
      let acc1c = acc1[c];
      let acc2c = acc2[c];
      let acc3c = acc3[c];
      acc0[c] = acc0c + vec_mix(ds0, k0, k1, k2, k3);
      acc1[c] = acc1c + vec_mix(ds1, k0, k1, k2, k3);
      acc2[c] = acc2c + vec_mix(ds2, k0, k1, k2, k3);
      acc3[c] = acc3c + vec_mix(ds3, k0, k1, k2, k3);
    }
  }
  if (base + 0u + lane <= last) {
    for (var c = 0u; c < P.size; c++) {
      var g = acc0[c];
      if (P.accumulate != 0u) { g += DQKV_load(q0 + c); }
      DQKV_store(q0 + c, g);
    }
  }
  if (base + 8u + lane <= last) {
    for (var c = 0u; c < P.size; c++) {
      var g = acc1[c];
      if (P.accumulate != 0u) { g += DQKV_load(q1 + c); }
      DQKV_store(q1 + c, g);
    }
  }
  if (base + 16u + lane <= last) {
    for (var c = 0u; c < P.size; c++) {
      var g = acc2[c];
      if (P.accumulate != 0u) { g += DQKV_load(q2 + c); }
      DQKV_store(q2 + c, g);
    }
  }
  if (base + 24u + lane <= last) {
    for (var c = 0u; c < P.size; c++) {
      var g = acc3[c];
      if (P.accumulate != 0u) { g += DQKV_load(q3 + c); }
      DQKV_store(q3 + c, g);
    }
  }
}
