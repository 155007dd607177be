/**
 * TensorFlow.js on its WebGPU backend, as its users write a LLaMA: eager ops under `minimize`. The lookup of embeddings is a
 * product with one-hot rows, since the backend has no gradient of gather.
 */
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-webgpu';
import { batch, EPSILON, fill, LEARNING_RATE, operands, rotary, weightShapes, weightValues } from './model.mjs';

/** Ends when the device has done all that was asked of it. */
async function idle() {
  const backend = tf.backend();
  if (backend.commandEncoder) {
    backend.endComputePassEncoder();
    backend.submitQueue();
  }
  await backend.device.queue.onSubmittedWorkDone();
}

const norm = (x, w) => tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), EPSILON))), w);

function lossOf(model, w, tables, ids, labels) {
  const { L, D, H, V, B, T } = model;
  const S = D / H;
  const linear = (x, name) => tf.matMul(x, w[name], false, true);
  const heads = (x) => tf.transpose(tf.reshape(x, [B, T, H, S]), [0, 2, 1, 3]);
  const rope = (x) => {
    const [low, high] = tf.split(x, 2, -1);
    return tf.add(tf.mul(x, tables.cos), tf.mul(tf.concat([tf.neg(high), low], -1), tables.sin));
  };
  let x = tf.matMul(tf.oneHot(ids, V), w['model.embed_tokens.weight']);
  for (let i = 0; i < L; i++) {
    const at = `model.layers.${i}`;
    const h = norm(x, w[`${at}.input_layernorm.weight`]);
    const q = rope(heads(linear(h, `${at}.self_attn.q_proj.weight`)));
    const k = rope(heads(linear(h, `${at}.self_attn.k_proj.weight`)));
    const v = heads(linear(h, `${at}.self_attn.v_proj.weight`));
    const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(S)), tables.mask);
    const mixed = tf.reshape(tf.transpose(tf.matMul(tf.softmax(scores), v), [0, 2, 1, 3]), [B * T, D]);
    x = tf.add(x, linear(mixed, `${at}.self_attn.o_proj.weight`));
    const m = norm(x, w[`${at}.post_attention_layernorm.weight`]);
    const gate = linear(m, `${at}.mlp.gate_proj.weight`);
    const up = linear(m, `${at}.mlp.up_proj.weight`);
    x = tf.add(x, linear(tf.mul(tf.mul(gate, tf.sigmoid(gate)), up), `${at}.mlp.down_proj.weight`));
  }
  const logits = linear(norm(x, w['model.norm.weight']), 'lm_head.weight');
  return tf.neg(tf.mean(tf.sum(tf.mul(tf.oneHot(labels, V), tf.logSoftmax(logits)), -1)));
}

export async function open() {
  if (!(await tf.setBackend('webgpu'))) throw new Error('TensorFlow.js found no WebGPU');
  await tf.ready();
  return {
    about: `TensorFlow.js ${tf.version.tfjs}`,
    async matmul(shape) {
      const { ta, tb, a, b } = operands(shape);
      const x = tf.tensor2d(fill('a', a[0] * a[1], 1), a);
      const y = tf.tensor2d(fill('b', b[0] * b[1], 1), b);
      return {
        async run(times) {
          for (let i = 0; i < times; i++) tf.matMul(x, y, ta, tb).dispose();
          await idle();
        },
        free: () => tf.dispose([x, y]),
      };
    },
    async train(model) {
      const { D, H, T } = model;
      const w = Object.fromEntries(
        Object.entries(weightShapes(model)).map(([name, shape]) => [name, tf.variable(tf.tensor(weightValues(name, shape), shape))]),
      );
      const { cos, sin } = rotary(model);
      const mask = Float32Array.from({ length: T * T }, (_, i) => (i % T <= Math.floor(i / T) ? 0 : -1e9));
      const tables = { cos: tf.tensor2d(cos, [T, D / H]), sin: tf.tensor2d(sin, [T, D / H]), mask: tf.tensor2d(mask, [T, T]) };
      const optimizer = tf.train.sgd(LEARNING_RATE);
      const batches = [0, 1, 2, 3].map((i) => batch(i, model)).map((x) => ({ ids: tf.tensor1d(x.ids, 'int32'), labels: tf.tensor1d(x.labels, 'int32') }));
      let i = 0;
      return {
        async run(times) {
          const losses = [];
          for (let t = 0; t < times; t++) {
            const { ids, labels } = batches[i++ % 4];
            losses.push(optimizer.minimize(() => lossOf(model, w, tables, ids, labels), true));
          }
          const values = [];
          for (const loss of losses) values.push((await loss.data())[0]);
          tf.dispose(losses);
          await idle();
          return values;
        },
        free: () => tf.dispose([Object.values(w), Object.values(tables), batches.map((x) => [x.ids, x.labels])]),
      };
    },
  };
}
