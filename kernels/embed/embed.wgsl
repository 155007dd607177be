// Purpose: embedding rows by token id, from one row window of the table.
// Formula: Y[n] = TABLE[ids[n] - first] where first <= ids[n] < first + count; ids >= vocabulary give zero rows (written by the window at 0).
// Shapes: TABLE [count, D]; IDS u32 [N]; Y [N, D]; width is D / VEC.
// Bindings: TABLE, Y (f32 or f16 storage each), IDS.
// Constants: switch VEC. Grid x = D / VEC / 64, (y, z) = rows folded; switch FLAT (narrow rows): (x, y) = cells / 64 folded.
// Numerics: a copy; one rounding where the dtypes differ.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=TABLE BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=$(VEC)
@group(0) @binding(3) var<storage, read_write> IDS: array<u32>;
struct Params {
  rows: u32,
  width: u32,
  first: u32,
  count: u32,
  vocabulary: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) nwg: vec3u) {
#if FLAT
  let cell = gid.y * nwg.x * 64u + gid.x;
  let row = cell / P.width;
  let c = cell % P.width;
#else
  let c = gid.x;
  let row = gid.y + gid.z * nwg.y;
#endif
  if (c >= P.width || row >= P.rows) { return; }
  let id = IDS[row];
  let i = row * P.width + c;
  // Below `first` the difference wraps to a large number.
  if (id - P.first < P.count) {
    Y_store(i, TABLE_load((id - P.first) * P.width + c));
  } else if (P.first == 0u && id >= P.vocabulary) {
    Y_store(i, Num());
  }
}
