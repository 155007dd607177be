/**
 * `scion data build`: from raw files to packs in buckets, by a recipe or by flags alone. Flags stand over the recipe. The same
 * command goes on after whatever stopped it.
 */
import { ScionError } from '../../base/errors.ts';
import { normalPath } from '../../base/path.ts';
import { ranksHere } from '../../comm/mpi.ts';
import type { Transport } from '../../comm/types.ts';
import { type BuildOptions, type BuildProgress, type BuildResult, buildData } from '../../curate/pipeline/build.ts';
import { type BuildConfig, STEP_NAMES, type StepName } from '../../curate/pipeline/config.ts';
import { followBuild, leadBuild } from '../../curate/pipeline/ranks.ts';
import { parseBuild, readRecipe } from '../../curate/pipeline/recipe.ts';
import { parseColumnNames } from '../../data/records.ts';
import { type Host, host } from '../../host/index.ts';
import type { Command, Context } from '../command.ts';
import type { Flags } from '../flags.ts';
import { runOnMpi, TRANSPORT_FLAG } from '../ranks.ts';
import { bytes, duration, si } from '../status.ts';
import { VERSION } from '../version.ts';

function stepsOf(flags: Flags): StepName[] | undefined {
  const words = flags.list('only').flatMap((word) => word.split(','));
  if (words.length === 0) return undefined;
  return words.map((word) => {
    const name = STEP_NAMES.find((step) => step === word);
    if (name === undefined) throw new ScionError('usage', `--only takes steps of ${STEP_NAMES.join(', ')}; got "${word}"`);
    return name;
  });
}

/** What flags say at the top level of a recipe. */
function changesOf(flags: Flags): Record<string, unknown> {
  const data = flags.list('data');
  const columns = parseColumnNames(flags.list('columns'));
  if (flags.list('columns').length > 0 && data.length === 0) throw new ScionError('usage', '--columns goes with --data; a recipe has fields by source');
  const against = flags.list('eval');
  return {
    ...(data.length > 0 ? { data: [{ paths: data, fields: columns }] } : {}),
    ...(flags.has('tokenizer') ? { tokenizer: flags.string('tokenizer') } : {}),
    ...(flags.has('seed') ? { seed: flags.number('seed') } : {}),
    ...(flags.has('rules') ? { clean: { rules: flags.string('rules') } } : {}),
    ...(against.length > 0 ? { decontaminate: { sets: [{ name: 'eval', data: against }] } } : {}),
  };
}

/** Fields of `pack` are changed one by one. */
function withPack(config: BuildConfig, flags: Flags): BuildConfig {
  const changes = { ...(flags.has('length') ? { length: flags.number('length') } : {}), ...(flags.has('buckets') ? { buckets: flags.number('buckets') } : {}) };
  for (const [name, value] of Object.entries(changes)) {
    const least = name === 'length' ? 2 : 1;
    if (!Number.isInteger(value) || (value ?? 0) < least) throw new ScionError('usage', `--${name} takes a whole number of at least ${least}, got ${value}`);
  }
  return { ...config, pack: { ...config.pack, ...changes } };
}

function summary(result: BuildResult): string[] {
  const { documentsIn, documentsOut, drops, copies, tokensPacked, packs, fill, buckets, seconds, peakRssBytes, report, documents, packed, documentsHeldOut } =
    result;
  const dropped = Object.entries(drops).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const shown = dropped.slice(0, 6).map(([reason, n]) => `${reason} ${n}`);
  if (dropped.length > 6) shown.push(`and ${dropped.length - 6} more reasons`);
  return [
    `documents  ${documentsIn} in, ${documentsOut} out${copies > 0 ? `, used ${documentsOut + copies} times` : ''}${documentsHeldOut > 0 ? `, ${documentsHeldOut} held out` : ''}`,
    `dropped    ${shown.length > 0 ? shown.join(', ') : 'none'}`,
    ...(buckets > 0 ? [`packed     ${si(tokensPacked)} tokens in ${packs} packs of ${buckets} buckets, ${(100 * fill).toFixed(2)} % full`] : []),
    ...Object.values(packed).map((folder) => `data       ${folder}`),
    ...(documents === null ? [] : [`documents  ${documents}`]),
    `report     ${report}`,
    result.unchanged
      ? 'all of it was there already'
      : `done in ${duration(seconds)}${peakRssBytes === null ? '' : `, at most ${bytes(peakRssBytes)} of memory`}`,
  ];
}

