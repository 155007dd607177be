// Purpose: adds a micro's losses and its count of labels to the step state, and nothing is read back.
// Formula: step.lossSum += sum NLL; step.tokens += #(0 <= label < V).
// Shapes: NLL f32 [N], LABELS i32 [N], STEP u32 [words].
// Bindings: NLL, LABELS, STEP.
// Constants: none; one workgroup of 64.
// Numerics: each thread sums a run of rows in blocks of 256, the 64 runs are added in order.
#include "lib/step.wgsl"
@group(0) @binding(1) var<storage, read_write> NLL: array<f32>;
@group(0) @binding(2) var<storage, read_write> LABELS: array<i32>;
@group(0) @binding(3) var<storage, read_write> STEP: array<u32>;
struct Params {
  n: u32,
  v: i32,
}
@group(0) @binding(0) var<uniform> P: Params;
var<workgroup> sums: array<f32, 64>;
var<workgroup> counts: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  let run = (P.n + 63u) / 64u;
  var i = lane * run;
  let last = min(P.n, i + run);
  var sum = 0.0;
  var count = 0u;
  while (i < last) {
    let end = min(last, i + 256u);
    var block = 0.0;
    for (; i < end; i++) {
      block += NLL[i];
      count += select(0u, 1u, LABELS[i] >= 0 && LABELS[i] < P.v);
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
    STEP[STEP_LOSS_SUM] = bitcast<u32>(bitcast<f32>(STEP[STEP_LOSS_SUM]) + total);
    STEP[STEP_TOKENS] = STEP[STEP_TOKENS] + n;
  }
}
