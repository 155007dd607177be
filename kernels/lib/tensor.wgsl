// One tensor binding with typed access: NAME_load(i) and NAME_store(i, value), i counted in units of
// VEC elements (4, 2 or 1). Parameters: NAME, BINDING, VEC. The storage type follows the switch NAME_F16.
// 16-bit scalars share a word with a neighbour that another thread may own, hence the atomics there.
#include "lib/half.wgsl"
#if $(NAME)_F16 && $(VEC) == 4
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<vec2u>;
fn $(NAME)_load(i: u32) -> vec4f {
  let w = $(NAME)[i];
  return vec4f(unpack2x16float(w.x), unpack2x16float(w.y));
}
fn $(NAME)_store(i: u32, v: vec4f) {
  $(NAME)[i] = vec2u(half_pair(v.xy), half_pair(v.zw));
}
#elif $(NAME)_F16 && $(VEC) == 2
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<u32>;
fn $(NAME)_load(i: u32) -> vec2f { return unpack2x16float($(NAME)[i]); }
fn $(NAME)_store(i: u32, v: vec2f) { $(NAME)[i] = half_pair(v); }
#elif $(NAME)_F16
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<atomic<u32>>;
fn $(NAME)_load(i: u32) -> f32 {
  return unpack2x16float(atomicLoad(&$(NAME)[i >> 1u]) >> ((i & 1u) * 16u)).x;
}
fn $(NAME)_store(i: u32, v: f32) {
  let shift = (i & 1u) * 16u;
  atomicAnd(&$(NAME)[i >> 1u], ~(0xffffu << shift));
  atomicOr(&$(NAME)[i >> 1u], half_bits(v) << shift);
}
#elif $(VEC) == 4
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<vec4f>;
fn $(NAME)_load(i: u32) -> vec4f { return $(NAME)[i]; }
fn $(NAME)_store(i: u32, v: vec4f) { $(NAME)[i] = v; }
#elif $(VEC) == 2
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<vec2f>;
fn $(NAME)_load(i: u32) -> vec2f { return $(NAME)[i]; }
fn $(NAME)_store(i: u32, v: vec2f) { $(NAME)[i] = v; }
#else
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<f32>;
fn $(NAME)_load(i: u32) -> f32 { return $(NAME)[i]; }
fn $(NAME)_store(i: u32, v: f32) { $(NAME)[i] = v; }
#endif