export const command: Command = {
  name: 'data build',
  summary: 'clean, deduplicate, decontaminate, score, sample and pack text into training buckets',
  words: '[RECIPE]',
  flags: {
    data: { kind: 'list', value: 'GLOB …', summary: 'files, folders or globs, in place of those of the recipe' },
    out: { kind: 'string', value: 'DIR', summary: 'folder to make; the same command goes on in it after a stop' },
    tokenizer: { kind: 'string', value: 'DIR', summary: 'folder or tokenizer.model; without one nothing is packed' },
    length: { kind: 'integer', summary: 'tokens a pack (default 4096)' },
    buckets: { kind: 'integer', summary: 'buckets, each of the same mix (default 10)' },
    seed: { kind: 'integer', summary: 'of sampling and of the order of packs (default 0)' },
    rules: { kind: 'string', value: 'NAME', summary: 'rules of cleaning', choices: ['web', 'book', 'code-doc', 'dialogue', 'none'] },
    eval: { kind: 'list', value: 'GLOB …', summary: 'evaluation sets whose text must not be in the data' },
    columns: { kind: 'list', value: 'FIELD=COLUMN …', summary: 'what records call text, source, target, messages, id, category, lang' },
    only: { kind: 'list', value: 'STEP …', summary: `only these steps, of ${STEP_NAMES.join(', ')}` },
    workers: { kind: 'integer', summary: 'threads, in an MPI job those of each rank; the result is the same for any number. By default one a core, at most 8' },
    transport: TRANSPORT_FLAG,
    'keep-work': { kind: 'boolean', summary: 'keep the documents of every step: later changes then redo only what they touch', default: false },
  },
  examples: [
    'scion data build recipes/data/zh-graft.yaml --out buckets',
    'scion data build --data pages/ notes/*.md --tokenizer llama2 --length 2048 --out buckets',
    'scion data build --data crawl/*.jsonl.zst --only clean dedup --out cleaned',
    'mpiexec -n 4 scion data build recipes/data/zh-graft.yaml --out buckets',
  ],
  async run(context) {
    const byMpi = await runOnMpi(context, async (rank, world, together) => {
      const plan = await together(() => planOf(rank.flags));
      await together(() => build(rank, plan, world));
    });
    if (!byMpi) await build(context, await planOf(context.flags), null);
  },
};

/** What flags and recipe ask for. */
interface Plan {
  readonly config: BuildConfig;
  readonly out: string;
  readonly only: readonly StepName[] | undefined;
  readonly workers: number | undefined;
}

async function planOf(flags: Flags): Promise<Plan> {
  const out = normalPath(flags.need('out', 'the folder to make'));
  const [recipe, ...others] = flags.words;
  if (others.length > 0) throw new ScionError('usage', `scion data build takes one recipe; found "${flags.words.join(' ')}" (data goes behind --data)`);
  const changes = changesOf(flags);
  if (recipe === undefined && changes.data === undefined) throw new ScionError('usage', 'scion data build needs a recipe, or --data GLOB …');
  const workers = flags.number('workers');
  if (workers !== undefined && (workers < 1 || workers > 256)) throw new ScionError('usage', `--workers takes a whole number from 1 to 256, got ${workers}`);
  const read = recipe === undefined ? parseBuild(changes, 'command line') : await readRecipe(await host(), recipe, changes);
  return { config: withPack(read, flags), out, only: stepsOf(flags), workers };
}

/** Threads a rank has where `--workers` does not say: the cores of its machine, shared by the ranks there. */
const threadsOf = (machine: Host, world: Transport | null): number =>
  Math.max(1, Math.min(8, Math.floor(machine.cores / (world ? (ranksHere(machine) ?? world.size) : 1))));

/** A build in this process alone, or as one rank of a job: the first one leads, the others work for it. */
async function build({ flags, print, status, stop, result }: Context, { config, out, only, workers }: Plan, world: Transport | null): Promise<void> {
  const machine = await host();
  const own = { workers: workers ?? threadsOf(machine, world), stop };
  if (world && world.rank > 0) return followBuild(machine, world, own);
  const lead = world && (await leadBuild(machine, world, own));
  const began = machine.now();
  const onProgress = ({ step, done, total }: BuildProgress): void => {
    const resident = machine.residentBytes();
    const memory = resident === null ? '' : ` · ${bytes(resident)}`;
    status.set(`${step} ${done}/${total} · ${duration((machine.now() - began) / 1000)}${memory}`);
  };
  const options: BuildOptions = {
    config,
    out,
    version: VERSION,
    keepWork: flags.boolean('keep-work'),
    onProgress,
    stop,
    ...(only && { only }),
    workers: lead?.workers ?? own.workers,
    ...(lead && { spawn: lead.spawn, sections: lead.sections }),
  };
  const built = await buildData(machine, options).finally(() => lead?.end());
  for (const line of summary(built)) print(line);
  result({ ...built });
}
