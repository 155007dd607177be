/**
 * Packing of token documents into rows of exactly T tokens. Best-fit decreasing over a bounded
 * look-ahead (after Ding et al. 2024, "Fewer Truncations Improve Language Modeling"): it trades the
 * order of documents inside that look-ahead for rows that are nearly full. Documents in one pack do
 * not see each other: the attention ranges say so, and no label crosses from one to the next.
 */
import { ScionError } from '../base/errors.ts';

/** The label that losses ignore. */
export const IGNORE_LABEL = -100;

/** How documents become packs. */
export interface PackOptions {
  /** Tokens in one pack. */
  readonly T: number;
  readonly bos: number;
  readonly eos: number;
  /** The id written on padding; it is never attended and never a label. */
  readonly pad: number;
  /** Sliding attention window in tokens (a query sees itself and window - 1 before it); none by default. */
  readonly window?: number;
  /** How many pieces are sorted together; more fills better and shuffles more. Default 1,024. */
  readonly lookahead?: number;
  /** How many unfinished packs stay open between look-aheads. Default 64. */
  readonly openPacks?: number;
}

/** One training row. */
export interface Pack {
  /** u32[T] token ids. */
  readonly ids: Uint32Array<ArrayBuffer>;
  /** i32[T] next token, or -100 on padding and where a document ends. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** u32[T] position inside the piece, from 0; 0 on padding. */
  readonly positions: Uint32Array<ArrayBuffer>;
  /** u32[T, 4] = lo, hi, qlo, qhi: query t attends keys lo <= j < hi, key t is attended by queries qlo <= i < qhi; zeros on padding. */
  readonly ranges: Uint32Array<ArrayBuffer>;
  /** Tokens that are not padding. */
  readonly used: number;
  /** Labels that are not -100. */
  readonly labelCount: number;
  /** Pieces (documents or windows of long ones) in the pack. */
  readonly pieces: number;
  /** u8[T]: number of each token's type of data, where the pieces have one; 0 on padding. */
  readonly types?: Uint8Array<ArrayBuffer>;
}

/** What packing did, in counts that must add up. */
export interface PackStatistics {
  documents: number;
  /** Documents longer than T, which were cut into windows. */
  cut: number;
  pieces: number;
  packs: number;
  /** Tokens put in, with one BOS and one EOS a document. */
  tokensIn: number;
  /** Tokens that came out; always equal to `tokensIn` at the end. */
  tokensKept: number;
  labels: number;
  /** tokensKept / (packs x T). */
  fill: number;
}

/** A run of one document's tokens. */
export interface Piece {
  readonly tokens: Uint32Array<ArrayBuffer>;
  /** The label of its last token: the token after it in the same document, or -100 where the document ends or that token is not learnt. */
  readonly next: number;
  /** 1 for each token that is learnt; all are where this is absent. The first token's own flag has no effect here: `next` of what stands before it says it. */
  readonly learnt?: Uint8Array;
  /** Number of its type of data, from 0 to 255. */
  readonly type?: number;
}

interface Bin {
  readonly serial: number;
  room: number;
  readonly pieces: Piece[];
}

/** Checks options once, with the values in the message. */
function checkOptions(options: PackOptions): Required<Omit<PackOptions, 'window'>> & { window: number } {
  const { T, bos, eos, pad, window = 0, lookahead = 1024, openPacks = 64 } = options;
  const natural = (name: string, value: number, least: number) => {
    if (!Number.isInteger(value) || value < least || value > 0x7fffffff) {
      throw new ScionError('usage', `packing: ${name} must be an integer from ${least}, got ${value}`, { name, value });
    }
  };
  natural('T', T, 2);
  natural('bos', bos, 0);
  natural('eos', eos, 0);
  natural('pad', pad, 0);
  natural('window', window, 0);
  natural('lookahead', lookahead, 1);
  natural('openPacks', openPacks, 1);
  return { T, bos, eos, pad, window, lookahead, openPacks };
}

