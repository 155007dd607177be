// Purpose: ends the gradient half of a step on the device: norm, clip factor, found-inf, loss scale, Adam's t, the step record.
// Formula: norm = sqrt(sum partials) / lossScale; gradScale = min(1, clip / (norm + 1e-6)) / lossScale; see below for the scale's rule; norm > ceiling > 0 skips.
// Shapes: PARTIALS f32 [blocks], BIAS f32 [2 * entries]: 1/(1-beta1^t), 1/(1-beta2^t) for t = biasBase ...; STEP u32 [words].
// Bindings: PARTIALS, BIAS, STEP.
// Constants: none; one workgroup of 64.
// Numerics: each thread sums a run of partials in blocks of 256, the 64 runs are added in order, so the order is that of the blocks.
#include "lib/step.wgsl"
@group(0) @binding(1) var<storage, read_write> PARTIALS: array<f32>;
@group(0) @binding(2) var<storage, read_write> BIAS: array<f32>;
@group(0) @binding(3) var<storage, read_write> STEP: array<u32>;
struct Params {
  blocks: u32,
  clip: f32,
  lr: f32,
  biasBase: u32,
  biasEntries: u32,
  dynamicScale: u32,
  growthInterval: u32,
  maxScale: f32,
  ring: u32,
  ceiling: f32,
}
@group(0) @binding(0) var<uniform> P: Params;
var<workgroup> sums: array<f32, 64>;
var<workgroup> bad: array<u32, 64>;

fn not_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  let run = (P.blocks + 63u) / 64u;
  var i = lane * run;
  let last = min(P.blocks, i + run);
  var sum = 0.0;
  var found = 0u;
  while (i < last) {
    let end = min(last, i + 256u);
    var block = 0.0;
    for (; i < end; i++) {
      let p = PARTIALS[i];
      if (not_finite(p) || p > 3.0e38) { found = 1u; } else { block += p; }
    }
    sum += block;
  }
  sums[lane] = sum;
  bad[lane] = found;
  workgroupBarrier();
  if (lane != 0u) { return; }
  var total = 0.0;
  var inf = 0u;
  for (var k = 0u; k < 64u; k++) {
    total += sums[k];
    inf |= bad[k];
  }
  // A norm that overflows counts as found-inf; the largest f32 squared sum is far from any useful one.
  if (not_finite(total) || total > 3.0e38) { inf = 1u; }
  let lossSum = STEP[STEP_LOSS_SUM];
  if (not_finite(bitcast<f32>(lossSum))) { inf = 1u; }
  let scale = bitcast<f32>(STEP[STEP_LOSS_SCALE]);
  let norm = select(sqrt(total) / scale, 0.0, inf == 1u);
  var clip = 1.0;
  if (P.clip > 0.0) { clip = min(1.0, P.clip / (norm + 1e-6)); }
  STEP[STEP_NORM] = bitcast<u32>(norm);
  STEP[STEP_GRAD_SCALE] = bitcast<u32>(clip / scale);
  let outlier = inf == 0u && P.ceiling > 0.0 && norm > P.ceiling;
  let skip = inf == 1u || outlier;
  STEP[STEP_FOUND_INF] = select(0u, 1u, skip);
  STEP[STEP_LR] = bitcast<u32>(P.lr);
  // Written before counters move, so that a record names the step it belongs to.
  let at = STEP_RING + (STEP[STEP_ATTEMPTED] % P.ring) * STEP_RECORD;
  let t = STEP[STEP_T] + select(1u, 0u, skip);
  STEP[at] = STEP[STEP_ATTEMPTED];
  STEP[at + 1u] = lossSum;
  STEP[at + 2u] = STEP[STEP_TOKENS];
  STEP[at + 3u] = bitcast<u32>(norm);
  STEP[at + 4u] = STEP[STEP_LOSS_SCALE];
  STEP[at + 5u] = select(inf, 2u, outlier);
  STEP[at + 6u] = bitcast<u32>(P.lr);
  STEP[at + 7u] = t;
  STEP[STEP_ATTEMPTED] = STEP[STEP_ATTEMPTED] + 1u;
  STEP[STEP_LOSS_SUM] = 0u;
  STEP[STEP_TOKENS] = 0u;
  STEP[STEP_T] = t;
  // A finite outlier is no sign of overflow: loss scale, good steps and bad run stay as they are.
  if (outlier) {
    STEP[STEP_SKIPPED] = STEP[STEP_SKIPPED] + 1u;
  } else if (inf == 1u) {
    STEP[STEP_BAD_RUN] = STEP[STEP_BAD_RUN] + 1u;
    STEP[STEP_SKIPPED] = STEP[STEP_SKIPPED] + 1u;
    STEP[STEP_GOOD] = 0u;
    if (P.dynamicScale != 0u) { STEP[STEP_LOSS_SCALE] = bitcast<u32>(max(1.0, scale * 0.5)); }
  } else {
    STEP[STEP_BAD_RUN] = 0u;
    let entry = min(t - P.biasBase, P.biasEntries - 1u) * 2u;
    STEP[STEP_BC1] = bitcast<u32>(BIAS[entry]);
    STEP[STEP_BC2] = bitcast<u32>(BIAS[entry + 1u]);
    let good = STEP[STEP_GOOD] + 1u;
    if (P.dynamicScale != 0u && good >= P.growthInterval) {
      STEP[STEP_LOSS_SCALE] = bitcast<u32>(min(P.maxScale, scale * 2.0));
      STEP[STEP_GOOD] = 0u;
    } else {
      STEP[STEP_GOOD] = good;
    }
  }
}
