/** Wrong recipes are refused with line, column, field and what to do; right ones come with their defaults and absolute paths. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { host } from '../host/index.ts';
import { configToJson, makeConfig } from '../nn/config.ts';
import { learnBpe } from '../text/learn/scratch.ts';
import { saveTokenizer, tokenizerFromModel } from '../text/tokenizer.ts';
import { checkRecipe } from './check.ts';
import { readRecipeFile } from './read.ts';

let dir = '';
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'scion-recipe-'));
  mkdirSync(join(dir, 'base'));
  const { files } = await host();
  const words = tokenizerFromModel(learnBpe(['a small text of a few words'], { size: 300 }));
  await saveTokenizer(files, words, join(dir, 'base'));
  const config = makeConfig({ vocabSize: words.vocabSize, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, maxPositions: 128 });
  writeFileSync(join(dir, 'base', 'config.json'), JSON.stringify(configToJson(config)));
  mkdirSync(join(dir, 'small'));
  writeFileSync(join(dir, 'small', 'config.json'), JSON.stringify(configToJson({ ...config, vocabSize: 100 })));
  await saveTokenizer(files, words, join(dir, 'small'));
  writeFileSync(join(dir, 'zh_law.jsonl'), '{"text": "第一条"}\n');
  writeFileSync(join(dir, 'mixed.jsonl'), '{"text": "one", "category": "en_web"}\n{"text": "two", "category": "en_book"}\n');
});
afterAll(() => rmSync(dir, { recursive: true }));

async function check(text: string): Promise<string> {
  const path = join(dir, 'r.yaml');
  writeFileSync(path, text);
  const machine = await host();
  try {
    const { recipe, file } = await readRecipeFile(machine, path);
    await checkRecipe(machine, recipe, file);
    return 'fine';
  } catch (error) {
    expect(error).toMatchObject({ kind: 'input' });
    return (error as Error).message.replaceAll(`${dir}/`, '');
  }
}

const recipe = (parts: { base?: string; data?: string; vocab?: string; stages?: string; more?: string }): string =>
  [
    `base: ${parts.base ?? '{ model: base }'}`,
    `data: ${parts.data ?? '{ data: [zh_law.jsonl, mixed.jsonl] }'}`,
    `vocab: ${parts.vocab ?? '{ add: 10 }'}`,
    `stages: ${parts.stages ?? '[{ name: one, steps: 3, length: 64 }]'}`,
    parts.more ?? '',
  ].join('\n');

describe('recipes', () => {
  it('that are right pass, with defaults and paths filled in', async () => {
    expect(await check(recipe({ stages: '[{ name: one, tokens: 1.5k, length: 64, mix: { "en_*": 1, zh_law: 2 } }]' }))).toBe('fine');
    // Names of tensors take ? as trainable sets do.
    expect(await check(recipe({ stages: '[{ name: one, steps: 3, length: 64, learn: ["model.layers.?.self_attn.?_proj.weight"] }]' }))).toBe('fine');
    expect(await check(recipe({ stages: '[{ name: one, tokens: 1.5k, length: 64, mix: { "en_*": 1, zh_law: 2 } }]' }))).toBe('fine');
    const { recipe: read } = await readRecipeFile(await host(), join(dir, 'r.yaml'));
    expect(read.stages[0].tokens).toBe(1500);
    expect(read.stages[0].schedule).toMatchObject({ kind: 'cosine', peak: 3e-4, warmup: '5%' });
    expect('model' in read.base && read.base.model).toBe(join(dir, 'base'));
  });

  /** What is wrong, the recipe, the word that is pointed at (its first place in the line), what is said. */
  const wrong: readonly (readonly [what: string, parts: Parameters<typeof recipe>[0], line: number, word: string, says: RegExp])[] = [
    ['an unknown field', { more: 'stagse: []' }, 5, 'stagse', /stagse: there is no such field/],
    ['an unknown field inside', { stages: '[{ name: one, steps: 3, lenght: 64 }]' }, 4, 'lenght', /stages\.0\.lenght: there is no such field/],
    ['an unknown field of the base', { base: '{ model: base, tokeniser: x }' }, 1, 'tokeniser', /base\.tokeniser: there is no such field/],
    ['a wrong type', { stages: '[{ name: one, steps: many }]' }, 4, 'steps', /stages\.0\.steps/],
    ['no YAML', { stages: '[{ name: one' }, 4, '', /./],
    ['a base that is not there', { base: '{ model: nowhere }' }, 1, 'model', /nowhere holds no config\.json; name a Hugging Face model folder/],
    ['a tokenizer that does not match', { base: '{ model: small }' }, 1, 'model', /pieces, the model 100 rows; they do not belong together/],
    ['data that are not there', { data: '{ data: [missing/*.txt] }' }, 2, 'missing', /no file matches/],
    [
      'a stage without data',
      { stages: '[{ name: one, steps: 3, length: 64, mix: { fr_web: 1 } }]' },
      4,
      'fr_web',
      /no document has this category; there are en_book, en_web, zh_law/,
    ],
    ['weights of nothing', { stages: '[{ name: one, steps: 3, length: 64, mix: { zh_law: 0 } }]' }, 4, 'mix', /all weights are 0/],
    ['more tokens than positions', { stages: '[{ name: one, steps: 3, length: 4096 }]' }, 4, 'length', /4096 tokens a pack, but the model has 128 positions/],
    ['two budgets', { stages: '[{ name: one, steps: 3, tokens: 5k, length: 64 }]' }, 4, '{', /give one of tokens, epochs and steps/],
    ['two stages of one name', { stages: '[{ name: one, steps: 3, length: 64 }, { name: one, steps: 3, length: 64 }]' }, 4, 'stages', /names of their own/],
    ['a vocabulary that does not grow', { vocab: '{ size: 100 }' }, 3, 'size', /100 rows in all, but the base has \d+ pieces already/],
    ['adapters without a rank', { stages: '[{ name: one, steps: 3, length: 64, learn: lora }]' }, 4, '{', /needs lora:/],
    ['tensors that no model has', { stages: '[{ name: one, steps: 3, length: 64, learn: ["*.q_prj.*"] }]' }, 4, 'learn', /no tensor of the model is called/],
    [
      'replay of a stage that is none',
      { stages: '[{ name: one, steps: 3, length: 64, replay: { share: 0.2, of: [zero] } }]' },
      4,
      'of:',
      /no stage before this one is called zero/,
    ],
    [
      'replay of what is not known',
      { stages: '[{ name: one, steps: 3, length: 64, replay: { share: 0.2 } }]' },
      4,
      'replay',
      /what the base was trained on is not known/,
    ],
    [
      'weights of replayed text that is not there',
      { stages: '[{ name: one, steps: 3, length: 64, replay: { share: 0.2, categories: ["en_*"], mix: { fr_web: 2 } } }]' },
      4,
      'fr_web',
      /no document has this category; there are en_book, en_web, zh_law/,
    ],
    [
      'an average that is not kept',
      { stages: '[{ name: one, steps: 3, length: 64, handOn: average }]' },
      4,
      'handOn',
      /stages\.0\.handOn: average: the stage keeps none; give it ema/,
    ],
    [
      'moments beside an average',
      { stages: '[{ name: one, steps: 3, length: 64, ema: 0.9, handOn: average }, { name: two, steps: 3, length: 64, optimizer: { carry: true } }]' },
      4,
      'carry',
      /which its moments do not belong to/,
    ],
    ['a template that there is not', { stages: '[{ name: one, steps: 3, length: 64, template: lama2 }]' }, 4, 'template', /stages\.0\.template/],
    ['moments of no stage', { stages: '[{ name: one, steps: 3, length: 64, optimizer: { carry: true } }]' }, 4, 'carry', /no stage before it/],
    ['questions that are not there', { more: 'evaluate: { questions: [{ name: zh, path: q.jsonl }] }' }, 5, 'path', /there is no file at q\.jsonl/],
    ['a variable that is not ours', { base: '{ model: "\u0024{HOME}/base" }' }, 1, 'model', /variables named SCION_/],
  ];
  it.each(wrong)('with %s are refused with place and remedy', async (_what, parts, line, word, says) => {
    const text = recipe(parts);
    const message = await check(text);
    expect(message).toMatch(says);
    // YAML that does not end is noticed behind the place.
    const column = word === '' ? /\d+/.source : text.split('\n')[line - 1].indexOf(word) + 1;
    expect(message).toMatch(new RegExp(`r\\.yaml:${word === '' ? /\d+/.source : line}:${column}: `));
  });

  it('with several faults tell them all at once', async () => {
    const message = await check(recipe({ base: '{ model: nowhere }', data: '{ data: [missing/*.txt] }' }));
    expect(message.split('\n').filter((line) => line.startsWith('r.yaml:'))).toHaveLength(2);
  });
});
