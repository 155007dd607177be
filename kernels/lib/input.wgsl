// One tensor binding that this kernel only reads: NAME_load(i), i counted in units of VEC elements (4, 2 or 1).
// Parameters: NAME, BINDING, VEC. The storage type follows the switch NAME_F16. Unlike lib/tensor.wgsl it needs
// no atomics for odd widths, since nobody writes; the binding is read_write all the same (one arena, one usage).
// Under NAME_QUANT the tensor is block quantised, see lib/quant.wgsl (VEC 4 or 1).
#if $(NAME)_QUANT
#include "lib/quant.wgsl" NAME=$(NAME) BINDING=$(BINDING) VEC=$(VEC)
#elif $(NAME)_F16 && $(VEC) == 4
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<vec2u>;
fn $(NAME)_load(i: u32) -> vec4f {
  let w = $(NAME)[i];
  return vec4f(unpack2x16float(w.x), unpack2x16float(w.y));
}
#elif $(NAME)_F16 && $(VEC) == 2
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<u32>;
fn $(NAME)_load(i: u32) -> vec2f { return unpack2x16float($(NAME)[i]); }
#elif $(NAME)_F16
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<u32>;
fn $(NAME)_load(i: u32) -> f32 { return unpack2x16float($(NAME)[i >> 1u] >> ((i & 1u) * 16u)).x; }
#elif $(VEC) == 4
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<vec4f>;
fn $(NAME)_load(i: u32) -> vec4f { return $(NAME)[i]; }
#elif $(VEC) == 2
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<vec2f>;
fn $(NAME)_load(i: u32) -> vec2f { return $(NAME)[i]; }
#else
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<f32>;
fn $(NAME)_load(i: u32) -> f32 { return $(NAME)[i]; }
#endif
