/**
 * Picks the adapter of the runtime this code finds itself in. The imports are dynamic so that a
 * page never loads `node:` modules and a server never loads OPFS code.
 */
import type { Host, HostTerminal } from './types.ts';

export { siblingModule } from './ports.ts';
export type * from './types.ts';

let current: Host | undefined;

/** Which runtime this is, told from its globals. */
export function runtime(): 'node' | 'deno' | 'browser' {
  if ('Deno' in globalThis) return 'deno';
  const process = (globalThis as { process?: { versions?: { node?: string } } }).process;
  return process?.versions?.node ? 'node' : 'browser';
}

/** The host adapter of this runtime; loaded once. */
export async function host(): Promise<Host> {
  if (current) return current;
  const kind = runtime();
  if (kind === 'deno') current = (await import('./deno.ts')).denoHost;
  else if (kind === 'node') current = (await import('./node.ts')).nodeHost;
  else current = (await import('./browser.ts')).browserHost;
  return current;
}

/** Replaces the host, for fault tests; gives back the former one. */
export function setHost(replacement: Host | undefined): Host | undefined {
  const former = current;
  current = replacement;
  return former;
}

/** The terminal of this runtime; a page has none. */
export async function terminal(): Promise<HostTerminal> {
  return runtime() === 'deno' ? (await import('./deno.ts')).denoTerminal : (await import('./node.ts')).nodeTerminal;
}
