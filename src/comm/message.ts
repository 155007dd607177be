/**
 * Plain values between two ranks: objects, arrays, numbers and typed arrays, as a worker's messages hold them. JSON for what is plain and bytes for the rest, so
 * that ranks on different hosts understand each other; what JSON has no word for (NaN, infinities, -0, undefined) is told apart. Written for few and
 * large messages: a value is copied once on each side.
 */
import { ScionError } from '../base/errors.ts';
import type { Transport } from './types.ts';

/** Marks what stands for something else. No name of a field begins with it. */
const MARK = '\u0000';
const ALIGN = 8;
const TYPES = { Uint8Array, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array, Float32Array, Float64Array };
type TypeName = keyof typeof TYPES;

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGN) * ALIGN;

function marked(value: unknown, parts: Uint8Array[]): unknown {
  if (value === undefined) return { [MARK]: 'undefined' };
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0) ? value : { [MARK]: Object.is(value, -0) ? '-0' : String(value) };
  if (ArrayBuffer.isView(value)) {
    const name = value.constructor.name;
    if (!Object.hasOwn(TYPES, name)) throw new ScionError('internal', `a ${name} cannot be sent to another rank`, { name });
    parts.push(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    return { [MARK]: name, bytes: value.byteLength };
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && ![Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    throw new ScionError('internal', `a ${value.constructor.name} cannot be sent to another rank`, {});
  }
  if (typeof value === 'bigint' || typeof value === 'function') throw new ScionError('internal', `a ${typeof value} cannot be sent to another rank`, {});
  return value;
}

/** The bytes of a value. @throws ScionError `internal` for what is not plain (maps, classes, functions). */
export function encodeMessage(value: unknown): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  // The value as it stands in its holder: what is handed in has been through `toJSON`, which turns dates into text.
  function replace(this: Record<string, unknown>, name: string): unknown {
    return marked(this[name], parts);
  }
  const json = new TextEncoder().encode(JSON.stringify(value, replace));
  const out = new Uint8Array(ALIGN + aligned(json.length) + parts.reduce((sum, part) => sum + aligned(part.length), 0));
  new DataView(out.buffer).setFloat64(0, json.length, true);
  out.set(json, ALIGN);
  let at = ALIGN + aligned(json.length);
  for (const part of parts) {
    out.set(part, at);
    at += aligned(part.length);
  }
  return out;
}

/** The value of `encodeMessage`; typed arrays have memory of their own. */
export function decodeMessage(bytes: Uint8Array): unknown {
  const length = new DataView(bytes.buffer, bytes.byteOffset, ALIGN).getFloat64(0, true);
  let at = ALIGN + aligned(length);
  const plain = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== 'object' || value === null) return value;
    if (!Object.hasOwn(value, MARK)) return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
    const { [MARK]: what, bytes: size = 0 } = value as { readonly [MARK]: string; readonly bytes?: number };
    if (what === 'undefined') return undefined;
    if (!Object.hasOwn(TYPES, what)) return Number(what);
    const from = at;
    at += aligned(size);
    return new TYPES[what as TypeName](bytes.slice(from, from + size).buffer);
  };
  return plain(JSON.parse(new TextDecoder().decode(bytes.subarray(ALIGN, ALIGN + length))));
}

/** Sends a value; one at a time per tag. */
export async function sendMessage(transport: Transport, to: number, tag: number, value: unknown): Promise<void> {
  const bytes = encodeMessage(value);
  await transport.send(to, tag, new Uint8Array(Float64Array.of(bytes.length).buffer));
  await transport.send(to, tag, bytes);
}

/** The next value of this rank and tag. */
export async function receiveMessage(transport: Transport, from: number, tag: number): Promise<unknown> {
  const length = new Float64Array(1);
  await transport.recv(from, tag, new Uint8Array(length.buffer));
  const bytes = new Uint8Array(length[0]);
  await transport.recv(from, tag, bytes);
  return decodeMessage(bytes);
}
