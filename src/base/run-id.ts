/**
 * Names that no other process chooses: for runs, and for what is written aside before a rename. Not seeded, on purpose: it must
 * never repeat, where `random.ts` always does.
 */

/** A fresh id of 12 hex digits. */
export function newRunId(): string {
  return [...crypto.getRandomValues(new Uint8Array(6))].map((b) => b.toString(16).padStart(2, '0')).join('');
}
