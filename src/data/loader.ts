/**
 * Batches of packs for training, resumable to the pack: the order of an epoch is a function of seed and
 * epoch alone, so the whole state is two counters. Epochs follow each other without a gap: a batch may
 * hold the end of one and the beginning of the next, each pack comes exactly once an epoch, and every
 * batch has the same shape. Packs stay in memory; for corpora larger than that, open one loader a bucket.
 */
import { ScionError } from '../base/errors.ts';
import { Random } from '../base/random.ts';
import { hash32, hashWords } from './hash.ts';
import { emptyPack, type Pack } from './pack.ts';

/** B packs side by side. */
export interface Batch {
  /** u32[B*T]. */
  readonly ids: Uint32Array<ArrayBuffer>;
  /** i32[B*T], -100 where nothing is to be predicted. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** u32[B*T]. */
  readonly positions: Uint32Array<ArrayBuffer>;
  /** u32[B*T*4]; each row's ranges count inside its own pack. */
  readonly ranges: Uint32Array<ArrayBuffer>;
  /** Labels that count: the loss is a mean over these. */
  readonly tokens: number;
  /** Positions that are not padding. */
  readonly used: number;
  /** Epoch of the first pack, from 0. */
  readonly epoch: number;
  /** Bucket of the first pack, from 0, where data lies in buckets. */
  readonly bucket?: number;
  /** u32[B*T]: number of each token's type of data, where packs know it; 0 on padding. */
  readonly types?: Uint32Array<ArrayBuffer>;
}

/** Everything a checkpoint keeps of a loader. */
export interface LoaderState {
  readonly version: 1;
  readonly seed: number;
  readonly epoch: number;
  /** Packs of this epoch already given out. */
  readonly cursor: number;
  /** Number of packs, their length and a hash of their ids: a resume must find the same data. */
  readonly packs: number;
  readonly T: number;
  readonly fingerprint: number;
}

/** How packs are given out. */
export interface LoaderOptions {
  /** Packs in a batch. */
  readonly B: number;
  readonly seed?: number;
  /** False keeps the order of the packs in every epoch. Default true. */
  readonly shuffle?: boolean;
}

/** Puts packs of equal length into one batch. */
export function collate(packs: readonly Pack[], epoch = 0): Batch {
  const T = packs[0].ids.length;
  const N = packs.length * T;
  const ids = new Uint32Array(N);
  const labels = new Int32Array(N);
  const positions = new Uint32Array(N);
  const ranges = new Uint32Array(N * 4);
  const types = packs.some((pack) => pack.types) ? new Uint32Array(N) : undefined;
  let tokens = 0;
  let used = 0;
  packs.forEach((pack, b) => {
    ids.set(pack.ids, b * T);
    labels.set(pack.labels, b * T);
    positions.set(pack.positions, b * T);
    ranges.set(pack.ranges, b * T * 4);
    if (pack.types) types?.set(pack.types, b * T);
    tokens += pack.labelCount;
    used += pack.used;
  });
  return { ids, labels, positions, ranges, tokens, used, epoch, ...(types && { types }) };
}

/** All packs once, in order; the last batch is filled up with empty rows so that shapes stay equal. For validation. */
export function* sequentialBatches(packs: readonly Pack[], B: number, pad: number): Generator<Batch> {
  for (let at = 0; at < packs.length; at += B) {
    const some = packs.slice(at, at + B);
    while (some.length < B) some.push(emptyPack(packs[0].ids.length, pad));
    yield collate(some);
  }
}

/** An endless, resumable sequence of batches. */
export class PackLoader {
  readonly B: number;
  readonly T: number;
  readonly seed: number;
  private readonly packs: readonly Pack[];
  private readonly shuffle: boolean;
  private readonly fingerprint: number;
  private epoch = 0;
  private cursor = 0;
  private order: Uint32Array;

