/**
 * The end of a build: the account of every document, the report as JSON and as a page, and the record that says what the build was
 * and gave. The record comes last, so where it is, all is.
 */
import { invariant, ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import type { HeldOutFile } from '../../data/packed/index.ts';
import { writeWhole } from '../../host/whole-file.ts';
import type { BuildEnv } from './build-env.ts';
import type { Counts } from './counts.ts';
import { gatherDuplicates, gatherReport } from './gather.ts';
import type { GroupRun, Judged } from './groups.ts';
import { RECORD } from './out-folder.ts';
import type { PackedStages } from './pack-stages.ts';
import { scorerFacts } from './scorers.ts';
import { type Shards, writeJson } from './shard-files.ts';

/** What `--json` prints. */
export interface BuildResult {
  readonly out: string;
  readonly documentsIn: number;
  readonly documentsOut: number;
  readonly drops: Readonly<Record<string, number>>;
  /** Set aside for validation: in = out + drops + held out. */
  readonly documentsHeldOut: number;
  /** Files of held-out documents, below the output. */
  readonly validation: readonly HeldOutFile[];
  /** Uses of documents beyond the first, by sampling. */
  readonly copies: number;
  readonly tokensAfterSampling: number;
  readonly tokensPacked: number;
  readonly packs: number;
  readonly fill: number;
  readonly buckets: number;
  readonly seconds: number;
  readonly peakRssBytes: number | null;
  /** Path of the page. */
  readonly report: string;
  /** Folder of the documents that are left, where it is kept. */
  readonly documents: string | null;
  /** Folders of packed data by stage; one, the output itself, where no stages are named. */
  readonly packed: Readonly<Record<string, string>>;
  /** True where all of it was there already. */
  readonly unchanged: boolean;
}

/** Which rows of which evaluation sets were found: a file of its own, since there may be thousands. */
export async function writeContamination(env: BuildEnv, counts: Counts): Promise<void> {
  if (env.config.decontaminate === null) return;
  const { touchedRows } = await import('../decontaminate/index.ts');
  const rows = [...counts.tallies].filter(([name]) => name.startsWith('decontaminate.')).sort(([a], [b]) => (a < b ? -1 : 1));
  await writeJson(env.host.files, joinPath(env.out, 'contamination.json'), touchedRows(Object.fromEntries(rows)));
}

/** What the steps gave. */
export interface BuildParts {
  readonly run: GroupRun;
  readonly judged: Judged;
  /** What is left when documents are held out, and the files of those. */
  readonly kept: { readonly shards: Shards; readonly files: readonly HeldOutFile[] };
  readonly packed: PackedStages;
  /** Of the whole build. */
  readonly key: string;
  /** `Host.now` at the start. */
  readonly began: number;
  readonly keepWork: boolean;
}

/** Writes report and record. @throws ScionError `input` where nothing is left to pack. */
export async function finishBuild(env: BuildEnv, { run, judged, kept, packed, key, began, keepWork }: BuildParts): Promise<BuildResult> {
  const { host } = env;
  const { files } = host;
  const { counts, steps, trained } = run;
  const { shards, files: validation } = kept;
  const { stages, tokenized, sampled, tokensAfterSampling, lengthKept, copies } = packed;
  const report = gatherReport({
    counts,
    steps,
    tokenized,
    sampled,
    lengthKept,
    duplicates: await gatherDuplicates(files, judged.looked, judged.dedup),
    stages,
    T: env.config.tokenizer === null ? 0 : env.config.pack.length,
    tokensAfterSampling,
    tokenizer: env.config.tokenizer,
    thresholds: env.config.score?.drop ?? {},
    scorers: scorerFacts(trained.classifiers),
    seconds: env.seconds,
    peakRssBytes: host.peakResidentBytes(),
    config: env.config,
  });
  const sum = (step: string): number => report.funnel.reduce((total, row) => total + (row.step === step ? row.documents : 0), 0);
  const dropped = (only: (reason: string) => boolean): number => Object.entries(report.drops).reduce((total, [reason, n]) => total + (only(reason) ? n : 0), 0);
  const documentsIn = sum('read') + dropped((reason) => reason.startsWith('read.'));
  const documentsOut = sum(report.funnel.at(-1)?.step ?? 'read');
  const documentsHeldOut = Object.values(report.heldOut ?? {}).reduce((total, { documents }) => total + documents, 0);
  invariant(
    documentsIn === documentsOut + documentsHeldOut + dropped(() => true),
    `every document is accounted for: ${documentsIn} in, ${documentsOut} out, ${documentsHeldOut} held out, ${dropped(() => true)} dropped`,
    {
      documentsIn,
      documentsOut,
      documentsHeldOut,
    },
  );
  await writeJson(files, joinPath(env.out, 'report.json'), report);
  const { renderReport } = await import('../report/index.ts');
  const page = joinPath(env.out, 'report.html');
  await writeWhole(files, page, new TextEncoder().encode(renderReport(report)));
  if (env.config.tokenizer !== null && tokensAfterSampling === 0) {
    const why = Object.entries(report.drops)
      .sort((a, b) => b[1] - a[1])
      .slice(0, 3)
      .map(([reason, n]) => `${reason} ${n}`);
    throw new ScionError('input', `nothing is left to pack: of ${documentsIn} documents all were dropped (${why.join(', ')}); ${page} shows examples`, {
      documentsIn,
    });
  }
  const keeps = keepWork || env.config.tokenizer === null;
  const result: BuildResult = {
    out: env.out,
    documentsIn,
    documentsOut,
    drops: report.drops,
    documentsHeldOut,
    validation,
    copies,
    tokensAfterSampling,
    tokensPacked: report.packing.tokensPacked,
    packs: report.packing.packs,
    fill: report.packing.fill,
    buckets: report.buckets.length,
    seconds: Number(((host.now() - began) / 1000).toFixed(3)),
    peakRssBytes: host.peakResidentBytes(),
    report: page,
    documents: keeps ? env.work(packed.sampledFolder ?? shards.name) : null,
    packed: Object.fromEntries(packed.folders),
    unchanged: false,
  };
  await writeJson(files, joinPath(env.out, RECORD), { key, result });
  if (!keeps) await files.remove(joinPath(env.out, 'work'));
  return result;
}
