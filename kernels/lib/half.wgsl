// Integer conversion f32 -> f16 bits, nearest even. Drivers may truncate in pack2x16float (SwiftShader)
// or fold an f16 round trip away (lavapipe), so rounding is done on the bits. Unpacking is exact everywhere.
fn half_bits(x: f32) -> u32 {
  let u = bitcast<u32>(x);
  let sign = (u >> 16u) & 0x8000u;
  let a = u & 0x7fffffffu;
  // Normal range: rebias the exponent (subtract 112 << 23) after rounding at bit 13.
  let normal = (a + 0xfffu + ((a >> 13u) & 1u) - 0x38000000u) >> 13u;
  // Subnormal half: shift the mantissa with its hidden bit; shift is 14..24 where the result is not zero.
  let shift = clamp(126u - (a >> 23u), 1u, 25u);
  let m = (a & 0x7fffffu) | 0x800000u;
  let kept = m >> shift;
  let rest = m & ((1u << shift) - 1u);
  let mid = 1u << (shift - 1u);
  let up = select(0u, 1u, rest > mid || (rest == mid && (kept & 1u) == 1u));
  var h = select(normal, kept + up, a < 0x38800000u);
  h = select(h, 0u, a < 0x33000000u);
  h = select(h, 0x7c00u, a >= 0x477ff000u);
  h = select(h, 0x7e00u, a > 0x7f800000u);
  return sign | h;
}

fn half_pair(v: vec2f) -> u32 {
  return half_bits(v.x) | (half_bits(v.y) << 16u);
}
