// Purpose: gradient of the per-head RMSNorm by qkv, and partial sums of those by both weights.
// Formula: as rmsnorm_grad for query and key heads with their weight; dx (+)= dy for value heads; PART holds (dwq, dwk) of each group.
// Shapes: X, DY, DX [N, H + 2K, S]; WQ, WK [S]; PART f32 [groups, 2, S]; a group takes `chunks` runs of `block` <= 16 rows (heads).
// Bindings: X, WQ, WK (f32), DY, DX; with DW also PART.
// Constants: switches DW, VEC, WG, TREE, SUBGROUPS (lib/rows).
// Numerics: f32; row sums in blocks of 64 units; weight sums over rows in order, chunk by chunk.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=X BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=WQ BINDING=2 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=WK BINDING=3 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DY BINDING=4 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DX BINDING=5 VEC=$(VEC)
#if DW
#include "lib/tensor.wgsl" NAME=PART BINDING=6 VEC=$(VEC)
#endif
#include "lib/rows.wgsl"
struct Params {
  rows: u32,
  block: u32,
  chunks: u32,
  half: u32,
  width: u32,
  heads: u32,
  key_end: u32,
  slots: u32,
  per_d: f32,
  eps: f32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

fn rows(group: u32, at: RowLane) {
  if (group * P.chunks * P.block >= P.rows) { return; }
  // Of each row of a chunk: r, r^3 * mean(g * x), and 1 for a query head, 2 for a key head, 0 for a value head.
  var stats: array<vec3f, 16>;
  for (var chunk = 0u; chunk < P.chunks; chunk++) {
    let first = min((group * P.chunks + chunk) * P.block, P.rows);
    let count = min(P.block, P.rows - first);
    for (var k = 0u; k < count; k++) {
      let base = (first + k) * P.width;
      let slot = (first + k) % P.slots;
      var sums = vec2f();
      var c = row_from(at);
      while (c < P.width) {
        let stop = min(c + 64u * ROW_STEP, P.width);
        var squares = Num();
        var products = Num();
        for (; c < stop; c += ROW_STEP) {
          let x = X_load(base + c);
          squares += x * x;
          var w = WK_load(c);
          if (slot < P.heads) { w = WQ_load(c); }
          products += x * DY_load(base + c) * w;
        }
        sums += vec2f(lanes_sum(squares), lanes_sum(products));
      }
      let total = row_sum(sums, at);
      let r = inverseSqrt(total.x * P.per_d + P.eps);
      stats[k] = vec3f(r, r * r * r * total.y * P.per_d, select(select(0.0, 2.0, slot < P.key_end), 1.0, slot < P.heads));
    }
    for (var c = at.lane; c < P.width; c += COLUMN_STEP) {
      let wq = WQ_load(c);
      let wk = WK_load(c);
      var dwq = Num();
      var dwk = Num();
      for (var k = 0u; k < count; k++) {
        let i = (first + k) * P.width + c;
        let x = X_load(i);
        let dy = DY_load(i);
        let s = stats[k];
        var dx = dy;
        if (s.z == 1.0) {
          dwq += dy * x * s.x;
          dx = dy * wq * s.x - x * s.y;
        } else if (s.z == 2.0) {
          dwk += dy * x * s.x;
          dx = dy * wk * s.x - x * s.y;
        }
        if (P.accumulate != 0u) { dx += DX_load(i); }
        DX_store(i, dx);
      }
#if DW
      let q = group * 2u * P.width + c;
      let k = q + P.width;
      if (chunk > 0u) {
        dwq += PART_load(q);
        dwk += PART_load(k);
      }
      PART_store(q, dwq);
      PART_store(k, dwk);
#endif
    }
  }
}
