/**
 * What no schema can know of a recipe, asked before anything runs: are the files there, do model and tokenizer belong together,
 * has every stage something to learn from, does it fit the shapes. All complaints at once, each with its place.
 */
import { isScionError } from '../base/errors.ts';
import { baseName, joinPath } from '../base/path.ts';
import { partsTied } from '../checkpoint/adapter/index.ts';
import { CONFIG_NAME, readHfConfig } from '../checkpoint/hf.ts';
import { findSourceFiles } from '../curate/read/units.ts';
import { matchesPattern } from '../curate/sample/config.ts';
import type { FieldPath, YamlFile } from '../formats/yaml-file.ts';
import type { Host } from '../host/types.ts';
import type { LlamaConfig } from '../nn/config.ts';
import { listHfViews } from '../nn/parameters.ts';
import { matchesTensor } from '../nn/trainable.ts';
import { loadTokenizer } from '../text/tokenizer.ts';
import { refuse } from './read.ts';
import type { Recipe, RecipeData, RecipeStage } from './schema.ts';

interface Issue {
  readonly path: FieldPath;
  readonly message: string;
}

/** So much of a file is looked at for the categories that its records name. */
const PEEK_BYTES = 256 << 10;

/** Categories that a file's records are likely to have: their own in its beginning, else the file's. */
async function peekCategories(host: Host, path: string, given: string | undefined): Promise<string[]> {
  const otherwise = given ?? baseName(path).split('.')[0];
  if (!/\.jsonl$/i.test(path)) return [otherwise];
  const reader = await host.files.open(path);
  try {
    const head = new TextDecoder().decode(await reader.read(0, PEEK_BYTES));
    const found = new Set<string>();
    for (const line of head.split('\n').slice(0, reader.size > PEEK_BYTES ? -1 : undefined)) {
      if (line.trim() === '') continue;
      try {
        const { category } = JSON.parse(line) as { category?: unknown };
        found.add(typeof category === 'string' && category !== '' ? category : otherwise);
      } catch {
        // Counted with its reason when it is read.
      }
    }
    return found.size === 0 ? [otherwise] : [...found];
  } finally {
    await reader.close();
  }
}

/** Files and categories of a data part; what is missing becomes an issue. */
async function lookAtData(host: Host, data: RecipeData, at: FieldPath, issues: Issue[]): Promise<Set<string>> {
  const categories = new Set<string>();
  for (const [i, source] of data.data.entries()) {
    if ('sample' in source) {
      categories.add(source.sample);
      continue;
    }
    try {
      const found = await findSourceFiles(host.files, [source]);
      if (found.length === 0) issues.push({ path: [...at, 'data', i], message: `${source.paths.join(', ')}: no files there` });
      for (const { path } of found) for (const name of await peekCategories(host, path, source.category)) categories.add(name);
    } catch (error) {
      if (!isScionError(error)) throw error;
      issues.push({ path: [...at, 'data', i], message: error.message });
    }
  }
  return categories;
}

function list(names: Iterable<string>): string {
  const all = [...names].sort();
  return all.slice(0, 12).join(', ') + (all.length > 12 ? ` and ${all.length - 12} more` : '');
}

/** A stage against the categories there are and the stages before it; `first` is that of a base that is trained here, `old` are that base's categories. */
function checkStage(
  stage: RecipeStage,
  at: FieldPath,
  known: ReadonlySet<string>,
  {
    earlier,
    first,
    old,
    issues,
  }: { readonly earlier: readonly RecipeStage[]; readonly first: RecipeStage | null; readonly old: ReadonlySet<string>; readonly issues: Issue[] },
): void {
  for (const pattern of Object.keys(stage.mix ?? {})) {
    if (![...known].some((category) => matchesPattern(pattern, category))) {
      issues.push({ path: [...at, 'mix', pattern], message: `no document has this category; there are ${list(known) || 'none'}` });
    }
  }
  if (stage.mix && Object.values(stage.mix).every((weight) => weight === 0))
    issues.push({ path: [...at, 'mix'], message: 'all weights are 0: there is nothing to learn' });
  const { replay } = stage;
  if (replay) {
    if (replay.of.includes('base') && !first && !replay.categories)
      issues.push({
        path: [...at, 'replay'],
        message: 'what the base was trained on is not known; put such text into data: and name its categories here, for example categories: ["en_*"]',
      });
    if (stage.tokens === undefined && stage.steps === undefined)
      issues.push({ path: [...at, 'replay'], message: 'a share of what? give the stage tokens or steps' });
    for (const pattern of Object.keys(replay.mix ?? {})) {
      if (![...known, ...old].some((category) => matchesPattern(pattern, category)))
        issues.push({
          path: [...at, 'replay', 'mix', pattern],
          message: `no document has this category; there are ${list(new Set([...known, ...old])) || 'none'}`,
        });
    }
    for (const name of replay.of) {
      if (name !== 'base' && !earlier.some((one) => one.name === name))
        issues.push({
          path: [...at, 'replay', 'of'],
          message: `no stage before this one is called ${name}; before it come ${earlier.map((one) => one.name).join(', ') || 'none'}`,
        });
    }
  }
  if (stage.schedule.continue && earlier.length === 0)
    issues.push({ path: [...at, 'schedule', 'continue'], message: 'there is no stage before it to continue' });
  const before = earlier.at(-1) ?? first;
  if (stage.optimizer.carry && !before)
    issues.push({ path: [...at, 'optimizer', 'carry'], message: 'there is no stage before it whose moments could be carried' });
  if (stage.optimizer.carry && before?.handOn === 'average')
    issues.push({
      path: [...at, 'optimizer', 'carry'],
      message: `the stage before it hands on the average of its weights, which its moments do not belong to; take handOn: average or carry away`,
    });
}

