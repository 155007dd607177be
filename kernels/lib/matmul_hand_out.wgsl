// A part of a function's body (matmul_lanes), text for text: every lane's rows of A, part i, go to all lanes and meet their columns v of B.
// Parameters: A, what a lane hands out, in terms of i; B, its columns, in terms of v. The lane to take from must be a constant, so one line a
// lane; a function that gives all of them at once costs a tenth of the speed where A is transposed.
      for (var i = 0u; i < PARTS; i++) {
        let r = i * $(W)u * $(COLS)u;
        for (var v = 0u; v < $(COLS)u; v++) {
          sum[r + v] += subgroupBroadcast($(A), 0u) * $(B);
          sum[r + $(COLS)u + v] += subgroupBroadcast($(A), 1u) * $(B);
          sum[r + 2u * $(COLS)u + v] += subgroupBroadcast($(A), 2u) * $(B);
          sum[r + 3u * $(COLS)u + v] += subgroupBroadcast($(A), 3u) * $(B);
#if W != 4
          sum[r + 4u * $(COLS)u + v] += subgroupBroadcast($(A), 4u) * $(B);
          sum[r + 5u * $(COLS)u + v] += subgroupBroadcast($(A), 5u) * $(B);
          sum[r + 6u * $(COLS)u + v] += subgroupBroadcast($(A), 6u) * $(B);
          sum[r + 7u * $(COLS)u + v] += subgroupBroadcast($(A), 7u) * $(B);
#endif
#if W == 16
          sum[r + 8u * $(COLS)u + v] += subgroupBroadcast($(A), 8u) * $(B);
          sum[r + 9u * $(COLS)u + v] += subgroupBroadcast($(A), 9u) * $(B);
          sum[r + 10u * $(COLS)u + v] += subgroupBroadcast($(A), 10u) * $(B);
          sum[r + 11u * $(COLS)u + v] += subgroupBroadcast($(A), 11u) * $(B);
          sum[r + 12u * $(COLS)u + v] += subgroupBroadcast($(A), 12u) * $(B);
          sum[r + 13u * $(COLS)u + v] += subgroupBroadcast($(A), 13u) * $(B);
          sum[r + 14u * $(COLS)u + v] += subgroupBroadcast($(A), 14u) * $(B);
          sum[r + 15u * $(COLS)u + v] += subgroupBroadcast($(A), 15u) * $(B);
#endif
        }
      }
