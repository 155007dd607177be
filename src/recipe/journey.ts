/**
 * The order of a run: which steps a recipe means, and what each takes from those before it. Base (a folder, or trained here),
 * documents, vocabulary, rows, packs of all stages, the stages, and the model folder they end in. Steps run one after the other through
 * `StepRunner`; this file is the only one that knows all of them.
 */
import { ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { readHfConfig } from '../checkpoint/hf.ts';
import { matchesPattern } from '../curate/sample/config.ts';
import { type LlamaConfig, makeConfig } from '../nn/config.ts';
import { loadTokenizer } from '../text/tokenizer.ts';
import type { StepRunner } from './engine.ts';
import { mixCategories } from './mix.ts';
import type { Recipe, RecipeArm, RecipeStage, SamplePart } from './schema.ts';
import { armId, type DocumentsResult, type ModelAt, type PacksResult, type RunContext, type TokenizerResult } from './steps/context.ts';
import { documentsStep } from './steps/documents.ts';
import { exportStep } from './steps/export.ts';
import { initStep } from './steps/init.ts';
import { modelKey } from './steps/model-key.ts';
import { packsStep, type StageSources } from './steps/packs.ts';
import { type Answers, baseQuestionsStep } from './steps/questions.ts';
import { type SampleResult, sampleStep } from './steps/sample-files.ts';
import { type StageResult, stageSchedule, stageStep, stageSteps } from './steps/stage.ts';
import { baseVocabStep, vocabStep } from './steps/vocabulary.ts';

/** What a run made. Paths are below the run folder, unless absolute. */
export interface JourneyResult {
  readonly base: ModelAt;
  readonly baseStage: StageResult | null;
  /** Answers of a base that was not trained here. */
  readonly baseAnswers: Answers | null;
  readonly documents: DocumentsResult;
  readonly vocab: TokenizerResult | null;
  readonly tokenizer: TokenizerResult;
  readonly stages: readonly StageResult[];
  readonly packs: Readonly<Record<string, PacksResult>>;
  /** Stages of the arms, by name. */
  readonly arms: Readonly<Record<string, readonly StageResult[]>>;
  /** The last checkpoint. */
  readonly checkpoint: string;
  /** The exported folder. */
  readonly model: string;
}

/** Which parts of the generated corpus a recipe reads. */
export function sampleParts({ recipe }: Pick<RunContext, 'recipe'>): SamplePart[] {
  const parts = [recipe.data, ...('train' in recipe.base ? [recipe.base.train.data] : [])];
  const named = parts.flatMap(({ data }) => data.flatMap((source) => ('sample' in source ? [source.sample] : [])));
  return [...new Set(named)].sort();
}

/** The base that a recipe trains, as a config: its shape, and its vocabulary as far as it is known. */
export function trainedConfig(
  recipe: Recipe,
  words: { readonly vocabSize: number; readonly bosId?: number | null; readonly eosId?: number | null },
): LlamaConfig {
  if (!('train' in recipe.base)) throw new ScionError('internal', 'the base is not trained here');
  const { shape, stage } = recipe.base.train;
  const { vocabSize, bosId = null, eosId = null } = words;
  return makeConfig({
    vocabSize,
    hiddenSize: shape.hidden,
    intermediateSize: shape.intermediate,
    numLayers: shape.layers,
    numHeads: shape.heads,
    ...(shape.kvHeads === undefined ? {} : { numKvHeads: shape.kvHeads }),
    tied: shape.tied,
    initializerRange: shape.initializerRange,
    maxPositions: shape.maxPositions ?? Math.max(stage.length, ...recipe.stages.map(({ length }) => length)),
    bosId,
    eosIds: eosId === null ? [] : [eosId],
  });
}

interface Base {
  readonly model: ModelAt;
  readonly tokenizer: TokenizerResult;
  readonly documents: DocumentsResult | null;
  readonly stage: StageResult | null;
  /** A Hugging Face folder of it. */
  readonly folder: string;
}

/** What a stage hands on: its weights with its adapters, or their average. */
function modelOf({ lora, handOn }: RecipeStage, config: LlamaConfig, { checkpoint }: StageResult, key: string): ModelAt {
  const average = handOn === 'average';
  return {
    config,
    kind: 'checkpoint',
    path: checkpoint,
    key: average ? `${key}:average` : key,
    ...(lora ? { lora } : {}),
    ...(average ? { average } : {}),
  };
}

async function trainedBase(context: RunContext, runner: StepRunner, sample: SampleResult | null): Promise<Base> {
  if (!('train' in context.recipe.base)) throw new ScionError('internal', 'the base is not trained here');
  const { vocab, data, stage: given } = context.recipe.base.train;
  const stage: RecipeStage = { ...given, name: 'base' };
  const documents = await runner.run(documentsStep(context, 'base', data, () => sample));
  const tokenizer = await runner.run(baseVocabStep(context, vocab, () => documents));
  const categories = Object.keys(documents.categories);
  const sources: StageSources = { shards: [documents.shards], keys: [documents.fingerprint], fresh: mixCategories(stage, categories), replayed: [] };
  const packs = await runner.run(
    packsStep(
      context,
      stage,
      data,
      () => sources,
      () => tokenizer,
    ),
  );
  const config = trainedConfig(context.recipe, await loadTokenizer(context.host.files, joinPath(context.dir, tokenizer.path)));
  const steps = stageSteps(stage, packs.trainable);
  const schedule = stageSchedule([stage], [steps], 0);
  const { validation } = documents;
  const result = await runner.run(stageStep(context, stage, () => ({ config, model: null, tokenizer, packs, steps, schedule, validation })));
  const model = modelOf(stage, config, result, runner.keyOf('base'));
  const written = await runner.run(
    exportStep(
      context,
      'base.export',
      'base/model',
      'f32',
      () => model,
      () => tokenizer,
    ),
  );
  return { model, tokenizer, documents, stage: result, folder: written.path };
}

async function givenBase(context: RunContext): Promise<Base> {
  const { base } = context.recipe;
  if (!('model' in base)) throw new ScionError('internal', 'the base is trained here');
  const { files } = context.host;
  const config = await readHfConfig(files, base.model);
  const words = base.tokenizer ?? base.model;
  const { vocabSize } = await loadTokenizer(files, words);
  return {
    model: { config, kind: 'folder', path: base.model, key: await modelKey(context.host, base.model) },
    tokenizer: { path: words, size: vocabSize, firstNew: null },
    documents: null,
    stage: null,
    folder: base.model,
  };
}

/** What a stage reads: its mix of the documents, and what it replays. */
export function stageSources(stage: RecipeStage, documents: DocumentsResult, base: DocumentsResult | null, earlier: readonly RecipeStage[]): StageSources {
  const own = Object.keys(documents.categories);
  const fresh = mixCategories(stage, own);
  const { replay } = stage;
  if (!replay) return { shards: [documents.shards], keys: [documents.fingerprint], fresh, replayed: [] };
  const only = (categories: Iterable<string>): string[] =>
    [...new Set(categories)].filter(
      (category) => !fresh.includes(category) && (replay.categories?.some((pattern) => matchesPattern(pattern, category)) ?? true),
    );
  const old = replay.of.includes('base');
  const shards = old && base ? [documents, base] : [documents];
  const replayed = [
    // A base that was not trained here has its like among the documents, by the categories that are named.
    ...(old ? Object.keys(base?.categories ?? documents.categories) : []),
    ...earlier.filter(({ name }) => replay.of.includes(name)).flatMap((one) => mixCategories(one, own)),
  ];
  return { shards: shards.map((one) => one.shards), keys: shards.map(({ fingerprint }) => fingerprint), fresh, replayed: only(replayed) };
}

/** The recipe of an arm: what it says stands over the run's. */
export function armRecipe(recipe: Recipe, arm: RecipeArm): Recipe {
  const stages = (arm.stages ?? recipe.stages).map((stage): RecipeStage => {
    const shared = arm.buckets === undefined ? stage : { ...stage, buckets: arm.buckets };
    const { replay, ...rest } = shared;
    if (arm.replay !== false || !replay) return shared;
    // The new text is learnt from as many tokens; nothing but the old is missing.
    const left = 1 - replay.share;
    return {
      ...rest,
      ...(stage.tokens === undefined ? {} : { tokens: Math.round(stage.tokens * left) }),
      ...(stage.steps === undefined ? {} : { steps: Math.max(1, Math.round(stage.steps * left)) }),
    };
  });
  const { vocab, ...rest } = recipe;
  return { ...rest, ...(arm.vocab === false || !vocab ? {} : { vocab }), init: arm.init ?? recipe.init, stages, arms: {} };
}

/** What the run and its arms begin with. */
interface Ground {
  readonly base: Base;
  readonly documents: DocumentsResult;
}

interface Track {
  readonly vocab: TokenizerResult | null;
  readonly tokenizer: TokenizerResult;
  readonly packs: Readonly<Record<string, PacksResult>>;
  readonly stages: readonly StageResult[];
  readonly model: ModelAt;
}

/** Vocabulary, rows, packs and stages of the run, or of one of its arms. */
async function runTrack(context: RunContext, runner: StepRunner, { base, documents }: Ground): Promise<Track> {
  const { recipe, dir, host } = context;
  let tokenizer = base.tokenizer;
  let vocab: TokenizerResult | null = null;
  let model = base.model;
  if (recipe.vocab) {
    vocab = await runner.run(
      vocabStep(
        context,
        recipe.vocab,
        () => base.tokenizer,
        () => documents,
      ),
    );
    // The base spells these documents well already: no piece was worth having.
    if (vocab.firstNew === null) vocab = null;
  }
  if (recipe.vocab && vocab) {
    const grown = vocab;
    const made = await runner.run(
      initStep(
        context,
        recipe.init,
        () => ({ path: base.folder, tokenizer: base.tokenizer.path }),
        () => grown,
        () => documents,
      ),
    );
    const config = await readHfConfig(host.files, joinPath(dir, made.path));
    model = { config, kind: 'folder', path: made.path, key: runner.keyOf(armId(context, 'init')) };
    tokenizer = { ...vocab, path: made.path };
  }
  const packs: Record<string, PacksResult> = {};
  for (const [i, stage] of recipe.stages.entries()) {
    const sources = stageSources(stage, documents, base.documents, recipe.stages.slice(0, i));
    packs[stage.name] = await runner.run(
      packsStep(
        context,
        stage,
        recipe.data,
        () => sources,
        () => tokenizer,
      ),
    );
  }
  // Every stage is measured on all that any of them learns, the base's text among it: what is forgotten shows.
  // A category that both hold is measured once.
  const own = new Set(documents.validation.map(({ category }) => category));
  const validation = [...(base.documents?.validation ?? []).filter(({ category }) => !own.has(category)), ...documents.validation];
  const stages: StageResult[] = [];
  const steps = recipe.stages.map((stage) => stageSteps(stage, packs[stage.name].trainable));
  for (const [i, stage] of recipe.stages.entries()) {
    const from = model;
    const result = await runner.run(
      stageStep(context, stage, () => ({
        config: from.config,
        model: from,
        tokenizer,
        packs: packs[stage.name],
        steps: steps[i],
        schedule: stageSchedule(recipe.stages, steps, i),
        validation,
      })),
    );
    stages.push(result);
    model = modelOf(stage, from.config, result, runner.keyOf(armId(context, stage.name)));
  }
  return { vocab, tokenizer, packs, stages, model };
}

/** Takes a recipe through all its steps. */
export async function runJourney(context: RunContext, runner: StepRunner): Promise<JourneyResult> {
  const { recipe } = context;
  const generated = sampleParts(context);
  const sample = generated.length === 0 ? null : await runner.run(sampleStep(context, generated));
  const base = 'train' in recipe.base ? await trainedBase(context, runner, sample) : await givenBase(context);
  const asks = recipe.evaluate.questions.length > 0 && base.stage === null;
  const baseAnswers = asks
    ? await runner.run(
        baseQuestionsStep(
          context,
          () => base.model,
          () => base.tokenizer,
        ),
      )
    : null;
  const documents = await runner.run(documentsStep(context, 'data', recipe.data, () => sample));
  const ground = { base, documents };
  const track = await runTrack(context, runner, ground);
  const written = await runner.run(
    exportStep(
      context,
      'export',
      'model',
      recipe.export.dtype,
      () => track.model,
      () => track.tokenizer,
    ),
  );
  const arms: Record<string, readonly StageResult[]> = {};
  for (const [name, arm] of Object.entries(recipe.arms)) {
    arms[name] = (await runTrack({ ...context, arm: name, recipe: armRecipe(recipe, arm) }, runner, ground)).stages;
  }
  return {
    base: base.model,
    baseStage: base.stage,
    baseAnswers,
    documents,
    vocab: track.vocab,
    tokenizer: track.tokenizer,
    stages: track.stages,
    packs: track.packs,
    arms,
    checkpoint: track.model.path,
    model: written.path,
  };
}