/** Puts BOS and EOS round a document and cuts it into windows of at most T tokens. */
function cutDocument(ids: ArrayLike<number>, T: number, bos: number, eos: number, type: number | undefined): Piece[] {
  const all = new Uint32Array(ids.length + 2);
  all[0] = bos;
  all.set(ids, 1);
  all[all.length - 1] = eos;
  const pieces: Piece[] = [];
  for (let at = 0; at < all.length; at += T) {
    const end = Math.min(at + T, all.length);
    // A window keeps the label of its last token: the next token is known though it lies in another pack.
    pieces.push({ tokens: all.subarray(at, end), next: end < all.length ? all[end] : IGNORE_LABEL, type });
  }
  return pieces;
}

/** Writes the arrays of one pack. The pieces hold at most T tokens together; `window` 0 is no window. */
export function fillPack(pieces: readonly Piece[], T: number, pad: number, window: number): Pack {
  const ids = new Uint32Array(T).fill(pad);
  const labels = new Int32Array(T).fill(IGNORE_LABEL);
  const positions = new Uint32Array(T);
  const ranges = new Uint32Array(T * 4);
  const types = pieces.some(({ type }) => type !== undefined) ? new Uint8Array(T) : undefined;
  let start = 0;
  let labelCount = 0;
  for (const { tokens, next, learnt, type = 0 } of pieces) {
    const end = start + tokens.length;
    ids.set(tokens, start);
    types?.fill(type, start, end);
    for (let t = start; t < end; t++) {
      const at = t + 1 - start;
      const label = t + 1 === end ? next : learnt === undefined || learnt[at] === 1 ? tokens[at] : IGNORE_LABEL;
      labels[t] = label;
      if (label !== IGNORE_LABEL) labelCount++;
      positions[t] = t - start;
      ranges[t * 4] = window > 0 ? Math.max(start, t + 1 - window) : start;
      ranges[t * 4 + 1] = t + 1;
      ranges[t * 4 + 2] = t;
      ranges[t * 4 + 3] = window > 0 ? Math.min(end, t + window) : end;
    }
    start = end;
  }
  return { ids, labels, positions, ranges, used: start, labelCount, pieces: pieces.length, ...(types && { types }) };
}

/** A row of nothing but padding, to fill up a last batch. */
export function emptyPack(T: number, pad: number): Pack {
  return fillPack([], T, pad, 0);
}

/**
 * Packs documents as they come, holding at most `lookahead` pieces and `openPacks` unfinished packs.
 * The same documents and options give the same packs. `push` and `finish` give back finished packs.
 * Throws `usage` on impossible options.
 */
export class Packer {
  private readonly options: ReturnType<typeof checkOptions>;
  private waiting: Piece[] = [];
  /** Open packs by free room, each list in order of opening. */
  private readonly open: Bin[][];
  private openCount = 0;
  private serial = 0;
  private readonly counts: PackStatistics = { documents: 0, cut: 0, pieces: 0, packs: 0, tokensIn: 0, tokensKept: 0, labels: 0, fill: 0 };

  constructor(options: PackOptions) {
    this.options = checkOptions(options);
    this.open = Array.from({ length: this.options.T + 1 }, () => []);
  }

  /** Adds one document (token ids without BOS and EOS), of a type of data if its number is given. */
  push(ids: ArrayLike<number>, type?: number): Pack[] {
    const { T, bos, eos, lookahead } = this.options;
    const pieces = cutDocument(ids, T, bos, eos, type);
    this.counts.documents++;
    this.counts.tokensIn += ids.length + 2;
    if (pieces.length > 1) this.counts.cut++;
    this.waiting.push(...pieces);
    return this.waiting.length >= lookahead ? this.place(this.options.openPacks) : [];
  }

  /** Places what waits and closes all packs. */
  finish(): Pack[] {
    return this.place(0);
  }

  /** Counts so far; complete after `finish`. */
  statistics(): PackStatistics {
    return { ...this.counts, fill: this.counts.packs === 0 ? 0 : this.counts.tokensKept / (this.counts.packs * this.options.T) };
  }

  /** Best-fit decreasing of the waiting pieces; closes full packs and the fullest ones beyond `keep`. */
  private place(keep: number): Pack[] {
    const { T } = this.options;
    // Array.prototype.sort is stable, so equal lengths keep their order on every host.
    const sorted = this.waiting.sort((a, b) => b.tokens.length - a.tokens.length);
    this.waiting = [];
    for (const piece of sorted) {
      const n = piece.tokens.length;
      let room = n;
      while (room < T && this.open[room].length === 0) room++;
      const bin: Bin = room < T ? (this.open[room].shift() as Bin) : { serial: this.serial++, room: T, pieces: [] };
      if (room >= T) this.openCount++;
      bin.pieces.push(piece);
      bin.room -= n;
      this.open[bin.room].push(bin);
    }
    const closed: Bin[] = [];
    for (let room = 0; room <= T; room++) {
      const list = this.open[room];
      while (list.length > 0 && (room === 0 || this.openCount > keep)) {
        closed.push(list.shift() as Bin);
        this.openCount--;
      }
    }
    closed.sort((a, b) => a.serial - b.serial);
    return closed.map((bin) => this.close(bin));
  }

