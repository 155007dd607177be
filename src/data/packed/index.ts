/**
 * From cleaned documents to packs in buckets, in three plain steps over files, and back to batches. Each step is a function of
 * its inputs alone: the same inputs give the same bytes, in any order of execution, by any number of workers.
 *
 * 1. `tokenizeShard(host, { in, out, tokenizer, template? })` once a shard, in any order → a token file, `TokenCounts`
 *    (`tokenCounts` reads them again from the file, for a build that goes on).
 * 2. `planBuckets(host, { shards, copies?, T, buckets?, seed?, out })` once, when all token files are there → `plan.json` and a
 *    list of pieces a bucket. Sampling is `copies`: how often each document of each token file is used.
 * 3. `writeBucket(host, { plan, bucket, out })` once a bucket, in any order → `buckets/bucket-NN.safetensors`, `BucketFacts`.
 * 4. `finishPacked(host, { plan, out, buckets, tokenizer, validation? })` → `tokenizer/` and, last, `manifest.json`.
 *
 * `packShards` does all of it in this thread. Every file is written aside and renamed; a step that is run again writes
 * the same file again. Reading: `openPacked`, `BucketLoader`; writing for others: `exportParquet`, `exportJsonl`.
 */
export { writeAside } from './aside.ts';
export { BucketLoader, type BucketLoaderOptions, type BucketLoaderState } from './bucket-loader.ts';
export { DocumentEncoder, TokenBuffer } from './encode.ts';
export { exportJsonl, exportParquet } from './export.ts';
export { type HeldOutFile, type HeldOutTexts, heldOutName, SHARED_PREFIX, VALIDATION_FOLDER } from './held-out.ts';
export { type BucketFacts, isPackedFolder, type PackedManifest, packedFingerprint, readPackedManifest } from './manifest.ts';
export { hfLabels, openPacked, PackedBucket, type PackedExpectation, PackedFolder, type Segment, type StoredPack, trainingPack } from './open.ts';
export { type PackShardsOptions, packShards } from './pack-shards.ts';
export { type PackPlan, type PlannedCategory, type PlanOptions, planBuckets, readPlan } from './plan.ts';
export { TEMPLATES, type TemplateName, templateNamed } from './templates.ts';
export {
  type CategoryTokens,
  type TokenCounts,
  type TokenDrop,
  type TokenizeOptions,
  tokenCounts,
  tokenizerHash,
  tokenizeShard,
} from './token-shard.ts';
export { bucketName, finishPacked, writeBucket } from './write-bucket.ts';
