/**
 * Packs of one stage: its mix of the documents, tokenised and put into buckets. What is replayed comes from the documents of
 * the base or of earlier stages, as categories with a share of their own.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { buildData } from '../../curate/pipeline/build.ts';
import { type BuildConfig, buildSchema } from '../../curate/pipeline/config.ts';
import { packedFingerprint, readPackedManifest } from '../../data/packed/index.ts';
import { loadTokenizer } from '../../text/tokenizer.ts';
import type { Step } from '../engine.ts';
import { sampleOf } from '../mix.ts';
import type { RecipeData, RecipeStage } from '../schema.ts';
import { armId, armPath, type PacksResult, type RunContext, type TokenizerResult } from './context.ts';
import { modelKey } from './model-key.ts';

/** Where a stage's documents come from. */
export interface StageSources {
  /** Globs of document shards, below the run. */
  readonly shards: readonly string[];
  /** Fingerprints of them. */
  readonly keys: readonly string[];
  /** Categories that are new to the model, and those that are replayed. */
  readonly fresh: readonly string[];
  readonly replayed: readonly string[];
}

/** Samples, tokenises and packs for `stage`. */
export function packsStep(
  context: RunContext,
  stage: RecipeStage,
  data: Pick<RecipeData, 'buckets' | 'minChunk'>,
  sources: () => StageSources,
  tokenizer: () => TokenizerResult,
): Step<PacksResult> {
  const { host, dir, recipe } = context;
  const folder = armPath(context, joinPath('stages', stage.name, 'packs'));
  const buckets = stage.buckets ?? data.buckets;
  const chunk = data.minChunk === undefined ? {} : { minChunk: data.minChunk };
  const { mix, temperature, maxEpochs, replay, tokens, epochs, steps, length, template, batch, accumulate } = stage;
  return {
    id: armId(context, `${stage.name}.packs`),
    title: `pack the data of ${stage.name}`,
    owns: [folder],
    inputs: async () => ({
      config: {
        mix,
        temperature,
        maxEpochs,
        replay,
        tokens,
        epochs,
        steps: steps === undefined ? undefined : steps * batch * accumulate,
        length,
        template,
        buckets,
        ...chunk,
      },
      seed: recipe.seed,
      sources: sources(),
      tokenizer: await modelKey(host, joinPath(dir, tokenizer().path)),
    }),
    async run(progress) {
      const { shards, fresh, replayed } = sources();
      const words = await loadTokenizer(host.files, joinPath(dir, tokenizer().path));
      if (words.bosId === null || words.eosId === null)
        throw new ScionError(
          'input',
          `the tokenizer at ${tokenizer().path} names no begin and end of text; training needs both (tokenizer_config.json: bos_token, eos_token)`,
        );
      const config: BuildConfig = buildSchema.parse({
        data: shards.map((glob) => ({ paths: [joinPath(dir, glob)] })),
        seed: recipe.seed,
        clean: false,
        dedup: false,
        sample: sampleOf(stage, fresh, replayed),
        tokenizer: joinPath(dir, tokenizer().path),
        pack: { length, buckets, ...chunk, ...(template === undefined ? {} : { template }) },
      });
      const built = await buildData(host, {
        config,
        out: joinPath(dir, folder),
        version: context.version,
        workers: context.workers,
        stop: context.stop,
        onProgress: ({ step, done, total }) => progress(`${step} ${done}/${total}`),
      });
      const manifest = await readPackedManifest(host.files, joinPath(dir, folder));
      return {
        folder,
        packs: built.packs,
        trainable: manifest.buckets.reduce((sum, bucket) => sum + bucket.trainable, 0),
        tokens: built.tokensPacked,
        fill: built.fill,
        categories: manifest.categories,
        fingerprint: String(packedFingerprint(manifest)),
      };
    },
    intact: async (result) => (await host.files.stat(joinPath(dir, result.folder, 'manifest.json'))) !== null,
  };
}
