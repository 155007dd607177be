/**
 * Small typed reads of untrusted JSON: each says where it stood, what was wanted and what was found.
 */

import { ScionError } from '../base/errors.ts';

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrong(where: string, wanted: string, found: unknown): never {
  const text = JSON.stringify(found) ?? 'nothing';
  throw new ScionError('format', `${where}: wanted ${wanted}, found ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`, { where, wanted });
}

export function asObject(value: unknown, where: string): JsonObject {
  return isObject(value) ? value : wrong(where, 'an object', value);
}

export function asArray(value: unknown, where: string): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : wrong(where, 'a list', value);
}

export function asString(value: unknown, where: string): string {
  return typeof value === 'string' ? value : wrong(where, 'a string', value);
}

/** A number from 0 to 2^31-1 without fraction. */
export function asIndex(value: unknown, where: string): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0x7fffffff ? value : wrong(where, 'an integer >= 0', value);
}

export function asBoolean(value: unknown, where: string, otherwise?: boolean): boolean {
  if ((value === undefined || value === null) && otherwise !== undefined) return otherwise;
  return typeof value === 'boolean' ? value : wrong(where, 'true or false', value);
}

/** Refuses nesting that no real file has, before any reader walks into it. */
export function checkDepth(value: unknown, where: string, limit = 64): void {
  const open: [unknown, number][] = [[value, 0]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [node, depth] = next;
    if (typeof node !== 'object' || node === null) continue;
    if (depth >= limit) throw new ScionError('format', `${where}: nested more than ${limit} deep`, { where, limit });
    for (const child of Object.values(node)) open.push([child, depth + 1]);
  }
}

/** A component or setting that this code does not know: named, with what it does know. */
export function unsupported(where: string, found: unknown, known: readonly string[]): never {
  throw new ScionError('format', `${where}: ${JSON.stringify(found)} is not supported; supported: ${known.join(', ')}`, { where, found });
}
