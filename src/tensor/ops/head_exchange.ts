/**
 * All-to-all between tokens and heads (DeepSpeed-Ulysses, Jacobs et al. 2023): every rank has a run of each sequence's tokens with all heads, and gets
 * all tokens with its part of the heads, or the other way round. Each is the other's adjoint. Rank r has tokens r T/n to (r + 1) T/n.
 * A row may hold sections of heads (queries, keys, values); of each, every rank gets an equal part.
 */
import type { Node, Value } from '../graph.ts';
import { copyColumns } from '../lower/columns.ts';
import type { Lowering, Op, Slice } from '../op.ts';
import { byteSize, dtypeBytes, require_ } from '../types.ts';
import { COPY } from './copy.ts';
import type { RankAxis } from './exchange.ts';

type Attrs = RankAxis & { readonly sections: readonly number[]; readonly to: 'heads' | 'tokens' };

/** The section widths of a rank's part, and where each begins in a whole row and in a part's. */
function cuts({ sections, ranks }: Attrs): { width: number; at: number; part: number }[] {
  let at = 0;
  return sections.map((whole) => {
    const cut = { width: whole / ranks, at, part: at / ranks };
    at += whole;
    return cut;
  });
}

function lower(l: Lowering, node: Node): void {
  const attrs = node.attrs as unknown as Attrs;
  const { axis, ranks, rank, to } = attrs;
  const [x] = node.inputs;
  const [y] = node.outputs;
  const half = x.dtype === 'f16';
  const size = dtypeBytes(x.dtype);
  // `all` has every token and a part of the heads, `own` this rank's tokens and whole rows.
  const [all, own] = to === 'heads' ? [y, x] : [x, y];
  const [B, own_T, W] = own.shape;
  const part = W / ranks;
  const block = B * own_T * part;
  const others = Array.from({ length: ranks }, (_, r) => r).filter((r) => r !== rank);
  const scratch = others.length > 0 ? l.scratch(ranks * block * size) : null;
  const boxes = Array.from({ length: ranks }, (_, r): Slice[] =>
    r === rank || !scratch ? [] : [{ of: scratch, offset: r * block * size, bytes: block * size }],
  );
  const rows = Array.from({ length: ranks }, (_, r): Slice[] =>
    r === rank ? [] : Array.from({ length: B }, (_, b) => ({ of: all, offset: (b * ranks + r) * own_T * part * size, bytes: own_T * part * size })),
  );
  const packed = (r: number, at: number) => ({ of: scratch ?? own, at: r * block + at, row: part, outer: own_T * part, half });
  const whole = (r: number, { at, width }: { at: number; width: number }) => ({ of: own, at: at + r * width, row: W, outer: own_T * W, half });
  const mine = (at: number) => ({ of: all, at: rank * own_T * part + at, row: part, outer: ranks * own_T * part, half });
  const shape = (width: number) => ({ width, inner: own_T, outer: B });
  if (to === 'heads') {
    for (const cut of cuts(attrs)) for (const r of others) copyColumns(l, whole(r, cut), packed(r, cut.part), shape(cut.width));
    for (const cut of cuts(attrs)) copyColumns(l, whole(rank, cut), mine(cut.part), shape(cut.width));
    if (scratch) l.await(l.exchange({ how: 'swap', axis, parts: boxes, into: rows }));
    return;
  }
  const id = scratch && l.exchange({ how: 'swap', axis, parts: rows, into: boxes });
  for (const cut of cuts(attrs)) copyColumns(l, mine(cut.part), whole(rank, cut), shape(cut.width));
  if (id === null) return;
  l.await(id);
  for (const cut of cuts(attrs)) for (const r of others) copyColumns(l, packed(r, cut.part), whole(r, cut), shape(cut.width));
}

/** Input x [B, T/n, W] and output [B, T, W/n] for `to` heads; the reverse for `to` tokens. */
export const HEAD_EXCHANGE: Op = {
  name: 'head_exchange',
  infer([x], attrs) {
    const { ranks, rank, sections, to } = attrs as unknown as Attrs;
    const width = sections.reduce((a, b) => a + b, 0);
    require_('head_exchange', Number.isInteger(ranks) && ranks >= 1 && rank >= 0 && rank < ranks, 'a rank of an axis', `${rank} of ${ranks}`);
    require_('head_exchange', x.dtype === 'f32' || x.dtype === 'f16', 'x must be f32 or f16', [x]);
    require_(
      'head_exchange',
      sections.every((n) => n % ranks === 0 && (n / ranks) % 2 === 0),
      `sections must split into even widths over ${ranks}`,
      `${sections}`,
    );
    const [B, T, W] = x.shape;
    const row = to === 'heads' ? width : width / ranks;
    require_(
      'head_exchange',
      x.shape.length === 3 && W === row && (to === 'heads' || T % ranks === 0),
      `x must be [B, T, ${row}], tokens split over ${ranks}`,
      [x],
    );
    return [{ shape: to === 'heads' ? [B, T * ranks, W / ranks] : [B, T / ranks, W * ranks], dtype: x.dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy || !g.wants(0)) return;
    const to = node.attrs.to === 'heads' ? 'tokens' : 'heads';
    g.contribute([0], ([into]) => {
      const back = node.graph.apply1(HEAD_EXCHANGE, [dy], { ...node.attrs, to });
      return [into ? node.graph.apply1(COPY, [back], { scale: 1, dtype: into.dtype }, into) : back];
    });
  },
  lower,
  cost: (node) => ({ flops: 0, bytes: 2 * byteSize(node.inputs[0]) }),
  place: { rule: 'collective' },
  reference: ([x]) => [x.data.slice()],
};

const exchange = (x: Value, to: Attrs['to'], { axis, ranks, rank }: RankAxis, sections: readonly number[]): Value =>
  x.node.graph.apply1(HEAD_EXCHANGE, [x], { axis, ranks, rank, sections, to });

/** [B, T/n, W] of own tokens to [B, T, W/n] of own heads; `sections` are the widths of a whole row's parts, each of which is cut into n. */
export const toHeads = (x: Value, axis: RankAxis, sections: readonly number[]): Value => exchange(x, 'heads', axis, sections);
/** [B, T, W/n] of own heads to [B, T/n, W] of own tokens. */
export const toTokens = (x: Value, axis: RankAxis, sections: readonly number[]): Value => exchange(x, 'tokens', axis, sections);
