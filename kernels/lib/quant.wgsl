// A frozen matrix of 8- or 4-bit codes with a scale a block of 64 along its rows, read only: NAME_load(i) gives code value * scale in f32,
// i counted in units of VEC elements (4 or 1) of rows padded to whole blocks. Kernels that keep a word in a register take NAME_code, the value
// of the lowest code of each of four words, and shift. Parameters: NAME, BINDING, VEC; the switch NAME_QUANT says 8 (signed
// integers) or 4 (NF4). The scales stand at binding 5, behind those of a matmul. Layout and sources: kernels/quant/README.md.
@group(0) @binding($(BINDING)) var<storage, read_write> $(NAME): array<u32>;
@group(0) @binding(5) var<storage, read_write> $(NAME)_scales: array<f32>;
#if $(NAME)_QUANT == 8
const $(NAME)_BITS = 8u;
const $(NAME)_TERMS = 4u;
fn $(NAME)_code(w: vec4u) -> vec4f { return vec4f(bitcast<vec4i>(w << vec4u(24u)) >> vec4u(24u)); }
#if $(VEC) == 4
fn $(NAME)_load(i: u32) -> vec4f {
  return $(NAME)_code(vec4u($(NAME)[i]) >> vec4u(0u, 8u, 16u, 24u)) * $(NAME)_scales[i / 16u];
}
#endif
#else
const $(NAME)_BITS = 4u;
const $(NAME)_TERMS = 8u;
// A tree of selects, not an indexed table: it stays in vector registers, where an index a lane would go through memory.
fn $(NAME)_code(w: vec4u) -> vec4f {
  let b0 = (w & vec4u(1u)) != vec4u(0u);
  let b1 = (w & vec4u(2u)) != vec4u(0u);
  let b2 = (w & vec4u(4u)) != vec4u(0u);
  let b3 = (w & vec4u(8u)) != vec4u(0u);
  let c01 = select(vec4f(-1.0), vec4f(-0.6961928009986877), b0);
  let c23 = select(vec4f(-0.5250730514526367), vec4f(-0.39491748809814453), b0);
  let c45 = select(vec4f(-0.28444138169288635), vec4f(-0.18477343022823334), b0);
  let c67 = select(vec4f(-0.09105003625154495), vec4f(0.0), b0);
  let c89 = select(vec4f(0.07958029955625534), vec4f(0.16093020141124725), b0);
  let cab = select(vec4f(0.24611230194568634), vec4f(0.33791524171829224), b0);
  let ccd = select(vec4f(0.44070982933044434), vec4f(0.5626170039176941), b0);
  let cef = select(vec4f(0.7229568362236023), vec4f(1.0), b0);
  let low = select(select(c01, c23, b1), select(c45, c67, b1), b2);
  let high = select(select(c89, cab, b1), select(ccd, cef, b1), b2);
  return select(low, high, b3);
}
#if $(VEC) == 4
fn $(NAME)_load(i: u32) -> vec4f {
  let half = $(NAME)[i / 2u] >> (16u * (i % 2u));
  return $(NAME)_code(vec4u(half) >> vec4u(0u, 4u, 8u, 12u)) * $(NAME)_scales[i / 16u];
}
#endif
#endif
#if $(VEC) == 1
fn $(NAME)_load(i: u32) -> f32 {
  let word = $(NAME)[i / $(NAME)_TERMS] >> ($(NAME)_BITS * (i % $(NAME)_TERMS));
  return $(NAME)_code(vec4u(word)).x * $(NAME)_scales[i / 64u];
}
#endif
