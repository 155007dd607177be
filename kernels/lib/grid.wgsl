// A grid axis holds at most 65,535 workgroups, so long ones are folded over x and y.
fn flat_group(wg: vec3u, nwg: vec3u) -> u32 {
  return wg.y * nwg.x + wg.x;
}
