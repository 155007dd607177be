/**
 * All steps of packing one after the other, in this thread: for tests, benches, and programs that have a few shards and no
 * pool of workers. The results are those of the single steps.
 */
import { joinPath } from '../../base/path.ts';
import type { Host } from '../../host/types.ts';
import type { Tokenizer } from '../../text/types.ts';
import type { BucketFacts, PackedManifest } from './manifest.ts';
import { type PackPlan, planBuckets } from './plan.ts';
import type { TemplateName } from './templates.ts';
import { type TokenCounts, tokenizeShard } from './token-shard.ts';
import { finishPacked, writeBucket } from './write-bucket.ts';

export interface PackShardsOptions {
  /** JSON Lines of `Doc`. */
  readonly shards: readonly string[];
  readonly tokenizer: Tokenizer;
  readonly template?: TemplateName;
  readonly copies?: readonly (ArrayLike<number> | null)[];
  readonly T: number;
  readonly buckets?: number;
  readonly seed?: number;
  readonly minChunk?: number;
  /** Folder for token files and plan. */
  readonly scratch: string;
  readonly out: string;
}

/** Packs shards into a folder; gives what every step gave. */
export async function packShards(host: Host, options: PackShardsOptions): Promise<{ counts: TokenCounts[]; plan: PackPlan; manifest: PackedManifest }> {
  const { shards, tokenizer, template, scratch, out, ...planning } = options;
  await host.files.makeDir(scratch);
  await host.files.makeDir(out);
  const counts: TokenCounts[] = [];
  const tokenFiles: string[] = [];
  for (const [i, shard] of shards.entries()) {
    const file = joinPath(scratch, `tokens-${String(i).padStart(5, '0')}.safetensors`);
    counts.push(await tokenizeShard(host, { in: shard, out: file, tokenizer, template }));
    tokenFiles.push(file);
  }
  const plan = await planBuckets(host, { ...planning, shards: tokenFiles, out: scratch });
  const buckets: BucketFacts[] = [];
  for (let bucket = 0; bucket < plan.buckets; bucket++) buckets.push(await writeBucket(host, { plan: scratch, bucket, out }));
  const manifest = await finishPacked(host, { plan: scratch, out, buckets, tokenizer });
  return { counts, plan, manifest };
}
