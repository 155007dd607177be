/**
 * A turn of the event loop, as short as the host has one: timers of pages and of Node round up to a millisecond or more, in which a core moves megabytes.
 */

/** Lets everything that is due in this thread run, then goes on. */
export function nextTurn(): Promise<void> {
  if (typeof setImmediate === 'function') return new Promise((resolve) => void setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
