// What every attention kernel is told; strides and offsets count units of VEC elements.
struct Params {
  tokens: u32,      // T: queries a sequence
  keys: u32,        // rows of keys a sequence: T, or the capacity C of a cache
  heads: u32,       // H
  group: u32,       // H / K
  size: u32,        // S / VEC
  qkvRow: u32,      // (H + 2K) S / VEC
  kvRow: u32,       // the row that holds keys and values: qkvRow, or 2 K S / VEC of a cache
  keyAt: u32,       // first key head in that row
  valueAt: u32,     // first value head in that row
  scale: f32,
  rows: u32,        // 4, the rows a thread of the tile kernels holds, as data
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;
