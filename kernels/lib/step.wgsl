// The words of the step state (src/tensor/ops/step_state.ts keeps the same list). u32 unless noted.
const STEP_ATTEMPTED = 0u;   // steps tried
const STEP_T = 1u;           // steps done: Adam's t
const STEP_LOSS_SCALE = 2u;  // f32
const STEP_GOOD = 3u;        // steps since the scale last changed
const STEP_FOUND_INF = 4u;   // 1: the last step was skipped
const STEP_NORM = 5u;        // f32, gradient norm before clipping, unscaled
const STEP_GRAD_SCALE = 6u;  // f32, clip factor / loss scale
const STEP_LOSS_SUM = 7u;    // f32, of the step under way
const STEP_TOKENS = 8u;      // labels that count, of the step under way
const STEP_BAD_RUN = 9u;     // skipped steps in a row
const STEP_SKIPPED = 10u;    // skipped steps in all
const STEP_BC1 = 11u;        // f32, 1 / (1 - beta1^t)
const STEP_BC2 = 12u;        // f32, 1 / (1 - beta2^t)
const STEP_LR = 13u;         // f32
const STEP_RING = 16u;       // records of 8 words: attempted, loss sum, tokens, norm, loss scale, skipped (1: not finite, 2: outlier), lr, t
const STEP_RECORD = 8u;
