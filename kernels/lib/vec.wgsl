// One storage unit of a row: VEC elements (4 or 1) as f32 values, and what sums and compares inside it.
#if VEC == 4
alias Num = vec4f;
fn lanes_sum(v: vec4f) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn lanes_max(v: vec4f) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
#else
alias Num = f32;
fn lanes_sum(v: f32) -> f32 { return v; }
fn lanes_max(v: f32) -> f32 { return v; }
#endif
