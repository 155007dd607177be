// A part of a function's body, text for text: stores `value`, four neighbouring results from element `i` of C (behind its offset) and column
// `n` < P.n on, added to what is there (accumulate) and to D (ADD), by scalars at a ragged edge. C and D have VEC = CVEC. Text and
// not a function: as a function it cost matmul_lanes a twelfth of its speed on untransposed products.
#if CVEC == 4
    let c = (P.c0 + i) / 4u;
    if (P.accumulate != 0u) { value += C_load(c); }
#if ADD
    value += D_load((P.d0 + i) / 4u);
#endif
    C_store(c, value);
#else
    let columns = min(4u, P.n - n);
    for (var j = 0u; j < columns; j++) {
      let c = P.c0 + i + j;
      var one = value[j];
      if (P.accumulate != 0u) { one += C_load(c); }
#if ADD
      one += D_load(P.d0 + i + j);
#endif
      C_store(c, one);
    }
#endif
