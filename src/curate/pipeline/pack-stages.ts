/**
 * From scored shards to packs: tokenise every shard, choose documents by what is known of them (never by their texts), list what
 * was not chosen, and write the buckets of each stage.
 */
import { joinPath } from '../../base/path.ts';
import { countPower } from '../../base/power-bins.ts';
import { finishPacked, type HeldOutFile, planBuckets, readPlan, SHARED_PREFIX } from '../../data/packed/index.ts';
import { openTokenShard } from '../../data/packed/token-shard.ts';
import type { Host } from '../../host/types.ts';
import { loadTokenizer } from '../../text/tokenizer.ts';
import { CHOSEN, type Choice, type Columns, choose, WHY } from '../sample/choose.ts';
import { type SampleStage, stagesOf } from '../sample/config.ts';
import type { BuildConfig } from './config.ts';
import { Counts } from './counts.ts';
import { factsPath, type ShardFacts } from './flow.ts';
import type { StagePacks, TokenRow } from './gather.ts';
import { claimFolder, keyOf } from './keys.ts';
import type { BucketInput, BucketOutput, SampleInput, TokenizeInput, TokenizeOutput } from './pack-tasks.ts';
import { tokenPath } from './pack-tasks.ts';
import type { TaskPool } from './pool.ts';
import type { Shards } from './shard-files.ts';
import { STEP_VERSIONS } from './steps.ts';

export interface PackEnv {
  readonly host: Host;
  readonly pool: TaskPool;
  readonly config: BuildConfig;
  readonly out: string;
  /** Of the shards. */
  readonly key: string;
  /** Files of held-out documents, seen from the output folder. */
  readonly heldOut: readonly HeldOutFile[];
  readonly tokenizerKey: string | null;
  readonly progress: (step: string, done: number, total: number) => void;
  timed<T>(step: string, work: () => Promise<T>): Promise<T>;
  /** Lets workers begin anew behind so many tasks. */
  rest(tasks: number): Promise<void>;
}

export interface PackedStages {
  readonly stages: readonly StagePacks[];
  /** Name and folder of each stage. */
  readonly folders: readonly (readonly [string, string])[];
  readonly tokenized: ReadonlyMap<string, TokenRow> | null;
  readonly sampled: ReadonlyMap<string, TokenRow> | null;
  readonly tokensAfterSampling: number;
  /** By category: documents that are used at least once, by power of two of their characters. */
  readonly lengthKept: ReadonlyMap<string, readonly number[]>;
  readonly copies: number;
  /** Folder in `work/` of what was chosen, where nothing is packed. */
  readonly sampledFolder: string | null;
}

/** Adds to the row of a category. */
function addRow(table: Map<string, TokenRow>, category: string, documents: number, bytes: number, characters: number, tokens: number): void {
  const row = table.get(category);
  if (row === undefined) table.set(category, { documents, bytes, characters, tokens });
  else {
    row.documents += documents;
    row.bytes += bytes;
    row.characters += characters;
    row.tokens += tokens;
  }
}

async function tokenize(env: PackEnv, shards: Shards, key: string, tokenizer: string, counts: Counts): Promise<Map<string, TokenRow>> {
  const { host, pool, config, out, progress } = env;
  const work = joinPath(out, 'work', 'tokenize');
  const drops = joinPath(out, 'drops');
  await claimFolder(host, work, key, [joinPath(drops, 'tokenize')]);
  const { template } = config.pack;
  const inputs = shards.numbers.map((shard, i): TokenizeInput => ({ shard, path: shards.paths[i], tokenizer, template, work, drops }));
  const outputs = await env.timed('tokenize', () =>
    pool.map<TokenizeInput, TokenizeOutput>('pack.tokenize', inputs, (done, total) => progress('tokenise', done, total)),
  );
  await env.rest(inputs.length);
  const table = new Map<string, TokenRow>();
  for (const { counts: own, dropped } of outputs) {
    for (const { reason, ...example } of dropped) counts.drop(reason, example);
    if (own.spaced > 0) counts.count('tokenize.spaced', own.spaced);
    for (const { category, documents, characters, bytes, tokens } of own.categories) addRow(table, category, documents, bytes, characters, tokens);
  }
  return table;
}

/** All documents in columns. Sizes in tokens where there are any. */
interface Everything {
  readonly base: Columns;
  readonly tokens: Float64Array | null;
  readonly characters: Float64Array;
  readonly bytes: Float64Array;
  /** First document of each shard, and the end. */
  readonly starts: Uint32Array;
}