function checkShapes(stage: RecipeStage, at: FieldPath, config: LlamaConfig, grows: boolean, issues: Issue[]): void {
  if (stage.length > config.maxPositions)
    issues.push({ path: [...at, 'length'], message: `${stage.length} tokens a pack, but the model has ${config.maxPositions} positions; use at most that` });
  if (Array.isArray(stage.learn)) {
    for (const pattern of stage.learn) {
      if (!listHfViews(config).some(({ hf }) => matchesTensor(pattern, hf)))
        issues.push({ path: [...at, 'learn'], message: `no tensor of the model is called ${pattern}; names are like model.layers.0.self_attn.q_proj.weight` });
    }
  }
  if (stage.lora && partsTied(config, stage.lora.targets))
    issues.push({
      path: [...at, 'lora', 'targets'],
      message: 'embedding and head of this model are one matrix, which such an adapter would make two; leave embed_tokens and lm_head out',
    });
  if (stage.learn === 'rows' && !grows)
    issues.push({ path: [...at, 'learn'], message: 'rows: the recipe adds no pieces (vocab:), so there are no new rows to learn' });
}

async function checkBase(host: Host, recipe: Recipe, issues: Issue[]): Promise<LlamaConfig | null> {
  const { base } = recipe;
  if (!('model' in base)) return null;
  const at: FieldPath = ['base', 'model'];
  const { files } = host;
  try {
    if ((await files.stat(joinPath(base.model, CONFIG_NAME))) === null) {
      issues.push({ path: at, message: `${base.model} holds no config.json; name a Hugging Face model folder (scion import makes one)` });
      return null;
    }
    const config = await readHfConfig(files, base.model);
    const words = await loadTokenizer(files, base.tokenizer ?? base.model);
    if (words.vocabSize > config.vocabSize)
      issues.push({
        path: base.tokenizer === undefined ? at : ['base', 'tokenizer'],
        message: `the tokenizer has ${words.vocabSize} pieces, the model ${config.vocabSize} rows; they do not belong together`,
      });
    const { vocab } = recipe;
    if (vocab?.size !== undefined && vocab.size <= words.vocabSize)
      issues.push({
        path: ['vocab', 'size'],
        message: `${vocab.size} rows in all, but the base has ${words.vocabSize} pieces already; ask for more, or use add`,
      });
    return config;
  } catch (error) {
    if (!isScionError(error)) throw error;
    issues.push({ path: at, message: error.message });
    return null;
  }
}

/** Checks a recipe against the machine's files. @throws ScionError `input` with every complaint. */
export async function checkRecipe(host: Host, recipe: Recipe, file: YamlFile): Promise<void> {
  const issues: Issue[] = [];
  const config = await checkBase(host, recipe, issues);
  const baseCategories = 'train' in recipe.base ? await lookAtData(host, recipe.base.train.data, ['base', 'train', 'data'], issues) : new Set<string>();
  const known = await lookAtData(host, recipe.data, ['data'], issues);
  if ('train' in recipe.base) {
    checkStage(recipe.base.train.stage, ['base', 'train', 'stage'], baseCategories, { earlier: [], first: null, old: baseCategories, issues });
    const { shape } = recipe.base.train;
    if (shape.hidden % shape.heads !== 0 || (shape.hidden / shape.heads) % 2 !== 0)
      issues.push({
        path: ['base', 'train', 'shape', 'hidden'],
        message: `${shape.hidden} is no even multiple of ${shape.heads} heads; rotary embedding turns pairs`,
      });
    if (shape.heads % (shape.kvHeads ?? shape.heads) !== 0)
      issues.push({ path: ['base', 'train', 'shape', 'kvHeads'], message: `${shape.heads} heads cannot share ${shape.kvHeads} key/value heads` });
    if (recipe.vocab?.size !== undefined && recipe.vocab.size <= recipe.base.train.vocab.size)
      issues.push({
        path: ['vocab', 'size'],
        message: `${recipe.vocab.size} rows in all, but the base learns ${recipe.base.train.vocab.size} pieces; ask for more, or use add`,
      });
  }
  for (const [i, stage] of recipe.stages.entries()) {
    const at: FieldPath = ['stages', i];
    const first = 'train' in recipe.base ? recipe.base.train.stage : null;
    checkStage(stage, at, known, { earlier: recipe.stages.slice(0, i), first, old: baseCategories, issues });
    if (config) checkShapes(stage, at, config, recipe.vocab !== undefined, issues);
  }
  if (recipe.vocab?.tokenizer !== undefined && (await host.files.stat(recipe.vocab.tokenizer)) === null)
    issues.push({ path: ['vocab', 'tokenizer'], message: `there is nothing at ${recipe.vocab.tokenizer}` });
  for (const [i, set] of recipe.evaluate.questions.entries()) {
    if ('path' in set && (await host.files.stat(set.path)) === null)
      issues.push({ path: ['evaluate', 'questions', i, 'path'], message: `there is no file at ${set.path}` });
  }
  refuse(file, issues);
}
