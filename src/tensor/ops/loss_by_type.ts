/**
 * Training loss by type of data: sums of losses and counts of labels by the type of each row, kept on the device and
 * read with the step records. It trades K reads of all rows (K types, at most 64) for sums in a fixed order without
 * atomics; beside a head of thousands of columns that is nothing.
 */
import type { Value } from '../graph.ts';
import type { Op } from '../op.ts';
import { require_, sizeOf } from '../types.ts';

/** Types that can be told apart; more are lumped together by who numbers them. */
export const MOST_TYPES = 64;

const f32Bits = (x: number): number => new Uint32Array(new Float32Array([x]).buffer)[0];
const bitsF32 = (x: number): number => new Float32Array(new Uint32Array([x]).buffer)[0];

/** Inputs nll f32 [N], labels i32 [N], types u32 [N], sums u32 [2 K]: K sums (bits of f32), then K counts. A type of K or more is not counted. */
export const LOSS_BY_TYPE: Op = {
  name: 'loss_by_type',
  updates: [[0, 3]],
  infer(inputs) {
    const [nll, labels, types, sums] = inputs;
    const n = sizeOf(nll.shape);
    const k = sizeOf(sums.shape) / 2;
    require_('loss_by_type', nll.dtype === 'f32' && labels.dtype === 'i32' && types.dtype === 'u32', 'losses f32, labels i32 and types u32', inputs);
    require_('loss_by_type', sizeOf(labels.shape) === n && sizeOf(types.shape) === n, 'as many losses as labels and types', inputs);
    require_('loss_by_type', sums.dtype === 'u32' && Number.isInteger(k) && k >= 1 && k <= MOST_TYPES, `sums u32 [2 K] for 1 to ${MOST_TYPES} types`, inputs);
    return [sums];
  },
  lower(l, node) {
    const [nll, labels, types, sums] = node.inputs;
    const k = sizeOf(sums.shape) / 2;
    l.dispatch({
      kernel: 'loss/loss_by_type',
      bind: { NLL: nll, LABELS: labels, TYPES: types, SUMS: sums },
      params: { n: sizeOf(nll.shape), v: node.attrs.vocabulary as number, types: k },
      grid: [k, 1, 1],
    });
  },
  cost(node) {
    const work = sizeOf(node.inputs[0].shape) * (sizeOf(node.inputs[3].shape) / 2);
    return { flops: work, bytes: 12 * work };
  },
  place: { rule: 'rows', rows: [0, 1, 2], joins: { rows: 'all-reduce' } },
  reference([nll, labels, types, sums], attrs) {
    const out = sums.data.slice();
    const k = out.length / 2;
    const totals = Array.from({ length: k }, (_, i) => bitsF32(out[i]));
    nll.data.forEach((x, i) => {
      const type = types.data[i];
      if (type >= k) return;
      totals[type] += x;
      if (labels.data[i] >= 0 && labels.data[i] < (attrs.vocabulary as number)) out[k + type]++;
    });
    totals.forEach((total, i) => {
      out[i] = f32Bits(total);
    });
    return [out];
  },
};

/** Loss and labels of one type since the sums were zeroed. */
export interface TypeLoss {
  /** Sum of negative log-likelihoods, nats. */
  readonly nll: number;
  readonly labels: number;
}

/** Reads the words of the sums. */
export function readTypeLosses(words: Uint32Array): TypeLoss[] {
  const k = words.length / 2;
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  return Array.from({ length: k }, (_, i) => ({ nll: floats[i], labels: words[k + i] }));
}

/** The sums after a micro's losses were added. */
export function addTypeLosses(nll: Value, labels: Value, types: Value, sums: Value, vocabulary: number): Value {
  return nll.node.graph.apply1(LOSS_BY_TYPE, [nll, labels, types, sums], { vocabulary });
}
