/**
 * What every contender must agree on: weights, batches and shapes, made from one small generator, so that no file
 * passes between the processes. Weights carry Hugging Face's names and layout ([out, in]); noise is uniform, since only
 * equality matters here, not training well.
 */

/** LLaMA blocks; B packs of T tokens, vocabulary V, width D, H heads, feed-forward F, L layers. */
export const MODELS = {
  small: { L: 2, D: 64, H: 4, F: 172, V: 256, B: 4, T: 64 },
  medium: { L: 4, D: 256, H: 8, F: 688, V: 256, B: 8, T: 128 },
};

/** Plain SGD without momentum or decay: the one rule that all contenders have. */
export const LEARNING_RATE = 0.1;
export const EPSILON = 1e-5;
export const THETA = 10000;

/** Uniform numbers in [-1, 1): a 32-bit xorshift seeded by a string. */
function noise(text) {
  let state = 2166136261;
  for (const letter of text) state = Math.imul(state ^ letter.charCodeAt(0), 16777619) >>> 0;
  state ||= 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2147483648 - 1;
  };
}

/** An array of noise times `scale`. */
export function fill(name, size, scale) {
  const next = noise(name);
  return Float32Array.from({ length: size }, () => scale * next());
}

/** Hugging Face name to shape, in order. */
export function weightShapes({ L, D, F, V }) {
  const shapes = { 'model.embed_tokens.weight': [V, D] };
  for (let i = 0; i < L; i++) {
    const at = `model.layers.${i}`;
    shapes[`${at}.input_layernorm.weight`] = [D];
    for (const p of ['q', 'k', 'v', 'o']) shapes[`${at}.self_attn.${p}_proj.weight`] = [D, D];
    shapes[`${at}.post_attention_layernorm.weight`] = [D];
    shapes[`${at}.mlp.gate_proj.weight`] = [F, D];
    shapes[`${at}.mlp.up_proj.weight`] = [F, D];
    shapes[`${at}.mlp.down_proj.weight`] = [D, F];
  }
  shapes['model.norm.weight'] = [D];
  shapes['lm_head.weight'] = [V, D];
  return shapes;
}

/** Values of one weight: norms near 1, matrices uniform with a standard deviation of about 0.06. */
export function weightValues(name, shape) {
  const size = shape.reduce((a, b) => a * b, 1);
  const values = fill(name, size, 0.1);
  return shape.length === 1 ? values.map((x) => 1 + x) : values;
}

/** Batch number `i`: ids and the ids that follow them, [B, T] each. */
export function batch(i, { B, T, V }) {
  const next = noise(`batch ${i}`);
  const all = Int32Array.from({ length: B * (T + 1) }, () => Math.min(V - 1, Math.floor((next() + 1) * 0.5 * V)));
  const ids = new Int32Array(B * T);
  const labels = new Int32Array(B * T);
  for (let b = 0; b < B; b++) {
    ids.set(all.subarray(b * (T + 1), b * (T + 1) + T), b * T);
    labels.set(all.subarray(b * (T + 1) + 1, (b + 1) * (T + 1)), b * T);
  }
  return { ids, labels };
}

/** cos and sin [T, S] of Hugging Face's half-split rotary embedding: both halves repeat the same angles. */
export function rotary({ T, D, H }) {
  const S = D / H;
  const cos = new Float32Array(T * S);
  const sin = new Float32Array(T * S);
  for (let t = 0; t < T; t++) {
    for (let s = 0; s < S; s++) {
      const angle = t * THETA ** (-(2 * (s % (S / 2))) / S);
      cos[t * S + s] = Math.cos(angle);
      sin[t * S + s] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** Stored shapes of a product's operands; layout letter T: transposed in storage. */
export function operands({ m, n, k, layout }) {
  const ta = layout[0] === 'T';
  const tb = layout[1] === 'T';
  return { ta, tb, a: ta ? [k, m] : [m, k], b: tb ? [n, k] : [k, n] };
}
