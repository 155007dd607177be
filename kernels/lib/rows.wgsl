// The frame of a kernel that works on whole rows: defines `main`, which calls the kernel's rows(group, at) for
// each row or block of rows. Sums over a row run from row_from(at) by ROW_STEP and end in row_sum; columns are written
// from at.lane by COLUMN_STEP. Without TREE (generic) each is one thread's: no barriers.
// With TREE a workgroup of WG lanes shares it through workgroup memory; with SUBGROUPS too, subgroupAdd
// comes first (any width; how lanes map to subgroups is not assumed). WG is a power of two up to 256.
// The kernel's Params need `half` = WG / 2: as data it keeps CPU drivers from unrolling the tree.
#include "lib/grid.wgsl"
struct RowLane { lane: u32, subgroup: u32, subgroups: u32 }
#if TREE
const ROW_STEP = $(WG)u;
const COLUMN_STEP = $(WG)u;
var<workgroup> row_part: array<vec2f, $(WG)>;
fn row_from(at: RowLane) -> u32 { return at.lane; }
#if SUBGROUPS
enable subgroups;
fn row_sum(v: vec2f, at: RowLane) -> vec2f {
  let own = subgroupAdd(v);
  workgroupBarrier();
  if (subgroupElect()) { row_part[at.subgroup] = own; }
  workgroupBarrier();
  var total = row_part[0];
  for (var i = 1u; i < at.subgroups; i++) { total += row_part[i]; }
  return total;
}
fn row_max(v: f32, at: RowLane) -> f32 {
  let own = subgroupMax(v);
  workgroupBarrier();
  if (subgroupElect()) { row_part[at.subgroup].x = own; }
  workgroupBarrier();
  var total = row_part[0].x;
  for (var i = 1u; i < at.subgroups; i++) { total = max(total, row_part[i].x); }
  return total;
}
#else
fn row_sum(v: vec2f, at: RowLane) -> vec2f {
  workgroupBarrier();
  row_part[at.lane] = v;
  workgroupBarrier();
  for (var half = P.half; half > 0u; half >>= 1u) {
    if (at.lane < half) { row_part[at.lane] += row_part[at.lane + half]; }
    workgroupBarrier();
  }
  return row_part[0];
}
fn row_max(v: f32, at: RowLane) -> f32 {
  workgroupBarrier();
  row_part[at.lane].x = v;
  workgroupBarrier();
  for (var half = P.half; half > 0u; half >>= 1u) {
    if (at.lane < half) { row_part[at.lane].x = max(row_part[at.lane].x, row_part[at.lane + half].x); }
    workgroupBarrier();
  }
  return row_part[0].x;
}
#endif
#else
const ROW_STEP = 1u;
const COLUMN_STEP = 1u;
fn row_from(at: RowLane) -> u32 { return 0u; }
fn row_sum(v: vec2f, at: RowLane) -> vec2f { return v; }
fn row_max(v: f32, at: RowLane) -> f32 { return v; }
#endif

@compute @workgroup_size($(WG))
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lane: u32,
#if TREE && SUBGROUPS
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,
#endif
) {
#if TREE && SUBGROUPS
  rows(flat_group(wg, nwg), RowLane(lane, subgroup, subgroups));
#elif TREE
  rows(flat_group(wg, nwg), RowLane(lane, 0u, 1u));
#else
  rows(flat_group(wg, nwg) * $(WG)u + lane, RowLane(0u, 0u, 1u));
#endif
}
