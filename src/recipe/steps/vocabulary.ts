/**
 * The two vocabularies of a run: the base's own, learnt from nothing on its documents, and the pieces that it lacks for the new
 * ones, learnt on top of it. Both are what `scion vocab train` makes, from documents that were cleaned before.
 */
import { isScionError, ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { matchesPattern } from '../../curate/sample/config.ts';
import { streamDocuments } from '../../data/documents.ts';
import { type TrainedVocab, trainVocab } from '../../data/train-vocab.ts';
import { checkOutFolder, writeTokenizerFolder } from '../../text/expand/index.ts';
import { openGrowBase } from '../../text/learn/grow.ts';
import { learnBpe } from '../../text/learn/scratch.ts';
import { loadTokenizer, saveTokenizer, tokenizerFromModel } from '../../text/tokenizer.ts';
import type { Step } from '../engine.ts';
import type { Recipe } from '../schema.ts';
import { armId, armPath, type DocumentsResult, type RunContext, type TokenizerResult } from './context.ts';
import { modelKey } from './model-key.ts';

/** Learnt beyond what is asked for, in case some pieces turn out unusable. */
const SPARE = 256;

type BaseVocab = Extract<Recipe['base'], { train: unknown }>['train']['vocab'];

/** The base's vocabulary, from its documents alone. */
export function baseVocabStep(context: RunContext, config: BaseVocab, documents: () => DocumentsResult): Step<TokenizerResult> {
  const { host, dir } = context;
  return {
    id: 'base.vocab',
    title: `learn a vocabulary of ${config.size} for the base`,
    owns: ['base/tokenizer'],
    inputs: () => ({ config, documents: documents().fingerprint }),
    async run(progress) {
      const texts: string[] = [];
      const { categories } = config;
      for await (const { text, category } of streamDocuments(host.files, [joinPath(dir, documents().shards)])) {
        if (categories === undefined || categories.some((pattern) => matchesPattern(pattern, category ?? ''))) texts.push(text);
      }
      if (texts.length === 0)
        throw new ScionError(
          'input',
          `base.train.vocab.categories (${categories?.join(', ')}) match no document of the base; its categories are ${Object.keys(documents().categories).join(', ')}`,
        );
      const model = learnBpe(texts, {
        size: config.size,
        maxPieceLength: config.maxPieceLength,
        coverage: config.coverage,
        onProgress: (learnt, of) => progress(`${learnt} of ${of} pieces`),
      });
      const tokenizer = tokenizerFromModel(model);
      await saveTokenizer(host.files, tokenizer, joinPath(dir, 'base/tokenizer'));
      return { path: 'base/tokenizer', size: tokenizer.vocabSize, firstNew: null };
    },
    intact: async (result) => (await host.files.stat(joinPath(dir, result.path))) !== null,
  };
}

/** The grown vocabulary. */
export function vocabStep(
  context: RunContext,
  config: NonNullable<Recipe['vocab']>,
  base: () => TokenizerResult,
  documents: () => DocumentsResult,
): Step<TokenizerResult> {
  const { host, dir } = context;
  const { files } = host;
  const place = armPath(context, 'vocab');
  const out = joinPath(dir, place);
  return {
    id: armId(context, 'vocab'),
    title: config.tokenizer === undefined ? 'learn new pieces' : 'take the grown tokenizer',
    owns: config.tokenizer === undefined ? [place] : [],
    inputs: async () => ({
      config,
      documents: documents().fingerprint,
      base: await modelKey(host, joinPath(dir, base().path)),
      ...(config.tokenizer === undefined ? {} : { tokenizer: await modelKey(host, config.tokenizer) }),
    }),
    async run(progress) {
      if (config.tokenizer !== undefined) {
        const given = await loadTokenizer(files, config.tokenizer);
        if (given.vocabSize <= base().size)
          throw new ScionError(
            'input',
            `${config.tokenizer} has ${given.vocabSize} pieces, the base ${base().size}: it is no grown tokenizer of this base; learn one with vocab: {add: N}`,
          );
        return { path: config.tokenizer, size: given.vocabSize, firstNew: base().size };
      }
      const opened = await openGrowBase(files, joinPath(dir, base().path));
      const size = config.size ?? opened.size + (config.add ?? 0);
      if (size <= opened.size) throw new ScionError('input', `vocab.size is ${size}, but the base has ${opened.size} pieces already; ask for more, or use add`);
      await checkOutFolder(files, out, true);
      let learnt: TrainedVocab;
      try {
        learnt = await trainVocab(files, opened.learn, {
          count: size - opened.size,
          spare: SPARE,
          data: [joinPath(dir, documents().shards)],
          minCount: config.minCount,
          maxPieceLength: config.maxPieceLength,
          coverage: config.coverage,
          weights: { temperature: config.temperature, factors: new Map() },
          ...(config.scripts ? { scripts: config.scripts } : {}),
          workers: 1,
          onProgress: progress,
          stop: context.stop,
        });
      } catch (error) {
        // Text that the base spells well already needs no pieces; whoever takes fewer takes none.
        if (!config.fewer || !isScionError(error, 'input')) throw error;
        progress(error.message);
        return { path: base().path, size: opened.size, firstNew: null };
      }
      if (config.fewer && learnt.pieces.length === 0) return { path: base().path, size: opened.size, firstNew: null };
      if (learnt.pieces.length < size - opened.size && !config.fewer) {
        throw new ScionError(
          'input',
          `vocab asks for ${size - opened.size} new pieces, but the documents hold only ${learnt.pieces.length} worth having (in ${learnt.scripts.join(', ')}); ask for at most add: ${learnt.pieces.length}, or give more data`,
        );
      }
      const grown = opened.grow(learnt.pieces, Math.min(size, opened.size + learnt.pieces.length), learnt.scripts.includes('Latin'));
      const { pieces: _, ...facts } = learnt;
      const made = grown.files({ scion: context.version, learnt: facts }, new Map());
      await writeTokenizerFolder(files, out, made.files, { force: true });
      return { path: place, size: grown.report.size, firstNew: opened.size };
    },
    intact: async (result) => (await files.stat(joinPath(dir, result.path))) !== null,
  };
}
