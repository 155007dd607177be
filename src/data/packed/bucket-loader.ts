/**
 * Batches from packed data, bucket by bucket: all packs of bucket 0 in an order of their own, then bucket 1, and after the
 * last one the next epoch. Orders follow from (seed, epoch, bucket) alone, so the position is three integers. Packs
 * are read by range as they are needed, one batch ahead. Batches may reach over the border of two buckets or epochs:
 * every batch has the same shape, and every pack comes exactly once an epoch.
 */
import { ScionError } from '../../base/errors.ts';
import { philox, Random } from '../../base/random.ts';
import { type Batch, collate } from '../loader.ts';
import type { Pack } from '../pack.ts';
import { type PackedBucket, type PackedFolder, trainingPack } from './open.ts';

/** Everything a checkpoint keeps of the loader. */
export interface BucketLoaderState {
  readonly version: 1;
  readonly kind: 'buckets';
  readonly seed: number;
  readonly epoch: number;
  readonly bucket: number;
  /** Packs of this bucket already given out in this epoch. */
  readonly cursor: number;
  readonly packs: number;
  readonly T: number;
  /** Of the data: a resume must find the same. */
  readonly fingerprint: number;
}

export interface BucketLoaderOptions {
  /** Packs in a batch. */
  readonly B: number;
  readonly seed?: number;
  /** The model's sliding window, or 0. */
  readonly window?: number;
  /** Numbers of the manifest's categories as types of data; without them batches carry none. */
  readonly types?: readonly number[];
}

/** Philox key word of this use of the seed. */
const STREAM = 0x6c6f6164;

interface Place {
  readonly epoch: number;
  readonly bucket: number;
  readonly cursor: number;
}

/** An endless, resumable sequence of batches. Packs without a label are left out: nothing can be learnt from them. */
export class BucketLoader {
  readonly B: number;
  readonly T: number;
  readonly seed: number;
  readonly #folder: PackedFolder;
  readonly #window: number;
  readonly #types: readonly number[] | undefined;
  #place: Place;
  #open: { readonly index: number; readonly bucket: PackedBucket } | null = null;
  #order: { readonly epoch: number; readonly bucket: number; readonly packs: Uint32Array } | null = null;
  /** The batch that begins at a place, being read, and where it ends. */
  #ahead: { readonly from: Place; readonly result: Promise<{ batch: Batch; next: Place }> } | null = null;

  /** Throws `usage` for B below 1, `input` where no pack has a label. */
  constructor(folder: PackedFolder, options: BucketLoaderOptions) {
    const { B, seed = 0, window = 0 } = options;
    if (!Number.isInteger(B) || B < 1) throw new ScionError('usage', `loader: B must be an integer from 1, got ${B}`, { B });
    this.#folder = folder;
    this.B = B;
    this.T = folder.manifest.T;
    this.seed = seed >>> 0;
    this.#window = window;
    this.#types = options.types;
    if (folder.manifest.buckets.every(({ trainable }) => trainable === 0)) {
      throw new ScionError('input', `${folder.dir}: none of its ${folder.manifest.packs} packs has anything to learn`, { packs: folder.manifest.packs });
    }
    this.#place = this.#settle({ epoch: 0, bucket: 0, cursor: 0 });
  }

  /** Packs given out in one epoch. */
  get packsPerEpoch(): number {
    return this.#folder.manifest.buckets.reduce((sum, { trainable }) => sum + trainable, 0);
  }

  /** Batches in one epoch, the last of which may reach into the next. */
  get batchesPerEpoch(): number {
    return Math.ceil(this.packsPerEpoch / this.B);
  }