async function gather(env: PackEnv, shards: Shards): Promise<Everything> {
  const { files } = env.host;
  const hasTokens = env.config.tokenizer !== null;
  const factsOf = async (number: number): Promise<ShardFacts> =>
    JSON.parse(new TextDecoder().decode(await files.read(factsPath(shards.facts, number)))) as ShardFacts;
  const names = new Map<string, number>();
  const starts = new Uint32Array(shards.numbers.length + 1);
  // Twice through the facts, so that no more than one shard's lie in memory as they are written.
  for (const [s, number] of shards.numbers.entries()) starts[s + 1] = starts[s] + (await factsOf(number)).category.length;
  const n = starts[shards.numbers.length];
  const category = new Uint16Array(n);
  const shard = new Uint32Array(n);
  const index = new Uint32Array(n);
  const characters = new Float64Array(n);
  const bytes = new Float64Array(n);
  const tokens = hasTokens ? new Float64Array(n) : null;
  const scores = new Map<string, Float64Array>();
  for (const [s, number] of shards.numbers.entries()) {
    const facts = await factsOf(number);
    let ends: Uint32Array | null = null;
    if (hasTokens) {
      const tokenShard = await openTokenShard(files, tokenPath(joinPath(env.out, 'work', 'tokenize'), number));
      await tokenShard.file.close();
      ends = tokenShard.starts;
    }
    const own = facts.categories.map((name) => {
      let known = names.get(name);
      if (known === undefined) {
        known = names.size;
        names.set(name, known);
      }
      return known;
    });
    for (let i = 0; i < facts.category.length; i++) {
      const at = starts[s] + i;
      category[at] = own[facts.category[i]];
      shard[at] = number;
      index[at] = i;
      characters[at] = facts.characters[i];
      bytes[at] = facts.bytes[i];
      if (tokens && ends) tokens[at] = ends[i + 1] - ends[i];
    }
    for (const [name, values] of Object.entries(facts.scores)) {
      let column = scores.get(name);
      if (column === undefined) {
        column = new Float64Array(n).fill(Number.NaN);
        scores.set(name, column);
      }
      for (const [i, value] of values.entries()) if (value !== null) column[starts[s] + i] = value;
    }
  }
  const base: Columns = { categories: [...names.keys()], category, shard, index, scores, size: tokens ?? characters };
  return { base, tokens, characters, bytes, starts };
}

function sizesOf(stage: SampleStage, all: Everything): Float64Array {
  if (stage.unit === 'tokens') return all.tokens ?? all.characters;
  // What has no tokens is no longer there, whatever the unit.
  const there = (i: number): boolean => all.tokens === null || all.tokens[i] > 0;
  return stage.unit === 'characters' ? all.characters.map((n, i) => (there(i) ? n : 0)) : all.characters.map((_, i) => (there(i) ? 1 : 0));
}

function chooseAll(stages: readonly SampleStage[], seed: number, all: Everything): Choice[] {
  const used = new Uint8Array(all.base.category.length);
  return stages.map((stage, number) => {
    const choice = choose(stage, number, seed, { ...all.base, size: sizesOf(stage, all) }, used);
    choice.copies.forEach((copies, i) => {
      if (copies > 0) used[i] = 1;
    });
    return choice;
  });
}

/** How often each document is used by all stages, and why not, for those that none uses: the first stage's reason. */
function together(choices: readonly Choice[]): { copies: Uint16Array; why: Uint8Array } {
  const copies = choices[0].copies.slice();
  for (const { copies: more } of choices.slice(1)) {
    more.forEach((n, i) => {
      copies[i] = Math.min(0xffff, copies[i] + n);
    });
  }
  return { copies, why: choices[0].why.map((why, i) => (copies[i] > 0 ? CHOSEN : why)) };
}

async function listUnchosen(env: PackEnv, shards: Shards, key: string, starts: Uint32Array, chosen: { copies: Uint16Array; why: Uint8Array }): Promise<Counts> {
  const { host, pool, out, progress, config } = env;
  const work = joinPath(out, 'work', 'sample');
  const drops = joinPath(out, 'drops');
  await claimFolder(host, work, key, [joinPath(drops, 'sample')]);
  const write = config.tokenizer === null;
  const inputs: SampleInput[] = [];
  shards.numbers.forEach((shard, s) => {
    const copies = chosen.copies.slice(starts[s], starts[s + 1]);
    const why = chosen.why.slice(starts[s], starts[s + 1]);
    if (write || why.some((one) => one !== CHOSEN)) inputs.push({ shard, path: shards.paths[s], copies, why, reasons: WHY, work, drops, write });
  });
  const counts = new Counts();
  const texts = await env.timed('sample', () => pool.map<SampleInput, string>('sample.shard', inputs, (done, total) => progress('sample', done, total)));
  for (const text of texts) counts.merge(Counts.parse(text));
  return counts;
}

