// Purpose: writes the keys and values of new tokens into a KV cache, in place.
// Formula: KV[b, SLOTS[b,t]] = keys and values of QKV[b,t]; a slot of C or more is skipped.
// Shapes: QKV [B,T,(H+2K)S]; SLOTS [B,T] u32; KV [B,C,2KS].
// Bindings: QKV, KV (f32 or f16 storage each), SLOTS (u32).
// Constants: switch VEC (4 or 1); one thread a unit of VEC elements, grid folded over x and y.
// Numerics: one rounding to nearest even where the cache is f16 and the input f32.
#include "lib/tensor.wgsl" NAME=QKV BINDING=1 VEC=$(VEC)
#include "lib/tensor.wgsl" NAME=KV BINDING=2 VEC=$(VEC)
#include "lib/grid.wgsl"
@group(0) @binding(3) var<storage, read_write> SLOTS: array<u32>;
struct Params {
  n: u32,         // B T (2KS / VEC)
  tokens: u32,    // T
  capacity: u32,  // C
  row: u32,       // (H + 2K) S / VEC
  keyAt: u32,     // H S / VEC
  width: u32,     // 2KS / VEC
}
@group(0) @binding(0) var<uniform> P: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n) { return; }
  let token = i / P.width;
  let c = i - token * P.width;
  let slot = SLOTS[token];
  if (slot >= P.capacity) { return; }
  KV_store(((token / P.tokens) * P.capacity + slot) * P.width + c, QKV_load(token * P.row + P.keyAt + c));
}