  /** The next batch. One call at a time. */
  async next(): Promise<Batch> {
    const from = this.#place;
    const ahead = this.#ahead;
    this.#ahead = null;
    // Two reads at a time would close each other's bucket: one begun for another place, before a restore, ends first.
    if (ahead && ahead.from !== from) await ahead.result.catch(() => undefined);
    const { batch, next } = await (ahead?.from === from ? ahead.result : this.#read(from));
    this.#place = next;
    const result = this.#read(next);
    // Whoever asks for that batch gets its error; a run that ends before must not fail of it.
    result.catch(() => undefined);
    this.#ahead = { from: next, result };
    return batch;
  }

  /** What is needed to go on exactly here; plain JSON. */
  state(): BucketLoaderState {
    const { packs } = this.#folder.manifest;
    return { version: 1, kind: 'buckets', seed: this.seed, ...this.#place, packs, T: this.T, fingerprint: this.#folder.fingerprint };
  }

  /** Goes on where `state` was taken. Throws `input` when the data or the seed are not those of the state, `format` for an impossible place. */
  restore(state: unknown): void {
    const here = this.state();
    const saved = (state ?? {}) as Partial<BucketLoaderState>;
    for (const key of ['version', 'kind', 'seed', 'packs', 'T', 'fingerprint'] as const) {
      if (saved[key] === here[key]) continue;
      throw new ScionError('input', `resume: the data loader had ${key} ${saved[key]}, now it has ${here[key]}: use the same packed data and seed`, {
        key,
        saved: saved[key],
        found: here[key],
      });
    }
    const { epoch = -1, bucket = -1, cursor = -1 } = saved;
    const most = this.#folder.manifest.buckets[bucket]?.trainable ?? 0;
    if (!Number.isSafeInteger(epoch) || epoch < 0 || !Number.isInteger(cursor) || cursor < 0 || cursor >= most) {
      throw new ScionError(
        'format',
        `resume: loader position epoch ${epoch}, bucket ${bucket}, pack ${cursor} of ${most} is impossible; the checkpoint is damaged`,
        {
          epoch,
          bucket,
          cursor,
        },
      );
    }
    this.#place = { epoch, bucket, cursor };
  }

  /** Closes the bucket that is open. */
  async close(): Promise<void> {
    await this.#ahead?.result.catch(() => undefined);
    this.#ahead = null;
    await this.#open?.bucket.close();
    this.#open = null;
  }

  /** The first place at or behind this one that holds a pack. */
  #settle({ epoch, bucket, cursor }: Place): Place {
    const { buckets } = this.#folder.manifest;
    let place: Place = { epoch, bucket, cursor };
    while (place.cursor >= buckets[place.bucket].trainable) {
      const next = place.bucket + 1;
      place = next < buckets.length ? { epoch: place.epoch, bucket: next, cursor: 0 } : { epoch: place.epoch + 1, bucket: 0, cursor: 0 };
    }
    return place;
  }

  async #read(from: Place): Promise<{ batch: Batch; next: Place }> {
    const packs: Pack[] = [];
    let place = from;
    while (packs.length < this.B) {
      const bucket = await this.#bucket(place.bucket);
      const order = this.#orderOf(place, bucket);
      const count = Math.min(this.B - packs.length, order.length - place.cursor);
      const { T, pad } = this.#folder.manifest;
      for (let i = 0; i < count; i++) {
        const [stored] = await bucket.read(order[place.cursor + i]);
        packs.push(trainingPack(stored, T, pad, this.#window, this.#types));
      }
      place = this.#settle({ ...place, cursor: place.cursor + count });
    }
    return { batch: { ...collate(packs, from.epoch), bucket: from.bucket }, next: place };
  }

  async #bucket(index: number): Promise<PackedBucket> {
    if (this.#open?.index === index) return this.#open.bucket;
    await this.#open?.bucket.close();
    this.#open = null;
    const bucket = await this.#folder.bucket(index);
    this.#open = { index, bucket };
    return bucket;
  }

  /** The packs of a bucket in the order of an epoch. */
  #orderOf({ epoch, bucket: index }: Place, bucket: PackedBucket): Uint32Array {
    if (this.#order?.epoch === epoch && this.#order.bucket === index) return this.#order.packs;
    const trainable: number[] = [];
    bucket.packLabels.forEach((labels, pack) => {
      if (labels > 0) trainable.push(pack);
    });
    const [stream] = philox(epoch, index, 0, 0, this.seed, STREAM);
    const packs = Uint32Array.from(new Random(this.seed, stream).shuffle(trainable));
    this.#order = { epoch, bucket: index, packs };
    return packs;
  }
}
