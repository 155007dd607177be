// Four elements of a head row of tensor NAME, at element 4 c of a row that starts at `at` (in units of VEC): zeros past
// the head; NAME_put stores or adds them. NAME_left and NAME_right stage a chunk of the tile's 64 or 32 rows; rows from `last` on repeat it.
fn $(NAME)_four(at: u32, c: u32) -> vec4f {
#if VEC == 4
  if (c >= P.size) { return vec4f(); }
  return $(NAME)_load(at + c);
#else
  var v = vec4f();
  for (var i = 0u; i < min(4u, P.size - min(P.size, c * 4u)); i++) { v[i] = $(NAME)_load(at + c * 4u + i); }
  return v;
#endif
}
fn $(NAME)_put(at: u32, c: u32, v: vec4f, add: bool) {
#if VEC == 4
  if (c >= P.size) { return; }
  var w = v;
  if (add) { w += $(NAME)_load(at + c); }
  $(NAME)_store(at + c, w);
#else
  var w = v;
  for (var i = 0u; i < min(4u, P.size - min(P.size, c * 4u)); i++) {
    var one = w[i];
    if (add) { one += $(NAME)_load(at + c * 4u + i); }
    $(NAME)_store(at + c * 4u + i, one);
  }
#endif
}
fn $(NAME)_left(x: u32, y: u32, sequence: u32, base: u32, last: u32, stride: u32, offset: u32, c: u32) {
  for (var r = 0u; r < P.rows; r++) {
    LEFT[(y + 16u * r) * 9u + x] = $(NAME)_four((sequence + min(base + y + 16u * r, last)) * stride + offset, c + x);
  }
}
fn $(NAME)_right(x: u32, y: u32, sequence: u32, base: u32, last: u32, stride: u32, offset: u32, c: u32) {
  for (var r = 0u; r < P.rows; r += 2u) {
    RIGHT[(y + 8u * r) * 9u + x] = $(NAME)_four((sequence + min(base + y + 8u * r, last)) * stride + offset, c + x);
  }
}
