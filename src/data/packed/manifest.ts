/**
 * `manifest.json` of a folder of packed data: what the packs are, by which tokenizer, and bytes and SHA-256 of every
 * bucket. Readers check it as a stranger's file. Numbers by category stand in the order of `categories`, so that a
 * category may have any name.
 */
import { z } from 'zod';
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { decodeUtf8 } from '../../formats/bytes.ts';
import { nestsDeeper } from '../../formats/json.ts';
import type { Host, HostFiles } from '../../host/types.ts';
import { hash32 } from '../hash.ts';
import { writeAside } from './aside.ts';
import { heldOutSchema } from './held-out.ts';

export const MANIFEST_NAME = 'manifest.json';
/** Raised when the layout changes; readers refuse what is newer than they know. */
export const PACKED_VERSION = 1;
const FORMAT = 'scion packed data';
const MAX_MANIFEST_BYTES = 64 * 2 ** 20;

const natural = z.number().int().nonnegative();
const hash = z.string().regex(/^[0-9a-f]{64}$/);

const bucketSchema = z.object({
  /** Path inside the folder: never anything but `buckets/NAME`. */
  file: z.string().regex(/^buckets\/[a-z0-9][a-z0-9._-]{0,99}$/),
  bytes: natural,
  sha256: hash,
  packs: natural,
  /** Packs with at least one label; the loader gives these. */
  trainable: natural,
  segments: natural,
  /** Tokens that are not padding. */
  tokens: natural,
  labels: natural,
  /** Tokens by category. */
  mix: z.array(natural),
});

const schema = z.object({
  format: z.literal(FORMAT),
  version: z.literal(PACKED_VERSION),
  /** Tokens a pack. */
  T: z.number().int().min(2),
  dtype: z.enum(['U16', 'U32']),
  vocabSize: z.number().int().min(1),
  /** Of the tokenizer, see `tokenizerHash`. */
  tokenizer: hash,
  template: z.string(),
  bos: natural.nullable(),
  eos: natural,
  pad: natural,
  seed: natural,
  minChunk: natural,
  categories: z.array(z.object({ category: z.string(), documents: natural, tokens: natural })),
  /** After sampling; equal to the sum over the buckets. */
  tokens: natural,
  labels: natural,
  packs: natural,
  segments: natural,
  /** tokens / (packs x T). */
  fill: z.number(),
  buckets: z.array(bucketSchema).min(1),
  /** Documents that were held out and are in no pack; packed data of before has none. */
  validation: z.array(heldOutSchema).default([]),
});

/** One bucket as the manifest lists it. */
export type BucketFacts = z.infer<typeof bucketSchema>;
/** The manifest. */
export type PackedManifest = z.infer<typeof schema>;

/** Writes a manifest; last of all files, since it makes the folder one of packed data. */
export async function writeManifest(host: Host, dir: string, manifest: Omit<PackedManifest, 'format' | 'version'>): Promise<PackedManifest> {
  const whole: PackedManifest = { format: FORMAT, version: PACKED_VERSION, ...manifest };
  await writeAside(host, joinPath(dir, MANIFEST_NAME), (writer) => writer.write(new TextEncoder().encode(`${JSON.stringify(whole, null, 1)}\n`)));
  await host.files.syncDir(dir);
  return whole;
}

/** Checks the text of a manifest. Throws `format` naming the field at fault. */
export function parsePackedManifest(text: string, what: string): PackedManifest {
  if (nestsDeeper(text, 8)) throw new ScionError('format', `${what}: nested too deeply for a manifest`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ScionError('format', `${what}: not JSON; the file is cut or damaged: build the data again`, {}, error);
  }
  const { format, version } = (json ?? {}) as { format?: unknown; version?: unknown };
  if (format !== FORMAT) throw new ScionError('format', `${what}: no manifest of packed data (format is ${JSON.stringify(format)?.slice(0, 60)})`);
  if (typeof version === 'number' && version > PACKED_VERSION) {
    throw new ScionError(
      'format',
      `${what}: packed data of version ${version}; this scion reads up to ${PACKED_VERSION}: install the version that wrote it or a later one`,
      { version },
    );
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ScionError('format', `${what}: ${issue.path.join('.') || 'file'}: ${issue.message}`, { issues: parsed.error.issues.length });
  }
  const manifest = parsed.data;
  const total = (of: (bucket: BucketFacts) => number): number => manifest.buckets.reduce((sum, bucket) => sum + of(bucket), 0);
  for (const name of ['packs', 'segments', 'tokens', 'labels'] as const) {
    if (manifest[name] === total((bucket) => bucket[name])) continue;
    throw new ScionError('format', `${what}: ${name} is ${manifest[name]}, its buckets have ${total((bucket) => bucket[name])} together`, { name });
  }
  for (const { file, mix, tokens, packs, trainable } of manifest.buckets) {
    if (mix.length !== manifest.categories.length || mix.reduce((sum, n) => sum + n, 0) !== tokens || trainable > packs || tokens > packs * manifest.T) {
      throw new ScionError('format', `${what}: the numbers of ${file} do not add up`, { file });
    }
  }
  return manifest;
}

/** True if a folder says of itself that it holds packed data. Its manifest may still be refused. */
export async function isPackedFolder(files: HostFiles, dir: string): Promise<boolean> {
  const path = joinPath(dir, MANIFEST_NAME);
  const stat = await files.stat(path);
  if (stat === null || stat.isDirectory || stat.size > MAX_MANIFEST_BYTES) return false;
  return new TextDecoder().decode((await files.read(path)).subarray(0, 200)).includes(`"${FORMAT}"`);
}

/** Reads the manifest of a folder; `input` if there is none. */
export async function readPackedManifest(files: HostFiles, dir: string): Promise<PackedManifest> {
  const path = joinPath(dir, MANIFEST_NAME);
  const stat = await files.stat(path);
  if (stat === null) throw new ScionError('input', `${dir} has no ${MANIFEST_NAME}: it is no folder of packed data, or its build did not finish`, { dir });
  if (stat.size > MAX_MANIFEST_BYTES)
    throw new ScionError('format', `${path}: ${stat.size} bytes; a manifest has at most ${MAX_MANIFEST_BYTES}`, { size: stat.size });
  return parsePackedManifest(decodeUtf8(await files.read(path), path), path);
}

/** A number that tells two builds apart: the same only where every bucket is the same. */
export function packedFingerprint(manifest: PackedManifest): number {
  return hash32(manifest.buckets.map(({ sha256 }) => sha256).join());
}
