/**
 * What `scion train` trains on: texts, encoded and packed in memory, or one folder of packed data (it has a manifest),
 * read as the run goes. Which tokenizer: the one named, else the model's, else the run's own, else that of the
 * packed data, else one learnt on the texts.
 */
import { ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { type CategorisedText, readCategorised } from '../data/categories.ts';
import { splitByHash } from '../data/loader.ts';
import { isPackedFolder } from '../data/packed/manifest.ts';
import { openPacked } from '../data/packed/open.ts';
import { tokenizerHash } from '../data/packed/token-shard.ts';
import { host } from '../host/index.ts';
import type { HostFiles } from '../host/types.ts';
import type { LlamaConfig } from '../nn/config.ts';
import { learnBpe } from '../text/learn/scratch.ts';
import { loadTokenizer, type Tokenizer, tokenizerFromModel } from '../text/tokenizer.ts';
import { packedRunData, prepareHeldOut, prepareRunData, type RunData } from '../train/data.ts';
import { affordableBytes, type HeldOutLimits } from '../train/held-out.ts';
import type { Flags } from './flags.ts';
import type { StatusLine } from './status.ts';

/** Tokens a pack where nothing says otherwise. */
const DEFAULT_TOKENS = 256;

export interface TrainingDataRequest {
  readonly flags: Flags;
  readonly status: StatusLine;
  readonly config: LlamaConfig;
  /** The model's folder, if it has one. */
  readonly folder?: string;
  /** The run folder. */
  readonly out: string;
}

export interface TrainingData {
  readonly tokenizer: Tokenizer;
  readonly data: RunData;
  /** Tokens a pack. */
  readonly tokens: number;
  /** What a resume must find again. */
  readonly about: Readonly<Record<string, unknown>>;
}

/** Each category split by the hash of its texts, so that none goes unmeasured; a category of one text stays whole. */
function splitCategories(texts: readonly CategorisedText[], share: number): { train: CategorisedText[]; validation: CategorisedText[] } {
  const held = new Set<CategorisedText>();
  for (const category of new Set(texts.map((t) => t.category))) {
    const own = texts.filter((t) => t.category === category);
    for (const text of splitByHash(own, (t) => t.text, share).validation) held.add(text);
  }
  return { train: texts.filter((t) => !held.has(t)), validation: texts.filter((t) => held.has(t)) };
}

/** Reads and packs texts, or opens packed data. Throws `usage` and `input` where the parts do not belong together. */
export async function trainingData(files: HostFiles, request: TrainingDataRequest): Promise<TrainingData> {
  const { flags, status, config, folder, out } = request;
  const patterns = flags.list('data');
  const packed = (await Promise.all(patterns.map((pattern) => isPackedFolder(files, pattern)))).indexOf(true);
  if (packed >= 0 && patterns.length > 1) {
    throw new ScionError(
      'usage',
      `${patterns[packed]} holds packed data, which is trained on alone; build one folder of all data, or name it as the only --data`,
    );
  }
  status.set('reading data');
  const held = flags.list('validation');
  const heldTexts = held.length > 0 ? await readCategorised(files, held) : null;
  /** How much of each category is measured. */
  const limitsFor = (texts: readonly CategorisedText[], T: number): HeldOutLimits => {
    const count = (name: string): number => flags.number(name) ?? 1;
    const afforded = () => affordableBytes(count('steps') * count('batch') * count('accumulate') * T, new Set(texts.map((t) => t.category)).size);
    const bytes = flags.number('validation-bytes') ?? afforded();
    return bytes > 0 ? { bytes } : {};
  };
  const resumed = flags.boolean('resume') && (await files.stat(joinPath(out, 'tokenizer'))) ? joinPath(out, 'tokenizer') : undefined;
  const from = flags.string('tokenizer') ?? folder ?? resumed;
  const fits = (tokenizer: Tokenizer): Tokenizer => {
    if (tokenizer.vocabSize <= config.vocabSize) return tokenizer;
    throw new ScionError('input', `the tokenizer has ${tokenizer.vocabSize} pieces, the model ${config.vocabSize} rows; they do not belong together`);
  };
  const window = config.slidingWindow ?? 0;
  if (packed >= 0) {
    const dir = patterns[packed];
    const machine = await host();
    const tokenizer = fits(await loadTokenizer(files, from ?? joinPath(dir, 'tokenizer')));
    const packs = await openPacked(files, dir, {
      T: flags.number('tokens'),
      tokenizer: await tokenizerHash(machine, tokenizer),
      vocabSize: config.vocabSize,
    });
    const tokens = packs.manifest.T;
    const beside = (await packs.heldOut(() => machine.sha256())).flatMap(({ category, texts }) => texts.map((text) => ({ category, text })));
    const held = heldTexts ?? beside;
    const validation = held.length === 0 && heldTexts === null ? null : prepareHeldOut(tokenizer, held, { tokens, window, limits: limitsFor(held, tokens) });
    return { tokenizer, data: packedRunData(packs, { window, validation }), tokens, about: { packed: packs.fingerprint } };
  }
  const documents = await readCategorised(files, patterns);
  const split = heldTexts === null ? splitCategories(documents, flags.number('validation-share') ?? 0) : null;
  const train = split?.train ?? documents;
  const validation = heldTexts ?? split?.validation ?? [];
  let tokenizer: Tokenizer;
  if (from !== undefined) tokenizer = await loadTokenizer(files, from);
  else {
    status.set(`learning a vocabulary of ${config.vocabSize}`);
    tokenizer = tokenizerFromModel(
      learnBpe(
        train.map(({ text }) => text),
        { size: config.vocabSize },
      ),
    );
  }
  fits(tokenizer);
  status.set('packing');
  const tokens = flags.number('tokens') ?? DEFAULT_TOKENS;
  return { tokenizer, data: prepareRunData(tokenizer, train, validation, { tokens, window, limits: limitsFor(validation, tokens) }), tokens, about: {} };
}