/** Writes the packs of one stage. */
async function packStage(
  env: PackEnv,
  name: string,
  folder: string,
  key: string,
  files: readonly string[],
  copies: readonly Uint16Array[] | null,
  seed: number,
): Promise<StagePacks> {
  const { host, pool, config, progress } = env;
  const { length: T, buckets, minChunk } = config.pack;
  const dir = joinPath(env.out, 'work', 'plans', name);
  await host.files.makeDir(joinPath(env.out, 'work', 'plans'));
  await claimFolder(host, dir, key, [joinPath(folder, 'buckets'), joinPath(folder, 'tokenizer')]);
  const planned = (await host.files.stat(joinPath(dir, 'plan.json'))) !== null;
  progress(`plan ${name}`, 0, 1);
  const plan = planned
    ? await readPlan(host.files, dir)
    : await planBuckets(host, { shards: files, ...(copies ? { copies } : {}), T, buckets, seed, ...(minChunk === undefined ? {} : { minChunk }), out: dir });
  await host.files.makeDir(folder);
  const inputs = Array.from({ length: plan.buckets }, (_, bucket): BucketInput => ({ plan: dir, bucket, out: folder }));
  const outputs = await pool.map<BucketInput, BucketOutput>('pack.bucket', inputs, (done, total) => progress('pack', done, total));
  const manifest = await finishPacked(host, {
    plan: dir,
    out: folder,
    buckets: outputs.map(({ facts }) => facts),
    tokenizer: await loadTokenizer(host.files, config.tokenizer ?? ''),
    validation: folder === env.out ? env.heldOut : env.heldOut.map((one) => ({ ...one, file: SHARED_PREFIX + one.file })),
  });
  return { name, categories: manifest.categories.map(({ category }) => category), T, tokens: manifest.tokens, packs: manifest.packs, buckets: outputs };
}

/** All of it. `counts` gets the drops of tokenising and sampling. */
export async function packStages(env: PackEnv, shards: Shards, counts: Counts): Promise<PackedStages> {
  const { host, config, out } = env;
  const { tokenizer, seed } = config;
  const tokenKey = await keyOf(host, [env.key, STEP_VERSIONS.tokenize, env.tokenizerKey, config.pack.template]);
  const tokenized = tokenizer === null ? null : await tokenize(env, shards, tokenKey, tokenizer, counts);
  const all = await gather(env, shards);
  const stages = stagesOf(config.sample ?? {}, tokenizer !== null);
  const sampleKey = await keyOf(host, [tokenKey, STEP_VERSIONS.sample, config.sample, seed]);
  const choices = config.sample === null ? null : chooseAll(stages, seed, all);
  const chosen = choices && together(choices);
  if (chosen) counts.merge(await listUnchosen(env, shards, sampleKey, all.starts, chosen));

  const { base, tokens, characters, bytes, starts } = all;
  const sampled = new Map<string, TokenRow>();
  const lengthKept = new Map<string, number[]>();
  let extra = 0;
  let total = 0;
  for (let i = 0; i < base.category.length; i++) {
    const times = chosen ? chosen.copies[i] : 1;
    if (times === 0 || tokens?.[i] === 0) continue;
    const category = base.categories[base.category[i]];
    const length = tokens ? tokens[i] : 0;
    addRow(sampled, category, 1, bytes[i] * times, characters[i] * times, length * times);
    extra += times - 1;
    total += length * times;
    const bins = lengthKept.get(category) ?? [];
    countPower(bins, characters[i]);
    lengthKept.set(category, bins);
  }
  if (extra > 0) counts.count('sample.copies', extra);

  const packs: StagePacks[] = [];
  const folders: (readonly [string, string])[] = [];
  if (tokenizer !== null && total > 0) {
    const files = shards.numbers.map((number) => tokenPath(joinPath(out, 'work', 'tokenize'), number));
    const { length, buckets, minChunk } = config.pack;
    const apart = (config.sample?.stages ?? []).length > 0;
    if (!apart) await host.files.remove(joinPath(out, 'stages'));
    else for (const name of ['buckets', 'tokenizer']) await host.files.remove(joinPath(out, name));
    await env.timed('pack', async () => {
      for (const [number, { name }] of stages.entries()) {
        const folder = apart ? joinPath(out, 'stages', name) : out;
        const copies = choices && shards.numbers.map((_, s) => choices[number].copies.slice(starts[s], starts[s + 1]));
        const key = await keyOf(host, [sampleKey, STEP_VERSIONS.pack, length, buckets, minChunk, seed, number, name]);
        packs.push(await packStage(env, name, folder, key, files, copies, (seed + number) >>> 0));
        folders.push([name, folder]);
      }
    });
  }
  return {
    stages: packs,
    folders,
    tokenized,
    sampled: config.sample === null ? null : sampled,
    tokensAfterSampling: total,
    lengthKept,
    copies: extra,
    sampledFolder: config.sample !== null && tokenizer === null ? 'sample' : null,
  };
}
