/**
 * The validation side of a run: packs by category with the bytes of text that their labels stand for, so that bits per
 * byte compare across tokenizers. What is measured is bounded: a category can be cut to a sample that the hash of its
 * texts chooses, the same one in every run on the same files, whatever their order.
 */
import { ScionError } from '../base/errors.ts';
import type { CategorisedText } from '../data/categories.ts';
import { hash32 } from '../data/hash.ts';
import { collate } from '../data/loader.ts';
import { emptyPack, type Pack } from '../data/pack.ts';
import type { TrainPlans } from './programs.ts';
import type { Stepper } from './stepper.ts';

/** A text, with what kind of text it is where that is known. */
export type RunText = string | CategorisedText;

/** The category of texts that have none. */
export const NO_CATEGORY = 'text';

/** Held-out text of one category. */
export interface HeldOutSet {
  readonly category: string;
  readonly packs: readonly Pack[];
  /** UTF-8 bytes of the texts. */
  readonly bytes: number;
}

/** The held-out side, one set a category. */
export interface HeldOut {
  readonly sets: readonly HeldOutSet[];
}

/** How much of each category is measured; default all of it. */
export interface HeldOutLimits {
  readonly bytes?: number;
  readonly documents?: number;
}

/** Losses of the held-out side. */
export interface HeldOutLoss {
  /** Nats a label, over all labels. */
  readonly loss: number;
  /** Over all bytes. */
  readonly bitsPerByte: number;
  readonly byCategory: Readonly<Record<string, { readonly loss: number; readonly bitsPerByte: number }>>;
}

const encoder = new TextEncoder();

export const textOf = (text: RunText): string => (typeof text === 'string' ? text : text.text);
export const categoryOf = (text: RunText): string => (typeof text === 'string' ? NO_CATEGORY : text.category);

/** UTF-8 bytes of texts. */
export const bytesOf = (texts: readonly RunText[]): number => texts.reduce((sum, t) => sum + encoder.encode(textOf(t)).length, 0);

/** Bytes of all sets. */
export const heldOutBytes = (held: HeldOut): number => held.sets.reduce((sum, set) => sum + set.bytes, 0);

/** Texts by category, categories in the order of their names. */
export function byCategory(texts: readonly RunText[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const text of texts) {
    const list = found.get(categoryOf(text));
    if (list) list.push(textOf(text));
    else found.set(categoryOf(text), [textOf(text)]);
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * A sample of texts within the limits, at least one: those with the lowest hashes, in their own order. A text that would
 * pass the limit of bytes ends the choice; if it is the first, it is cut to it.
 */
export function chooseByHash(texts: readonly string[], limits: HeldOutLimits): string[] {
  const { bytes = Number.POSITIVE_INFINITY, documents = Number.POSITIVE_INFINITY } = limits;
  if (!(bytes > 0 && documents >= 1))
    throw new ScionError('usage', `held-out text: a category needs at least 1 document and 1 byte, got ${documents}, ${bytes}`);
  const order = texts.map((text, i) => ({ i, hash: hash32(text, 0x76616c) })).sort((a, b) => a.hash - b.hash || a.i - b.i);
  const chosen: number[] = [];
  let cut: string | null = null;
  let held = 0;
  for (const { i } of order) {
    const size = encoder.encode(texts[i]).length;
    if (chosen.length >= documents || (chosen.length > 0 && held + size > bytes)) break;
    if (size > bytes) cut = cutTo(texts[i], bytes);
    chosen.push(i);
    held += size;
  }
  return cut === null ? chosen.sort((a, b) => a - b).map((i) => texts[i]) : [cut];
}

/** The beginning of a text that takes at most so many bytes of UTF-8, at least one character. */
function cutTo(text: string, bytes: number): string {
  let end = 0;
  let held = 0;
  for (const character of text) {
    held += encoder.encode(character).length;
    if (held > bytes && end > 0) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** Batches of B packs over all sets, the last filled up with empty rows; and which set each row belongs to. */
export function* heldOutBatches(held: HeldOut, B: number): Generator<{ readonly batch: ReturnType<typeof collate>; readonly rows: readonly number[] }> {
  const all = held.sets.flatMap(({ packs }, set) => packs.map((pack) => ({ pack, set })));
  for (let at = 0; at < all.length; at += B) {
    const some = all.slice(at, at + B);
    const packs = some.map(({ pack }) => pack);
    while (packs.length < B) packs.push(emptyPack(packs[0].ids.length, 0));
    yield { batch: collate(packs), rows: some.map(({ set }) => set) };
  }
}

/** Steps between validations at least, and the share of a run's arithmetic that they may take. */
const LEAST_INTERVAL = 100;
const VALIDATION_SHARE = 0.012;
/** Validations that a short run should have room for: at its ends and once between. */
const LEAST_VALIDATIONS = 3;
/** Bytes of held-out text a category that are measured at most where nothing is asked, and at least. */
const MOST_BYTES = 64 * 1024;
const LEAST_BYTES = 2 * 1024;
/** A forward pass beside forward, backward and update; bytes of text behind a token, roughly. */
const FORWARD_SHARE = 1 / 3;
const TOKEN_BYTES = 3;

/**
 * Bytes of held-out text a category that a run of so many training tokens (`steps` x packs x tokens) can afford to measure at its ends and
 * between. By rule of thumb: what it costs in the end is bounded by `balancedInterval`.
 */
export function affordableBytes(trainingTokens: number, categories: number): number {
  const bytes = (VALIDATION_SHARE * trainingTokens * TOKEN_BYTES) / FORWARD_SHARE / LEAST_VALIDATIONS;
  return Math.round(Math.min(MOST_BYTES, Math.max(LEAST_BYTES, bytes / Math.max(1, categories))));
}

/**
 * Steps between validations such that these take at most 1.2 % of the arithmetic of a long run (more of its time: small launches run
 * below the pace of large ones), and at least 100. A function of
 * plans and data alone, so that runs of one recipe are measured at the same steps.
 */
export function balancedInterval(plans: TrainPlans, accumulate: number, batch: number, held: HeldOut | null): number {
  if (!held) return 0;
  const { micro, update, evaluate } = plans.plans;
  const packs = held.sets.reduce((sum, set) => sum + set.packs.length, 0);
  const validation = Math.ceil(packs / batch) * evaluate.flops;
  return Math.max(LEAST_INTERVAL, Math.ceil(validation / (VALIDATION_SHARE * (micro.flops * accumulate + update.flops))));
}

/** Measures every set with the weights as they are: one pass over all packs, whichever category they belong to. */
export async function evaluateHeldOut(stepper: Stepper, held: HeldOut): Promise<HeldOutLoss> {
  const { batch: B, tokens: T } = stepper.setup;
  const nll = held.sets.map(() => 0);
  for (const { batch, rows } of heldOutBatches(held, B)) {
    const losses = await stepper.losses(batch);
    rows.forEach((set, row) => {
      for (let t = row * T; t < (row + 1) * T; t++) nll[set] += losses[t];
    });
  }
  const labels = held.sets.map(({ packs }) => packs.reduce((sum, pack) => sum + pack.labelCount, 0));
  const sum = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);
  const bits = (nats: number, bytes: number): number => nats / Math.LN2 / bytes;
  return {
    loss: sum(nll) / sum(labels),
    bitsPerByte: bits(sum(nll), heldOutBytes(held)),
    byCategory: Object.fromEntries(held.sets.map(({ category, bytes }, i) => [category, { loss: nll[i] / labels[i], bitsPerByte: bits(nll[i], bytes) }])),
  };
}
