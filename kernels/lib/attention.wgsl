// Shared by the attention kernels: the element type of the switch VEC and its products, and safe exponentials.
// Masks are finite: infinities fold to NaN on some drivers. Arguments of exp are at most 0 in exact arithmetic;
// below -87 the result would be subnormal.
#if VEC == 4
alias Vec = vec4f;
fn vec_dot(a: Vec, b: Vec) -> f32 { return dot(a, b); }
#elif VEC == 2
alias Vec = vec2f;
fn vec_dot(a: Vec, b: Vec) -> f32 { return dot(a, b); }
#else
alias Vec = f32;
fn vec_dot(a: Vec, b: Vec) -> f32 { return a * b; }
#endif
const MASKED = -1e30;
fn soft_exp(x: f32) -> f32 { return exp(clamp(x, -87.0, 0.0)); }
fn soft_exp4(x: vec4f) -> vec4f { return exp(clamp(x, vec4f(-87.0), vec4f(0.0))); }
fn vec_dots(a: Vec, b0: Vec, b1: Vec, b2: Vec, b3: Vec) -> vec4f {
  return vec4f(vec_dot(a, b0), vec_dot(a, b1), vec_dot(a, b2), vec_dot(a, b3));
}
fn vec_mix(p: vec4f, v0: Vec, v1: Vec, v2: Vec, v3: Vec) -> Vec { return p.x * v0 + p.y * v1 + p.z * v2 + p.w * v3; }
fn vec_max(s: vec4f) -> f32 { return max(max(s.x, s.y), max(s.z, s.w)); }
fn vec_sum(s: vec4f) -> f32 { return (s.x + s.y) + (s.z + s.w); }
