/**
 * Lines that a person types, with an interrupt heard while waiting for one.
 */

/** How often a wait for the next line looks for an interrupt, in milliseconds. */
const POLL_MS = 50;

/** The next line, or null where an interrupt came first. */
export async function lineOrStop(
  next: Promise<IteratorResult<string>>,
  stop: { requested: boolean },
  sleep: (ms: number) => Promise<void>,
): Promise<IteratorResult<string> | null> {
  let read = false;
  const marked = next.finally(() => {
    read = true;
  });
  const watch = async (): Promise<null> => {
    while (!read && !stop.requested) await sleep(POLL_MS);
    return null;
  };
  // The line is named first: where both are there, it wins.
  return (await Promise.race([marked, watch()])) ?? null;
}
