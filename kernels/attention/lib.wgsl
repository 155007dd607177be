// Shared by the attention kernels: the element type T of the switch VEC, its dot product and its zero,
// the score of a masked pair (finite: infinities fold to NaN on some drivers), and a safe exponential.
#if VEC == 4
alias Vec = vec4f;
fn vec_dot(a: Vec, b: Vec) -> f32 { return dot(a, b); }
#else
alias Vec = f32;
fn vec_dot(a: Vec, b: Vec) -> f32 { return a * b; }
#endif
const MASKED = -1e30;
// exp for arguments that are at most 0 in exact arithmetic; below -87 the result would be subnormal.
fn soft_exp(x: f32) -> f32 { return exp(clamp(x, -87.0, 0.0)); }
