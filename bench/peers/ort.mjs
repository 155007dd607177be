/**
 * ONNX Runtime's native WebGPU provider (its own Dawn): inference only, so it takes part in matmul alone. A session's outputs come
 * back to the host; to time the product and not the way back, a model holds several products of one A with different
 * B and gives a single row of each. Layouts with a transpose are `Gemm` nodes, as exporters write them.
 */
import ort from 'onnxruntime-node';
import { fill, operands } from './model.mjs';

/** Products in one model. */
const PRODUCTS = 4;

// Protocol buffers by hand: ONNX needs only varints and length-delimited fields.
const varint = (value) => {
  const out = [];
  let rest = value;
  do {
    out.push((rest % 128) + (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(out);
};
const number = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);
const bytes = (field, value) => {
  const body = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([varint(field * 8 + 2), varint(body.length), body]);
};
const message = (field, ...parts) => bytes(field, Buffer.concat(parts));

const FLOAT = 1;
const INT64 = 7;
const tensor = (name, shape, type, values) => {
  const data = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return message(5, ...shape.map((n) => number(1, n)), number(2, type), bytes(8, name), bytes(9, data));
};
const attribute = (name, value) => message(5, bytes(1, name), number(3, value), number(20, 2));
const node = (type, inputs, output, ...attributes) =>
  message(1, ...inputs.map((x) => bytes(1, x)), bytes(2, output), bytes(3, output), bytes(4, type), ...attributes);
const typed = (field, name, shape) => {
  const dims = shape.map((n) => message(1, number(1, n)));
  return message(field, bytes(1, name), message(2, message(1, number(1, FLOAT), message(2, ...dims))));
};

/** The bytes of a model: A in, PRODUCTS rows out. */
function modelBytes(shape) {
  const { ta, tb, a, b } = operands(shape);
  const parts = [];
  for (let i = 0; i < PRODUCTS; i++) {
    const transposes = ta || tb ? [attribute('transA', ta ? 1 : 0), attribute('transB', tb ? 1 : 0)] : [];
    parts.push(node(ta || tb ? 'Gemm' : 'MatMul', ['a', `b${i}`], `c${i}`, ...transposes));
    parts.push(node('Gather', [`c${i}`, 'row'], `y${i}`));
  }
  parts.push(bytes(2, 'products'));
  for (let i = 0; i < PRODUCTS; i++) parts.push(tensor(`b${i}`, b, FLOAT, fill(`b${i}`, b[0] * b[1], 1)));
  parts.push(tensor('row', [1], INT64, BigInt64Array.of(0n)));
  parts.push(typed(11, 'a', a));
  for (let i = 0; i < PRODUCTS; i++) parts.push(typed(12, `y${i}`, [1, shape.n]));
  return Buffer.concat([number(1, 8), message(7, ...parts), message(8, bytes(1, ''), number(2, 13))]);
}

export async function open() {
  return {
    about: 'ONNX Runtime WebGPU',
    async matmul(shape) {
      const session = await ort.InferenceSession.create(modelBytes(shape), { executionProviders: ['webgpu'], logSeverityLevel: 3 });
      const { a } = operands(shape);
      const feeds = { a: new ort.Tensor('float32', fill('a', a[0] * a[1], 1), a) };
      return {
        async run(times) {
          for (let i = 0; i < times; i++) await session.run(feeds);
        },
        per: PRODUCTS,
        free: () => session.release(),
      };
    },
  };
}