  /** Throws `usage` for B below 1, `input` for no packs or packs of different lengths. */
  constructor(packs: readonly Pack[], options: LoaderOptions) {
    const { B, seed = 0, shuffle = true } = options;
    if (!Number.isInteger(B) || B < 1) throw new ScionError('usage', `loader: B must be an integer from 1, got ${B}`, { B });
    if (packs.length === 0)
      throw new ScionError('input', 'loader: there is no data, 0 packs were given: are the files empty or all in the validation split?', { packs: 0 });
    this.T = packs[0].ids.length;
    const odd = packs.findIndex((pack) => pack.ids.length !== this.T);
    if (odd >= 0)
      throw new ScionError('input', `loader: pack ${odd} has ${packs[odd].ids.length} tokens, the first has ${this.T}; pack all with one T`, { pack: odd });
    this.B = B;
    this.seed = seed >>> 0;
    this.packs = packs;
    this.shuffle = shuffle;
    this.fingerprint = packs.reduce((h, pack) => hashWords(pack.ids, h), 0);
    this.order = this.orderOf(0);
  }

  /** Batches in one epoch, the last of which may reach into the next. */
  get batchesPerEpoch(): number {
    return Math.ceil(this.packs.length / this.B);
  }

  /** The next batch. */
  next(): Batch {
    const epoch = this.epoch;
    const some: Pack[] = [];
    while (some.length < this.B) {
      some.push(this.packs[this.order[this.cursor++]]);
      if (this.cursor === this.packs.length) {
        this.epoch++;
        this.cursor = 0;
        this.order = this.orderOf(this.epoch);
      }
    }
    return collate(some, epoch);
  }

  /** What is needed to go on exactly here; plain JSON. */
  state(): LoaderState {
    return { version: 1, seed: this.seed, epoch: this.epoch, cursor: this.cursor, packs: this.packs.length, T: this.T, fingerprint: this.fingerprint };
  }

  /** Goes on where `state` was taken. Throws `input` when the data or the seed are not those of the state. */
  restore(state: LoaderState): void {
    const here = this.state();
    for (const key of ['version', 'seed', 'packs', 'T', 'fingerprint'] as const) {
      if (state[key] !== here[key]) {
        throw new ScionError(
          'input',
          `resume: the data loader had ${key} ${state[key]}, now it has ${here[key]}: use the same data files, tokenizer, length and seed`,
          {
            key,
            saved: state[key],
            found: here[key],
          },
        );
      }
    }
    const { epoch, cursor } = state;
    if (!Number.isSafeInteger(epoch) || epoch < 0 || !Number.isInteger(cursor) || cursor < 0 || cursor >= this.packs.length) {
      throw new ScionError(
        'format',
        `resume: loader position epoch ${epoch}, pack ${cursor} of ${this.packs.length} is impossible; the checkpoint is damaged`,
        { epoch, cursor },
      );
    }
    this.epoch = epoch;
    this.cursor = cursor;
    this.order = this.orderOf(epoch);
  }

  /** The order of one epoch, from seed and epoch alone. */
  private orderOf(epoch: number): Uint32Array {
    const order = Array.from({ length: this.packs.length }, (_, i) => i);
    if (this.shuffle) new Random(this.seed, epoch).shuffle(order);
    return Uint32Array.from(order);
  }
}

/**
 * Splits documents into training and validation by a hash of their text, so that equal texts lie on one
 * side and adding documents moves none. `fraction` is the share expected in validation; with two or more
 * different texts both sides get at least one (the ones with the lowest and highest hash).
 */
export function splitByHash<T>(documents: readonly T[], textOf: (document: T) => string, fraction = 0.05, seed = 0): { train: T[]; validation: T[] } {
  if (!(fraction >= 0 && fraction < 1))
    throw new ScionError('usage', `validation split: the fraction must be from 0 to below 1, got ${fraction}`, { fraction });
  const hashes = documents.map((d) => hash32(textOf(d), seed));
  let limit = fraction * 0x100000000;
  if (fraction > 0) {
    let low = 0xffffffff;
    let high = 0;
    for (const h of hashes) {
      if (h < low) low = h;
      if (h > high) high = h;
    }
    if (low < high) limit = Math.min(Math.max(limit, low + 1), high);
    else limit = 0;
  }
  return { train: documents.filter((_, i) => hashes[i] >= limit), validation: documents.filter((_, i) => hashes[i] < limit) };
}
