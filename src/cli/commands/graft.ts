/**
 * `scion graft`: any domain or language onto a model, from files alone. Looks at base and data, writes the recipe that fits them with every default
 * explained, and runs it; `--dry-run` shows it instead. The recipe stays in the run folder.
 */
import { ScionError } from '../../base/errors.ts';
import { baseName, joinPath, normalPath } from '../../base/path.ts';
import { CONFIG_NAME, readHfConfig } from '../../checkpoint/hf.ts';
import { streamDocuments } from '../../data/documents.ts';
import { host } from '../../host/index.ts';
import type { Host } from '../../host/types.ts';
import { graftRecipe } from '../../recipe/graft-recipe.ts';
import { readRecipeText } from '../../recipe/read.ts';
import { loadTokenizer, type Tokenizer } from '../../text/tokenizer.ts';
import type { Command } from '../command.ts';
import { printRun, runFiguresOf, runLoaded } from '../recipe-run.ts';
import { si } from '../status.ts';

/** So many characters are looked at to see how well the base's pieces serve the data. */
const LOOK_CHARACTERS = 400_000;
/** Ids a character from which on new pieces are worth their rows: LLaMA-2 needs about 0.25 for English and 1.6 for Chinese. */
const DEAR = 0.5;
/** One new piece for so many characters of the data, at least and at most so many. */
const CHARACTERS_A_PIECE = 2000;
const LEAST_PIECES = 256;
const MOST_PIECES = 32_000;

/** Characters of the data, and ids a character with the base's tokenizer. */
async function lookAt(machine: Host, data: readonly string[], tokenizer: Tokenizer): Promise<{ characters: number; idsPerCharacter: number }> {
  let characters = 0;
  let looked = 0;
  let ids = 0;
  for await (const { text } of streamDocuments(machine.files, data, { maxTotalBytes: Number.MAX_SAFE_INTEGER })) {
    characters += text.length;
    if (looked < LOOK_CHARACTERS) {
      looked += text.length;
      ids += tokenizer.encodeTyped(text).length;
    }
  }
  if (characters === 0) throw new ScionError('input', `${data.join(' ')}: there is no text in it`);
  return { characters, idsPerCharacter: ids / looked };
}

export const command: Command = {
  name: 'graft',
  summary: 'a new language or domain onto a model, from files alone: writes the recipe and runs it',
  flags: {
    base: { kind: 'string', value: 'DIR', summary: 'a Hugging Face model folder' },
    data: { kind: 'list', value: 'FILE …', summary: 'text of the new language or domain: files, folders or globs' },
    replay: { kind: 'list', value: 'FILE …', summary: 'text of what the model can do already, so that it is not forgotten' },
    out: { kind: 'string', value: 'DIR', summary: 'run folder' },
    add: { kind: 'integer', value: 'N', summary: 'new pieces; by default as many as the data call for, 0 for none' },
    tokens: { kind: 'number', value: 'N', summary: 'tokens to train on; by default the data once' },
    length: { kind: 'integer', summary: 'tokens a pack; by default the model’s positions, at most 1024' },
    batch: { kind: 'integer', summary: 'packs a micro', default: 4 },
    lr: { kind: 'number', summary: 'peak learning rate', default: 0.0001 },
    precision: { kind: 'string', choices: ['f32', 'mixed'], summary: 'mixed: 16-bit weights and activations', default: 'f32' },
    seed: { kind: 'integer', summary: 'of everything that is drawn', default: 1 },
    workers: { kind: 'integer', summary: 'threads of the data pipeline' },
    device: { kind: 'string', value: 'NAME', summary: 'part of an adapter’s name' },
    'dry-run': { kind: 'boolean', summary: 'print the recipe and stop', default: false },
    fresh: { kind: 'boolean', summary: 'start anew in the folder', default: false },
  },
  examples: [
    'scion graft --base llama2 --data corpora/law/*.jsonl --replay corpora/english/*.jsonl --out runs/law',
    'scion graft --base runs/start/model --data my/*.txt --out runs/mine --dry-run',
  ],
  async run(context) {
    const { flags, print, result, status } = context;
    const machine = await host();
    const { files } = machine;
    const base = joinPath(machine.cwd, flags.need('base', 'the model folder to graft onto'));
    const out = normalPath(flags.need('out', 'the run folder'));
    const data = flags.list('data').map((path) => joinPath(machine.cwd, path));
    if (data.length === 0) throw new ScionError('usage', 'scion graft needs --data FILE …: text of the new language or domain');
    if ((await files.stat(joinPath(base, CONFIG_NAME))) === null)
      throw new ScionError('input', `${base} holds no config.json; --base names a Hugging Face model folder (scion import makes one)`, { base });
    const config = await readHfConfig(files, base);
    status.set('looking at the data');
    const { characters, idsPerCharacter } = await lookAt(machine, data, await loadTokenizer(files, base));
    const wanted = Math.min(MOST_PIECES, Math.max(LEAST_PIECES, 64 * Math.round(characters / CHARACTERS_A_PIECE / 64)));
    const add = flags.number('add') ?? (idsPerCharacter >= DEAR ? wanted : 0);
    const serves = `The base's tokenizer spells these data with ${idsPerCharacter.toFixed(2)} ids a character`;
    const text = graftRecipe({
      name:
        baseName(out)
          .toLowerCase()
          .replace(/[^a-z0-9_-]+/g, '-')
          .replace(/^-+|-+$/g, '')
          .slice(0, 40) || 'graft',
      base,
      data,
      replay: flags.list('replay').map((path) => joinPath(machine.cwd, path)),
      add,
      because:
        add > 0
          ? `${serves}: new pieces make text shorter (scion vocab stats shows by how much).`
          : `${serves}: new pieces would save little, so the vocabulary stays. To add some: vocab: { add: 2000 }`,
      tokens: flags.number('tokens') ?? null,
      length: flags.number('length') ?? Math.min(1024, config.maxPositions),
      batch: flags.number('batch') as number,
      rate: flags.number('lr') as number,
      precision: flags.string('precision') === 'mixed' ? 'mixed' : 'f32',
      seed: flags.number('seed') as number,
    });
    status.clear();
    if (flags.boolean('dry-run')) {
      print(text.trimEnd());
      result({ recipe: text, characters, idsPerCharacter, add });
      return;
    }
    print(`data       ${si(characters)} characters, ${idsPerCharacter.toFixed(2)} ids each; ${add > 0 ? `up to ${add} new pieces` : 'no new pieces'}`);
    const { recipe, file } = await readRecipeText(machine, text, machine.cwd, joinPath(out, 'recipe.yaml'));
    const made = await runLoaded(context, { recipe, file }, out);
    await printRun(context, made, out);
    result(runFiguresOf(made, out));
  },
};
