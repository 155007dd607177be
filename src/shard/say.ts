/** Small plain values between ranks, as JSON: what was found, what failed, what to do next. All calls are collective. */
import { type ErrorKind, isScionError, ScionError } from '../base/errors.ts';
import type { Transport } from '../comm/types.ts';

/** What every rank says, by rank. */
export async function sayAll<T>(group: Transport, value: T): Promise<T[]> {
  const bytes = new TextEncoder().encode(JSON.stringify(value ?? null));
  const sizes = Array.from({ length: group.size }, () => new Uint32Array(1));
  const wordBytes = (word: Uint32Array): Uint8Array => new Uint8Array(word.buffer);
  await group.allGather(wordBytes(Uint32Array.of(bytes.length)), sizes.map(wordBytes));
  const texts = sizes.map(([n]) => new Uint8Array(n));
  await group.allGather(bytes, texts);
  return texts.map((text) => JSON.parse(new TextDecoder().decode(text)) as T);
}

type Outcome<T> = { readonly value: T } | { readonly error: { readonly kind: ErrorKind; readonly message: string } };

async function outcomeOf<T>(work: () => Promise<T>): Promise<{ outcome: Outcome<T>; error?: unknown }> {
  try {
    return { outcome: { value: await work() } };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { outcome: { error: { kind: isScionError(error) ? error.kind : 'internal', message } }, error };
  }
}

/** Does something on every rank and tells each what all of them found. Where one fails, all do, with the first one's reason. */
export async function onAll<T>(group: Transport, work: () => Promise<T>): Promise<T[]> {
  const { outcome, error } = await outcomeOf(work);
  const all = await sayAll(group, outcome);
  const failed = all.findIndex((o) => 'error' in o);
  if (failed >= 0) {
    if (error !== undefined) throw error;
    const { kind, message } = (all[failed] as { error: { kind: ErrorKind; message: string } }).error;
    throw new ScionError(kind, `rank ${failed}: ${message}`, { rank: failed });
  }
  return all.map((o) => (o as { value: T }).value);
}

/** Does something on rank 0 and tells all ranks what came of it; its failure is everyone's. */
export async function onFirst<T>(group: Transport, work: () => Promise<T>): Promise<T> {
  return (await onAll(group, async () => (group.rank === 0 ? work() : (null as T))))[0];
}
