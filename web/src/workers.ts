/**
 * The page's two Workers: one trains, the other reads files, cuts text and talks meanwhile. Both run the same script; the second one starts a
 * moment later, since the browser has it then.
 */
import * as Comlink from 'comlink';
import type { Failure, Outcome, ScionWorker } from './protocol.ts';
import { failure } from './state.ts';

function start(name: string): Comlink.Remote<ScionWorker> {
  const thread = new Worker(new URL('./worker/worker.ts', import.meta.url), { type: 'module', name });
  thread.addEventListener('error', (event) => {
    failure.value = { kind: 'internal', message: `the Worker broke: ${event.message || 'its script could not be loaded'}` };
  });
  return Comlink.wrap<ScionWorker>(thread);
}

let trainer: Comlink.Remote<ScionWorker> | null = null;

/** Everything but training. */
export const desk = start('scion desk');

/** Trains; started when first needed. */
export function trainerWorker(): Comlink.Remote<ScionWorker> {
  trainer ??= start('scion training');
  return trainer;
}

/** Asks a Worker; a broken thread is a failure too. */
export async function ask<T>(request: Promise<Outcome<T>>): Promise<Outcome<T>> {
  try {
    return await request;
  } catch (error) {
    return { ok: false, failure: { kind: 'internal', message: error instanceof Error ? error.message : String(error) } };
  }
}

/** Asks, and shows what went wrong; null then. */
export async function askOrShow<T>(request: Promise<Outcome<T>>, show: (failure: Failure) => void = (f) => (failure.value = f)): Promise<T | null> {
  const outcome = await ask(request);
  if (outcome.ok) return outcome.value;
  show(outcome.failure);
  return null;
}
