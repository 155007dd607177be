// Frame of the tile kernels: 128 threads as 16 (y) x 8 (x), 64 rows against 32 columns. Thread (x, y) holds rows y + 16 r
// and columns x + 8 i (r, i < 4), and of results the vec4 number x of each chunk of 32 elements of its four rows.
// LEFT and RIGHT hold one chunk of 8 vec4 a row (9 apart, against bank conflicts); LEFT also passes the tile of weights,
// row by row, component i of vec4 x being column x + 8 i. At most 15.6 KiB of workgroup memory at every head size.
// Loops over a thread's rows have their bound as data and passes share one text: each load, store and barrier that a CPU
// driver sees twice costs it seconds of compile time.
var<workgroup> LEFT: array<vec4f, 576>;
var<workgroup> RIGHT: array<vec4f, 288>;
var<workgroup> SPAN: vec2u;

fn size4() -> u32 { return (P.size * $(VEC)u + 3u) / 4u; }
fn dots4(a: vec4f, b0: vec4f, b1: vec4f, b2: vec4f, b3: vec4f) -> vec4f { return vec4f(dot(a, b0), dot(a, b1), dot(a, b2), dot(a, b3)); }

// The union of 64 rows' ranges, found by one thread: a storage load is never uniform to WGSL, a workgroup value can be.
fn span_of(lane: u32, sequence: u32, base: u32, column: u32) -> vec2u {
  if (lane == 0u) {
    var span = vec2u(0xffffffffu, 0u);
    for (var t = base; t < min(base + 64u, P.tokens); t++) {
      let range = vec2u(R[sequence + t][column], R[sequence + t][column + 1u]);
      if (range.x < range.y) { span = vec2u(min(span.x, range.x), max(span.y, range.y)); }
    }
    SPAN = span;
  }
  return workgroupUniformLoad(&SPAN);
}

// The range of a thread's row r.
fn range_of(sequence: u32, token: u32, column: u32) -> vec2u {
  let range = R[sequence + token];
  return select(range.xy, range.zw, vec2<bool>(column == 2u));
}

// s[r] += LEFT rows . RIGHT rows over the staged chunk of n vec4.
struct Scores { s0: vec4f, s1: vec4f, s2: vec4f, s3: vec4f }
fn chunk_dots(s: Scores, x: u32, y: u32, n: u32) -> Scores {
  var o = s;
  for (var d = 0u; d < n; d++) {
    let b0 = RIGHT[x * 9u + d];
    let b1 = RIGHT[x * 9u + 72u + d];
    let b2 = RIGHT[x * 9u + 144u + d];
    let b3 = RIGHT[x * 9u + 216u + d];
    o.s0 += dots4(LEFT[y * 9u + d], b0, b1, b2, b3);
    o.s1 += dots4(LEFT[y * 9u + 144u + d], b0, b1, b2, b3);
    o.s2 += dots4(LEFT[y * 9u + 288u + d], b0, b1, b2, b3);
    o.s3 += dots4(LEFT[y * 9u + 432u + d], b0, b1, b2, b3);
  }
  return o;
}

// a[r] += weights in LEFT times vec4 x of the RIGHT rows, over the first n of 8 groups of columns.
fn chunk_mix(a: Scores, x: u32, y: u32, n: u32) -> Scores {
  var o = a;
  for (var u = 0u; u < n; u++) {
    let v = mat4x4f(RIGHT[u * 9u + x], RIGHT[u * 9u + 72u + x], RIGHT[u * 9u + 144u + x], RIGHT[u * 9u + 216u + x]);
    o.s0 += v * LEFT[y * 9u + u];
    o.s1 += v * LEFT[y * 9u + 144u + u];
    o.s2 += v * LEFT[y * 9u + 288u + u];
    o.s3 += v * LEFT[y * 9u + 432u + u];
  }
  return o;
}

fn put_weights(x: u32, y: u32, w: Scores) {
  LEFT[y * 9u + x] = w.s0;
  LEFT[y * 9u + 144u + x] = w.s1;
  LEFT[y * 9u + 288u + x] = w.s2;
  LEFT[y * 9u + 432u + x] = w.s3;
}

fn row_of(a: Scores, r: u32) -> vec4f { return select(select(a.s0, a.s1, r == 1u), select(a.s2, a.s3, r == 3u), r > 1u); }
