// Purpose: v2 of the ladder, for CPU adapters: gradients by keys and values, four key rows a thread against blocks of four queries.
// Formula: dV (+)= sum_i P dO_i; dK (+)= sum_i scale P (dO_i v - D_i) q_i over the group's heads and queries qlo <= i < qhi.
// Shapes: DO [B,T,HS]; QKV, DQKV [B,T,(H+2K)S]; R [B,T,4]; L, D [B,H,T]. Writes the key and value heads of DQKV.
// Bindings: DO, QKV, DQKV (f32 or f16 storage), R (u32), L, D (f32).
// Constants: switches VEC (2 or 1), SIZE (S / VEC, rounded up); grid x = T/32, y = K, z = B.
// Numerics: f32 sums, heads of the group in order, blocks of four queries in order within each.
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
  let b = wg.z;
  let last = P.tokens - 1u;
  // The group's queries: bounds equal for all lanes, so that a query is loaded once for all of them.
  var first = P.tokens;
  var end = 0u;
  for (var t = base; t < min(base + 32u, P.tokens); t++) {
    let range = R[b * P.tokens + t].zw;
    if (range.x < range.y) {
      first = min(first, range.x);
      end = max(end, min(range.y, P.tokens));
    }
  }
  let row0 = b * P.tokens + min(base + 0u + lane, last);
  let k0 = row0 * P.qkvRow + P.keyAt + wg.y * P.size;
  let v0 = row0 * P.qkvRow + P.valueAt + wg.y * P.size;
  let range0 = R[row0].zw;
  var dk0: array<Vec, $(SIZE)>;
  var dv0: array<Vec, $(SIZE)>;
  let row1 = b * P.tokens + min(base + 8u + lane, last);
  let k1 = row1 * P.qkvRow + P.keyAt + wg.y * P.size;
  let v1 = row1 * P.qkvRow + P.valueAt + wg.y * P.size;
  let range1 = R[row1].zw;
  var dk1: array<Vec, $(SIZE)>;
  var dv1: array<Vec, $(SIZE)>;
  let row2 = b * P.tokens + min(base + 16u + lane, last);
  let k2 = row2 * P.qkvRow + P.keyAt + wg.y * P.size;
  let v2 = row2 * P.qkvRow + P.valueAt + wg.y * P.size;
  let range2 = R[row2].zw;
  var dk2: array<Vec, $(SIZE)>;
  var dv2: array<Vec, $(SIZE)>;
  let row3 = b * P.tokens + min(base + 24u + lane, last);
  let k3 = row3 * P.qkvRow + P.keyAt + wg.y * P.size;
  let v3 = row3 * P.qkvRow + P.valueAt + wg.y * P.size;
  let range3 = R[row3].zw;
  var dk3: array<Vec, $(SIZE)>;
  var dv3: array<Vec, $(SIZE)>;
  for (var c = 0u; c < P.size; c++) {
    dk0[c] = Vec();
    dv0[c] = Vec();
    dk1[c] = Vec();
    dv1[c] = Vec();
    dk2[c] = Vec();
    dv2[c] = Vec();
    dk3[c] = Vec();
    dv3[c] = Vec();
  }
  for (var h = wg.y * P.group; h < (wg.y + 1u) * P.group; h++) {
    let stats = (b * P.heads + h) * P.tokens;
    for (var i = first; i < end; i += 4u) {
      let queries = min(vec4u(i, i + 1u, i + 2u, i + 3u), vec4u(end - 1u));
      let q = (b * P.tokens + queries) * P.qkvRow + h * P.size;
      let o = ((b * P.tokens + queries) * P.heads + h) * P.size;
      var s0 = vec4f();
      var d0 = vec4f();
      var s1 = vec4f();
      var d1 = vec4f();
      var s2 = vec4f();
      var d2 = vec4f();
      var s3 = vec4f();
      var d3 = vec4f();
      for (var c = 0u; c < P.size; c++) {
        let q0 = QKV_load(q.x + c);
        let q1 = QKV_load(q.y + c);
        let q2 = QKV_load(q.z + c);
        let q3 = QKV_load(q.w + c);
        let o0 = DO_load(o.x + c);
        let o1 = DO_load(o.y + c);
        let o2 = DO_load(o.z + c);
        let o3 = DO_load(o.w + c);
        let l0 = QKV_load(k0 + c);
        let l1 = QKV_load(v0 + c);
        let l2 = QKV_load(k1 + c);
        let l3 = QKV_load(v1 + c);
        let l4 = QKV_load(k2 + c);
        let l5 = QKV_load(v2 + c);
        let l6 = QKV_load(k3 + c);
        let l7 = QKV_load(v3 + c);
        s0 += vec_dots(l0, q0, q1, q2, q3);
        d0 += vec_dots(l1, o0, o1, o2, o3);
        s1 += vec_dots(l2, q0, q1, q2, q3);
        d1 += vec_dots(l3, o0, o1, o2, o3);
        s2 += vec_dots(l4, q0, q1, q2, q3);
        d2 += vec_dots(l5, o0, o1, o2, o3);
        s3 += vec_dots(l6, q0, q1, q2, q3);
        d3 += vec_dots(l7, o0, o1, o2, o3);
      }
      let at = stats + queries;
      let lse = vec4f(L[at.x], L[at.y], L[at.z], L[at.w]);
      let mean = vec4f(D[at.x], D[at.y], D[at.z], D[at.w]);
      let index = vec4u(i, i + 1u, i + 2u, i + 3u);
      let seen0 = (index >= vec4u(range0.x)) & (index < vec4u(min(range0.y, P.tokens)));
      let p0 = select(vec4f(), soft_exp4(s0 * P.scale - lse), seen0);
      let ds0 = p0 * (d0 - mean) * P.scale;
      let seen1 = (index >= vec4u(range1.x)) & (index < vec4u(min(range1.y, P.tokens)));
      let p1 = select(vec4f(), soft_exp4(s1 * P.scale - lse), seen1);
      let ds1 = p1 * (d1 - mean) * P.scale;
      let seen2 = (index >= vec4u(range2.x)) & (index < vec4u(min(range2.y, P.tokens)));
      let p2 = select(vec4f(), soft_exp4(s2 * P.scale - lse), seen2);
      let ds2 = p2 * (d2 - mean) * P.scale;
      let seen3 = (index >= vec4u(range3.x)) & (index < vec4u(min(range3.y, P.tokens)));
      let p3 = select(vec4f(), soft_exp4(s3 * P.scale - lse), seen3);
      let ds3 = p3 * (d3 - mean) * P.scale;
      for (var c = 0u; c < P.size; c++) {
        let q0 = QKV_load(q.x + c);
        let q1 = QKV_load(q.y + c);
        let q2 = QKV_load(q.z + c);
        let q3 = QKV_load(q.w + c);
        let o0 = DO_load(o.x + c);
        let o1 = DO_load(o.y + c);
        let o2 = DO_load(o.z + c);
        let o3 = DO_load(o.w + c);
        let dk0c = dk0[c];
        let dk1c = dk1[c];
        let dk2c = dk2[c];
        let dk3c = dk3[c];
        let dv0c = dv0[c];
        let dv1c = dv1[c];
        let dv2c = dv2[c];
        let dv3c = dv3[c];
        dk0[c] = dk0c + vec_mix(ds0, q0, q1, q2, q3);
        dk1[c] = dk1c + vec_mix(ds1, q0, q1, q2, q3);
        dk2[c] = dk2c + vec_mix(ds2, q0, q1, q2, q3);
        dk3[c] = dk3c + vec_mix(ds3, q0, q1, q2, q3);
        dv0[c] = dv0c + vec_mix(p0, o0, o1, o2, o3);
        dv1[c] = dv1c + vec_mix(p1, o0, o1, o2, o3);
        dv2[c] = dv2c + vec_mix(p2, o0, o1, o2, o3);
        dv3[c] = dv3c + vec_mix(p3, o0, o1, o2, o3);
      }
    }
  }
  if (base + 0u + lane <= last) {
    for (var c = 0u; c < P.size; c++) {
      var gk = dk0[c];
      var gv = dv0[c];
      if (P.accumulate != 0u) {
        gk += DQKV_load(k0 + c);
        gv += DQKV_load(v0 + c);
      }
      DQKV_store(k0 + c, gk);
      DQKV_store(v0 + c, gv);
    }
  }
  if (base + 8u + lane <= last) {
    for (var c = 0u; c < P.size; c++) {
      var gk = dk1[c];
      var gv = dv1[c];
      if (P.accumulate != 0u) {
        gk += DQKV_load(k1 + c);
        gv += DQKV_load(v1 + c);
      }
      DQKV_store(k1 + c, gk);
      DQKV_store(v1 + c, gv);
    }
  }
  if (base + 16u + lane <= last) {
    for (var c = 0u; c < P.size; c++) {
      var gk = dk2[c];
      var gv = dv2[c];
      if (P.accumulate != 0u) {
        gk += DQKV_load(k2 + c);
        gv += DQKV_load(v2 + c);
      }
      DQKV_store(k2 + c, gk);
      DQKV_store(v2 + c, gv);
    }
  }
  if (base + 24u + lane <= last) {
    for (var c = 0u; c < P.size; c++) {
      var gk = dk3[c];
      var gv = dv3[c];
      if (P.accumulate != 0u) {
        gk += DQKV_load(k3 + c);
        gv += DQKV_load(v3 + c);
      }
      DQKV_store(k3 + c, gk);
      DQKV_store(v3 + c, gv);
    }
  }
}