  private close(bin: Bin): Pack {
    const pack = fillPack(bin.pieces, this.options.T, this.options.pad, this.options.window);
    this.counts.packs++;
    this.counts.pieces += pack.pieces;
    this.counts.tokensKept += pack.used;
    this.counts.labels += pack.labelCount;
    return pack;
  }
}

/** Packs a whole collection at once: all packs and the statistics. `typeOf` gives the number of a document's type of data by its place. */
export function packDocuments(
  documents: Iterable<ArrayLike<number>>,
  options: PackOptions,
  typeOf?: (document: number) => number,
): { packs: Pack[]; statistics: PackStatistics } {
  const packer = new Packer(options);
  const packs: Pack[] = [];
  let document = 0;
  for (const ids of documents) packs.push(...packer.push(ids, typeOf?.(document++)));
  packs.push(...packer.finish());
  return { packs, statistics: packer.statistics() };
}

/** What the embedding gradient needs to sum rows without atomics: positions grouped by token id. */
export interface BatchTables {
  /** u32[N]: positions of the batch, sorted by token id, equal ids in order of position. */
  readonly order: Uint32Array<ArrayBuffer>;
  /** Distinct token ids in the batch. */
  readonly segments: number;
  /** u32[N + 1]: segment s is order[starts[s] .. starts[s + 1]); entries past `segments` hold N, so a spare segment is empty. */
  readonly starts: Uint32Array<ArrayBuffer>;
  /** u32[N]: token id of each segment, ascending; zeros past `segments`. */
  readonly segmentIds: Uint32Array<ArrayBuffer>;
}

/**
 * Groups the positions of a batch by token id (stable counting sort).
 * `ids` is u32[B*T]; every id must be below V, else an `input` error names the first that is not.
 */
export function batchTables(ids: Uint32Array, V: number): BatchTables {
  const N = ids.length;
  const at = new Uint32Array(V + 1);
  for (let i = 0; i < N; i++) {
    if (ids[i] >= V) {
      throw new ScionError('input', `token id ${ids[i]} at position ${i} is outside the vocabulary of ${V}: was it encoded with another tokenizer?`, {
        id: ids[i],
        position: i,
        V,
      });
    }
    at[ids[i] + 1]++;
  }
  const starts = new Uint32Array(N + 1).fill(N);
  const segmentIds = new Uint32Array(N);
  let segments = 0;
  let total = 0;
  for (let id = 0; id < V; id++) {
    const count = at[id + 1];
    at[id + 1] = total + count;
    if (count > 0) {
      starts[segments] = total;
      segmentIds[segments++] = id;
    }
    total += count;
  }
  // `at[id]` is now where id's segment begins.
  const order = new Uint32Array(N);
  for (let i = 0; i < N; i++) order[at[ids[i]]++] = i;
  return { order, segments, starts, segmentIds };
}

/**
 * The tables of those positions alone whose id is one of `rows` from `first` on, ids counted from there: for a table of which a rank has these
 * rows. As long as those of the whole batch; positions of other ids are in no segment.
 */
export function partTables(ids: Uint32Array, first: number, rows: number): BatchTables {
  const positions: number[] = [];
  for (const [i, id] of ids.entries()) if (id >= first && id < first + rows) positions.push(i);
  const some = batchTables(
    Uint32Array.from(positions, (i) => ids[i] - first),
    rows,
  );
  const order = new Uint32Array(ids.length);
  order.set(some.order.map((k) => positions[k]));
  const starts = new Uint32Array(ids.length + 1).fill(positions.length);
  starts.set(some.starts);
  const segmentIds = new Uint32Array(ids.length);
  segmentIds.set(some.segmentIds);
  return { order, segments: some.segments, starts, segmentIds };
}
