/**
 * `manifest.json`: what a checkpoint is, and bytes and SHA-256 of each of its files. It ends with its
 * own SHA-256 over everything before that line, so that a flipped bit in the manifest is caught as surely as
 * one in the weights. A checkpoint verifies as a whole or not at all.
 */
import { z } from 'zod';
import { ScionError } from '../base/errors.ts';
import { baseName, joinPath } from '../base/path.ts';
import { Sha256 } from '../base/sha256.ts';
import { decodeUtf8, shown } from '../formats/bytes.ts';
import { type HasherMaker, hashFile } from '../host/hashing.ts';
import type { HostFiles } from '../host/types.ts';

export const MANIFEST_NAME = 'manifest.json';
export const TRAINER_NAME = 'trainer.json';
/** Raised when the layout of a checkpoint changes; readers refuse what is newer than they know. */
export const SCHEMA_VERSION = 1;
const FORMAT = 'scion checkpoint';
const MAX_MANIFEST_BYTES = 16 * 2 ** 20;
/** A manifest names files beside it, never paths. */
const PLAIN_NAME = /^[a-z0-9][a-z0-9._-]{0,99}$/;

/** What the caller says of the run; goes into the manifest as it is. */
export interface CheckpointMeta {
  /** Tokens trained on so far. */
  readonly tokens: number;
  /** `hashJson` of what must not change between a save and its resume. */
  readonly configHash: string;
  /** Version of the package, and commit where known. */
  readonly version: string;
  readonly commit?: string;
  /** The adapter's name, and the kernel choices a resume must use: another reduction order is another bit. */
  readonly adapter: string;
  readonly kernels: Readonly<Record<string, string>>;
  /** Ranks that wrote it. */
  readonly ranks?: number;
}

/** One file of a checkpoint. */
export interface FileRecord {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A checkpoint's manifest. */
export interface Manifest extends CheckpointMeta {
  readonly schema: number;
  readonly step: number;
  readonly files: readonly FileRecord[];
}

const natural = z.number().int().nonnegative();
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const schema = z.object({
  format: z.literal(FORMAT),
  schema: z.literal(SCHEMA_VERSION),
  step: natural,
  tokens: natural,
  configHash: z.string(),
  version: z.string(),
  commit: z.string().optional(),
  adapter: z.string(),
  kernels: z.record(z.string(), z.string()),
  ranks: natural.optional(),
  files: z.array(z.object({ name: z.string().regex(PLAIN_NAME), bytes: natural, sha256: hash })),
});

const sealOf = (text: string): string => {
  const digest = new Sha256();
  digest.update(new TextEncoder().encode(text));
  return digest.hex();
};

/** Keys sorted at every depth: equal values, equal text. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, canonical(v)]));
}

/** SHA-256 of a JSON value whatever the order of its keys; for `configHash`. */
export function hashJson(value: unknown): string {
  return sealOf(JSON.stringify(canonical(value)) ?? 'undefined');
}

/** The text of a manifest, its seal at the end. */
export function formatManifest(manifest: Manifest): string {
  const body = JSON.stringify({ format: FORMAT, ...manifest }, null, 2).slice(0, -2);
  return `${body},\n  "sha256": "${sealOf(body)}"\n}\n`;
}

const TAIL = /,\n {2}"sha256": "([0-9a-f]{64})"\n\}\n$/;

