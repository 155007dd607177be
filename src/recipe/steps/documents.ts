/**
 * Raw text to documents: the data pipeline without tokens. It runs once for all stages, and does not depend on the vocabulary, so
 * that a change of one redoes nothing of the other; the vocabulary is learnt from what is left here.
 */
import { joinPath } from '../../base/path.ts';
import { buildData } from '../../curate/pipeline/build.ts';
import { type BuildConfig, buildSchema } from '../../curate/pipeline/config.ts';
import { findSourceFiles } from '../../curate/read/units.ts';
import type { Step } from '../engine.ts';
import type { RecipeData } from '../schema.ts';
import type { DocumentsResult, RunContext } from './context.ts';
import type { SampleResult } from './sample-files.ts';

/** The pipeline's configuration of a `data:` part; sample sources become files. */
export function documentsConfig(context: RunContext, data: RecipeData, sample: SampleResult | null): BuildConfig {
  const { data: sources, buckets: _, minChunk: __, ...rest } = data;
  const paths = sources.map((source) => ('sample' in source ? { paths: [joinPath(context.dir, sample?.train[source.sample] ?? '')], fields: {} } : source));
  // Parsed already, all but what a stage decides.
  return { ...buildSchema.parse({ data: ['-'] }), ...rest, data: paths, tokenizer: null, sample: null, seed: context.recipe.seed };
}

/** Cleans, deduplicates, decontaminates and scores; `name` is the folder below the run. */
export function documentsStep(context: RunContext, name: string, data: RecipeData, sample: () => SampleResult | null): Step<DocumentsResult> {
  const { host, dir } = context;
  const folder = joinPath(name, 'documents');
  return {
    id: `${name}.documents`,
    title: `clean and choose the documents of ${name}`,
    // The pipeline has keys of its own, by the content of every file, and goes on in what it finds.
    owns: [],
    async inputs() {
      const config = documentsConfig(context, data, sample());
      const found = await findSourceFiles(host.files, config.data);
      // Content decides in the pipeline; here it is enough to see whether anything may have changed.
      const files = await Promise.all(found.map(async ({ path, size }) => [path, size, (await host.files.stat(path))?.modified]));
      return { config, files };
    },
    async run(progress) {
      const built = await buildData(host, {
        config: documentsConfig(context, data, sample()),
        out: joinPath(dir, folder),
        version: context.version,
        workers: context.workers,
        stop: context.stop,
        onProgress: ({ step, done, total }) => progress(`${step} ${done}/${total}`),
      });
      const report = JSON.parse(new TextDecoder().decode(await host.files.read(joinPath(dir, folder, 'report.json')))) as {
        funnel: { step: string; category: string; documents: number; bytes: number }[];
      };
      const record = JSON.parse(new TextDecoder().decode(await host.files.read(joinPath(dir, folder, 'build.json')))) as { key: string };
      const last = report.funnel.findLast(({ step }) => step !== 'held-out')?.step;
      const rows = report.funnel.filter(({ step }) => step === last);
      // The generated corpus has a held-out side of its own, in wordings that training never shows.
      const generated = Object.entries(sample()?.validation ?? {}).map(([category, facts]) => ({ category, ...facts }));
      const set = built.validation.map(({ category, file, documents, textBytes }) => ({ category, path: joinPath(folder, file), documents, bytes: textBytes }));
      const held = [...generated, ...set.filter(({ category }) => !generated.some((one) => one.category === category))];
      return {
        shards: joinPath(folder, (built.documents ?? '').slice(joinPath(dir, folder).length + 1), 'shard-?????????.jsonl'),
        validation: held.filter(({ category }) => rows.some((row) => row.category === category)),
        categories: Object.fromEntries(rows.map(({ category, documents, bytes }) => [category, { documents, bytes }])),
        documentsIn: built.documentsIn,
        documentsOut: built.documentsOut,
        drops: built.drops,
        report: joinPath(folder, 'report.html'),
        fingerprint: record.key,
      };
    },
    intact: async (result) => (await host.files.stat(joinPath(dir, result.report))) !== null,
  };
}
