// Purpose: gradient of the embedding table, without atomics: positions come sorted by id, a segment an id.
// Formula: DTABLE[id(s) - first] += sum over k in starts[s] .. starts[s + 1] of DY[order[k]], for segments whose id lies in the window.
// Shapes: DY [N, D]; ORDER, IDS u32 [N]; STARTS u32 [N + 1]; DTABLE [count, D]; width is D / VEC.
// Bindings: DY, DTABLE (f32 or f16 storage each), ORDER, STARTS, IDS (id of each segment).
// Constants: switch VEC. Grid x = D / VEC / 64, (y, z) = segments folded; switch FLAT (narrow rows): (x, y) = cells / 64 folded.
// Numerics: f32 sums in order of position, in blocks of 256; the sum is added to the row once.
#include "lib/vec.wgsl"
#include "lib/tensor.wgsl" NAME=DY BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=DTABLE BINDING=2 VEC=$(VEC)
@group(0) @binding(3) var<storage, read_write> ORDER: array<u32>;
@group(0) @binding(4) var<storage, read_write> STARTS: array<u32>;
@group(0) @binding(5) var<storage, read_write> IDS: array<u32>;
struct Params {
  segments: u32,
  width: u32,
  first: u32,
  count: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) nwg: vec3u) {
#if FLAT
  let cell = gid.y * nwg.x * 64u + gid.x;
  let s = cell / P.width;
  let c = cell % P.width;
#else
  let c = gid.x;
  let s = gid.y + gid.z * nwg.y;
#endif
  if (c >= P.width || s >= P.segments) { return; }
  let row = IDS[s] - P.first;
  if (row >= P.count) { return; }
  var total = Num();
  var k = STARTS[s];
  let end = STARTS[s + 1u];
  while (k < end) {
    let stop = min(k + 256u, end);
    var part = Num();
    for (; k < stop; k++) { part += DY_load(ORDER[k] * P.width + c); }
    total += part;
  }
  let i = row * P.width + c;
  DTABLE_store(i, DTABLE_load(i) + total);
}
