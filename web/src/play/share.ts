/** A draft as part of an address: JSON, deflated, in letters that need no escapes. What comes from an address is data of a stranger and is checked. */
import type { KernelDraft } from '../protocol.ts';

/** What a link holds: the draft, and what was measured of it where. */
export interface Shared {
  readonly text: string;
  readonly sizes: Readonly<Record<string, number>>;
  readonly options: Readonly<Record<string, string>>;
  readonly dtype: 'f32' | 'f16';
  readonly device?: string;
  /** Operations and bytes a second. */
  readonly point?: readonly [number, number];
}

/** Longest text that a link may bring. */
const MOST = 1_000_000;

async function through(bytes: Uint8Array<ArrayBuffer>, stream: CompressionStream | DecompressionStream): Promise<Uint8Array> {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

/** The part of an address behind the kernel's name. */
export async function pack(draft: KernelDraft, more: Pick<Shared, 'device' | 'point'>): Promise<string> {
  const { text, sizes, options, dtype } = draft;
  const json = new TextEncoder().encode(JSON.stringify({ text, sizes, options, dtype, ...more }));
  const bytes = await through(json, new CompressionStream('deflate-raw'));
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

/** Reads it back; null for what is no draft. */
export async function unpack(part: string): Promise<Shared | null> {
  try {
    const bytes = Uint8Array.from(atob(part.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
    const json = await through(bytes, new DecompressionStream('deflate-raw'));
    if (json.length > MOST) return null;
    const found: unknown = JSON.parse(new TextDecoder().decode(json));
    if (typeof found !== 'object' || found === null) return null;
    const { text, sizes, options, dtype, device, point } = found as Record<string, unknown>;
    if (typeof text !== 'string' || (dtype !== 'f32' && dtype !== 'f16')) return null;
    const entries = (of: unknown): [string, unknown][] => (typeof of === 'object' && of !== null ? Object.entries(of) : []);
    return {
      text,
      dtype,
      sizes: Object.fromEntries(entries(sizes).filter((pair): pair is [string, number] => typeof pair[1] === 'number')),
      options: Object.fromEntries(entries(options).filter((pair): pair is [string, string] => typeof pair[1] === 'string')),
      ...(typeof device === 'string' ? { device } : {}),
      ...(Array.isArray(point) && point.length === 2 && point.every((x) => typeof x === 'number' && x > 0) ? { point: [point[0], point[1]] as const } : {}),
    };
  } catch {
    return null;
  }
}
