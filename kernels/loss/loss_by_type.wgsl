// Purpose: adds a micro's losses and labels to sums by type of data, and nothing is read back.
// Formula: for each type k: SUMS[k] += sum of NLL where TYPES = k; SUMS[K + k] += #(0 <= label < V where TYPES = k).
// Shapes: NLL f32 [N], LABELS i32 [N], TYPES u32 [N], SUMS u32 [2 K]: K sums (f32 bits), then K counts.
// Bindings: NLL, LABELS, TYPES, SUMS.
// Constants: none; one workgroup of 64 a type, so all rows are read K times, which is little beside a head of V columns.
// Numerics: each thread sums a run of rows in blocks of 256, the 64 runs are added in order, so the order is that of the rows.
@group(0) @binding(1) var<storage, read_write> NLL: array<f32>;
@group(0) @binding(2) var<storage, read_write> LABELS: array<i32>;
@group(0) @binding(3) var<storage, read_write> TYPES: array<u32>;
@group(0) @binding(4) var<storage, read_write> SUMS: array<u32>;
struct Params {
  n: u32,
  v: i32,
  types: u32,
}
@group(0) @binding(0) var<uniform> P: Params;
var<workgroup> sums: array<f32, 64>;
var<workgroup> counts: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let kind = wg.x;
  let run = (P.n + 63u) / 64u;
  var i = lane * run;
  let last = min(P.n, i + run);
  var sum = 0.0;
  var count = 0u;
  while (i < last) {
    let end = min(last, i + 256u);
    var block = 0.0;
    for (; i < end; i++) {
      let mine = TYPES[i] == kind;
      block += select(0.0, NLL[i], mine);
      count += select(0u, 1u, mine && LABELS[i] >= 0 && LABELS[i] < P.v);
    }
    sum += block;
  }
  sums[lane] = sum;
  counts[lane] = count;
  workgroupBarrier();
  if (lane == 0u) {
    var total = 0.0;
    var n = 0u;
    for (var k = 0u; k < 64u; k++) {
      total += sums[k];
      n += counts[k];
    }
    SUMS[kind] = bitcast<u32>(bitcast<f32>(SUMS[kind]) + total);
    SUMS[P.types + kind] = SUMS[P.types + kind] + n;
  }
}
