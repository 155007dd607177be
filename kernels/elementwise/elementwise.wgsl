// Purpose: pointwise functions of one or two tensors, and the pointwise products their gradients are.
// Formula: Y (+)= f(A, B, c); which f is data (P.f), so that one pipeline serves them all.
// Shapes: A, B, Y flat, n elements; the tail of the last vector lies in the allocation's padding.
// Bindings: A, Y, with BINARY also B (f32 or f16 storage each).
// Constants: switch BINARY. Codes of f as in src/tensor/ops/elementwise.ts; in *_grad A is dy.
// Numerics: arguments of exp are clamped to +-80 in sigmoid, of tanh to +-15; one rounding on store.
#include "lib/tensor.wgsl" NAME=A BINDING=1 VEC=4
#include "lib/tensor.wgsl" NAME=Y BINDING=2 VEC=4
#if BINARY
#include "lib/tensor.wgsl" NAME=B BINDING=3 VEC=4
#endif
#include "lib/grid.wgsl"
struct Params {
  n4: u32,
  f: u32,
  c: f32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> P: Params;

fn sigmoid(x: vec4f) -> vec4f { return 1.0 / (1.0 + exp(-clamp(x, vec4f(-80.0), vec4f(80.0)))); }
// tanh of GELU's inner polynomial.
fn gelu_tanh(x: vec4f) -> vec4f { return tanh(clamp(0.7978845608028654 * (x + 0.044715 * x * x * x), vec4f(-15.0), vec4f(15.0))); }

#if BINARY
fn f(a: vec4f, b: vec4f) -> vec4f {
  switch P.f {
    case 0u { return a + b; }
    case 1u { return a - b; }
    case 2u { return a * b; }
    case 3u { return a / b; }
    // div_grad: dy * y comes in as a.
    case 4u { return -a / b; }
    // sqrt_grad, tanh_grad: b is the function's result.
    case 5u { return 0.5 * a / b; }
    case 6u { return a * (1.0 - b * b); }
    // silu_grad, gelu_grad, relu_grad, square_grad: b is the argument.
    case 7u {
      let s = sigmoid(b);
      return a * s * (1.0 + b * (1.0 - s));
    }
    case 8u {
      let t = gelu_tanh(b);
      return a * 0.5 * (1.0 + t + b * (1.0 - t * t) * 0.7978845608028654 * (1.0 + 0.134145 * b * b));
    }
    case 9u { return select(vec4f(), a, b > vec4f()); }
    default { return 2.0 * a * b; }
  }
}
#else
fn f(a: vec4f) -> vec4f {
  switch P.f {
    case 0u { return a + P.c; }
    case 1u { return exp(clamp(a, vec4f(-87.0), vec4f(88.0))); }
    case 2u { return log(a); }
    case 3u { return sqrt(a); }
    case 4u { return tanh(clamp(a, vec4f(-15.0), vec4f(15.0))); }
    case 5u { return a * sigmoid(a); }
    case 6u { return 0.5 * a * (1.0 + gelu_tanh(a)); }
    case 7u { return max(a, vec4f()); }
    default { return a * a; }
  }
}
#endif

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
