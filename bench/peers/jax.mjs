/**
 * jax-js as a contender: one `jit` of loss, gradients and update, as its users write it. An array is used up by the
 * function it is given to, unless it is given by `.ref`.
 */
import { blockUntilReady, defaultDevice, init, jit, nn, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import { batch, EPSILON, fill, LEARNING_RATE, operands, rotary, weightShapes, weightValues } from './model.mjs';

function norm(x, w) {
  const scale = np.sqrt(np.mean(np.square(x.ref), -1, { keepdims: true }).add(EPSILON));
  return x.div(scale).mul(w);
}

const linear = (x, w) => np.matmul(x, np.transpose(w));

function lossOf(model, w, tables, ids, labels) {
  const { L, D, H, V, B, T } = model;
  const S = D / H;
  const heads = (x) => x.reshape([B, T, H, S]);
  const rope = (x) => {
    const [low, high] = np.split(x.ref, 2, -1);
    return x.mul(tables.cos.ref).add(np.concatenate([high.neg(), low], -1).mul(tables.sin.ref));
  };
  // Every weight is used once, so it is given away; only what comes from outside the function is kept by `.ref`.
  let x = np.matmul(nn.oneHot(ids, V), w['model.embed_tokens.weight']);
  for (let i = 0; i < L; i++) {
    const at = `model.layers.${i}`;
    const h = norm(x.ref, w[`${at}.input_layernorm.weight`]);
    const q = rope(heads(linear(h.ref, w[`${at}.self_attn.q_proj.weight`])));
    const k = rope(heads(linear(h.ref, w[`${at}.self_attn.k_proj.weight`])));
    const v = heads(linear(h, w[`${at}.self_attn.v_proj.weight`]));
    const mixed = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([B * T, D]);
    x = x.add(linear(mixed, w[`${at}.self_attn.o_proj.weight`]));
    const m = norm(x.ref, w[`${at}.post_attention_layernorm.weight`]);
    const gate = linear(m.ref, w[`${at}.mlp.gate_proj.weight`]);
    const up = linear(m, w[`${at}.mlp.up_proj.weight`]);
    x = x.add(linear(nn.silu(gate).mul(up), w[`${at}.mlp.down_proj.weight`]));
  }
  const logits = linear(norm(x, w['model.norm.weight']), w['lm_head.weight']);
  return np.mean(np.sum(nn.oneHot(labels, V).mul(nn.logSoftmax(logits)), -1)).neg();
}

export async function open() {
  const found = await init('webgpu');
  if (!found.includes('webgpu')) throw new Error('jax-js found no WebGPU');
  defaultDevice('webgpu');
  const tensor = (values, shape) => np.array(values, { shape });
  return {
    about: 'jax-js',
    async matmul(shape) {
      const { ta, tb, a, b } = operands(shape);
      const x = tensor(fill('a', a[0] * a[1], 1), a);
      const y = tensor(fill('b', b[0] * b[1], 1), b);
      const product = jit((p, q) => np.matmul(ta ? np.transpose(p) : p, tb ? np.transpose(q) : q));
      return {
        async run(times) {
          let last = null;
          for (let i = 0; i < times; i++) {
            last?.dispose();
            last = product(x.ref, y.ref);
          }
          await blockUntilReady(last);
          last.dispose();
        },
        free() {
          x.dispose();
          y.dispose();
        },
      };
    },
    async train(model) {
      const { D, H, T } = model;
      let w = Object.fromEntries(Object.entries(weightShapes(model)).map(([name, shape]) => [name, tensor(weightValues(name, shape), shape)]));
      const { cos, sin } = rotary(model);
      const tables = { cos: tensor(cos, [T, 1, D / H]), sin: tensor(sin, [T, 1, D / H]) };
      const batches = [0, 1, 2, 3].map((i) => batch(i, model)).map((x) => ({ ids: np.array(x.ids), labels: np.array(x.labels) }));
      const step = jit((weights, ids, labels) => {
        const [loss, grads] = valueAndGrad((p) => lossOf(model, p, tables, ids.ref, labels.ref))(tree.ref(weights));
        ids.dispose();
        labels.dispose();
        return [loss, tree.map((p, g) => p.sub(g.mul(LEARNING_RATE)), weights, grads)];
      });
      let i = 0;
      return {
        async run(times) {
          const losses = [];
          for (let t = 0; t < times; t++) {
            const { ids, labels } = batches[i++ % 4];
            const [loss, next] = step(w, ids.ref, labels.ref);
            w = next;
            losses.push(loss);
          }
          await blockUntilReady(w);
          const values = [];
          for (const loss of losses) values.push((await loss.jsAsync()) ?? Number.NaN);
          return values;
        },
        free: () => tree.dispose([w, tables, batches]),
      };
    },
  };
}