/** Reads a manifest; kind `format` for a broken seal, a wrong field or a schema of a later version. */
export function parseManifest(text: string, what: string): Manifest {
  const tail = TAIL.exec(text);
  if (!tail) throw new ScionError('format', `${what}: the line with the manifest's own SHA-256 is missing at its end; the file is cut or damaged`);
  const found = sealOf(text.slice(0, tail.index));
  if (found !== tail[1])
    throw new ScionError('format', `${what}: its own SHA-256 should be ${tail[1]} and is ${found}; the file is damaged`, { expected: tail[1], found });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ScionError('format', `${what}: no JSON, though its SHA-256 is right`, {}, error);
  }
  const version = (json as { schema?: unknown } | null)?.schema;
  if (typeof version === 'number' && version > SCHEMA_VERSION) {
    throw new ScionError(
      'format',
      `${what}: checkpoint schema ${version}; this version of scion reads up to ${SCHEMA_VERSION}: install the version that wrote it or a later one`,
      { schema: version },
    );
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ScionError('format', `${what}: ${issue.path.join('.') || 'file'}: ${issue.message}`, { issues: parsed.error.issues.length });
  }
  const { format: _, ...manifest } = parsed.data;
  return manifest;
}

/** Reads the manifest of a checkpoint folder; kind `input` if there is none. */
export async function readManifest(files: HostFiles, folder: string): Promise<Manifest> {
  const path = joinPath(folder, MANIFEST_NAME);
  const stat = await files.stat(path);
  if (!stat) throw new ScionError('input', `${folder} has no ${MANIFEST_NAME}; it is no complete checkpoint`, { folder });
  if (stat.size > MAX_MANIFEST_BYTES)
    throw new ScionError('format', `${path}: ${stat.size} bytes; a manifest has at most ${MAX_MANIFEST_BYTES}`, { size: stat.size });
  return parseManifest(decodeUtf8(await files.read(path), path), path);
}

/**
 * Reads every file of a checkpoint and holds it against the manifest.
 * @returns the manifest. @throws ScionError `format` or `input` naming the file that is damaged or missing.
 */
export async function verifyCheckpoint(files: HostFiles, folder: string, sha256: HasherMaker): Promise<Manifest> {
  const manifest = await readManifest(files, folder);
  const named = /^step-(\d+)/.exec(baseName(folder));
  if (named && Number(named[1]) !== manifest.step) {
    throw new ScionError('format', `${folder}: its manifest is of step ${manifest.step}; was the folder renamed?`, { folder, step: manifest.step });
  }
  for (const file of manifest.files) {
    const path = joinPath(folder, file.name);
    const stat = await files.stat(path);
    if (!stat) throw new ScionError('input', `${path} is missing; the manifest lists it with ${file.bytes} bytes`, { file: file.name });
    if (stat.size !== file.bytes)
      throw new ScionError('format', `${path} has ${stat.size} bytes, the manifest says ${file.bytes}`, {
        file: file.name,
        expected: file.bytes,
        found: stat.size,
      });
    const found = await hashFile(files, path, sha256);
    if (found.bytes !== file.bytes || found.sha256 !== file.sha256) {
      throw new ScionError('format', `${path}: SHA-256 should be ${file.sha256} and is ${found.sha256}; the file is damaged`, {
        file: file.name,
        expected: file.sha256,
        found: found.sha256,
      });
    }
  }
  return manifest;
}

/** Refuses what JSON would change in silence (NaN, functions, Dates); kind `internal`, with the path. */
export function assertPlainJson(value: unknown, path = 'trainer'): void {
  if (value === null || typeof value === 'boolean') return;
  if (typeof value === 'string') {
    if (value.isWellFormed()) return;
    throw new ScionError('internal', `${path} holds ${shown(value)}, a string with a lone surrogate`);
  }
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return;
    throw new ScionError('internal', `${path} is ${value}; a checkpoint keeps finite numbers only`);
  }
  if (Array.isArray(value)) {
    value.forEach((item, i) => {
      assertPlainJson(item, `${path}[${i}]`);
    });
    return;
  }
  const plain = typeof value === 'object' && (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null);
  if (!plain)
    throw new ScionError('internal', `${path} is a ${typeof value === 'object' ? value.constructor?.name : typeof value}; a checkpoint keeps plain JSON only`);
  for (const [key, item] of Object.entries(value)) if (item !== undefined) assertPlainJson(item, `${path}.${key}`);
}
