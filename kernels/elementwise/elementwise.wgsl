// Purpose: pointwise functions of one or two tensors, and the pointwise products their gradients are.
// Formula: Y (+)= f(A, B, c), f by OP.
// Shapes: A, B, Y flat, n elements; the tail of the last vector lies in the allocation's padding.
// Bindings: A, Y, with BINARY also B (f32 or f16 storage each).
// Constants: switches OP (below; in *_grad A is dy), BINARY.
// Numerics: arguments of exp are clamped to +-80, of tanh to +-15; one rounding on store.
#include "lib/tensor.wgsl" NAME=A BINDING=1 VEC=4
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=4
#if BINARY
#include "lib/tensor.wgsl" NAME=B BINDING=3 VEC=4
#endif
#include "lib/grid.wgsl"
struct Params {
  n4: u32,
  c: f32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

#if OP == silu || OP == silu_grad
fn sigmoid(x: vec4f) -> vec4f { return 1.0 / (1.0 + exp(-clamp(x, vec4f(-80.0), vec4f(80.0)))); }
#endif
#if OP == tanh || OP == gelu || OP == gelu_grad
fn tanh_safe(x: vec4f) -> vec4f { return tanh(clamp(x, vec4f(-15.0), vec4f(15.0))); }
#endif

#if BINARY
fn f(a: vec4f, b: vec4f) -> vec4f {
#else
fn f(a: vec4f) -> vec4f {
#endif
#if OP == add
  return a + b;
#elif OP == sub
  return a - b;
#elif OP == mul
  return a * b;
#elif OP == div
  return a / b;
#elif OP == div_grad
  return -a / b;
#elif OP == shift
  return a + P.c;
#elif OP == exp
  return exp(clamp(a, vec4f(-87.0), vec4f(88.0)));
#elif OP == log
  return log(a);
#elif OP == sqrt
  return sqrt(a);
#elif OP == sqrt_grad
  return 0.5 * a / b;
#elif OP == tanh
  return tanh_safe(a);
#elif OP == tanh_grad
  return a * (1.0 - b * b);
#elif OP == silu
  return a * sigmoid(a);
#elif OP == silu_grad
  let s = sigmoid(b);
  return a * s * (1.0 + b * (1.0 - s));
#elif OP == gelu
  return 0.5 * a * (1.0 + tanh_safe(0.7978845608028654 * (a + 0.044715 * a * a * a)));
#elif OP == gelu_grad
  let t = tanh_safe(0.7978845608028654 * (b + 0.044715 * b * b * b));
  return a * 0.5 * (1.0 + t + b * (1.0 - t * t) * 0.7978845608028654 * (1.0 + 0.134145 * b * b));
#elif OP == relu
  return max(a, vec4f());
#elif OP == relu_grad
  return select(vec4f(), a, b > vec4f());
#elif OP == square
  return a * a;
#elif OP == square_grad
  return 2.0 * a * b;
#endif
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wg, nwg) * 64u + lane;
  if (i >= P.n4) { return; }
#if BINARY
  var y = f(A_load(i), B_load(i));
#else
  var y = f(A_load(i));
#endif
  if (P.accumulate != 0u) { y += Y_load(i); }
  Y_store(i, y);
}
