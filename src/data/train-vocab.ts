/**
 * From corpora to the pieces that a base tokenizer lacks: counts words, balances categories, finds out which scripts
 * need pieces, learns, and measures on documents held out. Everything but writing; shared by the command line and pages.
 */
import { ScionError } from '../base/errors.ts';
import type { HostFiles, HostWorker } from '../host/types.ts';
import type { LearnBase } from '../text/learn/base.ts';
import { BaseWords } from '../text/learn/base-words.ts';
import { categoryWeights, WEIGHT_UNIT, type WeightOptions, weighWords } from '../text/learn/counts.ts';
import { type Learnt, learnOnBase } from '../text/learn/extend.ts';
import { Protection } from '../text/learn/protect.ts';
import { chooseTargets, ScriptFilter, type ScriptUse } from '../text/learn/scripts.ts';
import type { Tokenizer } from '../text/types.ts';
import { countWords, isHeldOut } from './count-words.ts';
import { type DocumentOptions, streamDocuments } from './documents.ts';

/** What to learn, and from what. */
export interface TrainVocabOptions {
  /** Pieces wanted. */
  readonly count: number;
  /** Further pieces learnt, in case some of the wanted ones turn out unusable. */
  readonly spare?: number;
  readonly data: readonly string[];
  readonly documents?: DocumentOptions;
  readonly minCount?: number;
  readonly maxPieceLength?: number;
  readonly coverage?: number;
  readonly weights?: WeightOptions;
  /** Target scripts; by default those that the data need (`chooseTargets`). */
  readonly scripts?: readonly string[];
  /** Files whose ids must not change. */
  readonly protect?: readonly string[];
  /** Further texts that must not become pieces. */
  readonly reserved?: Iterable<string>;
  readonly workers?: number;
  readonly spawn?: () => HostWorker;
  readonly budget?: number;
  readonly holdout?: number;
  readonly onProgress?: (what: string) => void;
  readonly stop?: { readonly requested: boolean };
}

/** What came out. */
export interface TrainedVocab extends Learnt {
  readonly scripts: readonly string[];
  /** What the base makes of each script: characters, and ids a character. */
  readonly scriptUse: readonly { readonly script: string; readonly characters: number; readonly tokensPerCharacter: number }[];
  /** The weight of an occurrence by category. */
  readonly weights: Readonly<Record<string, number>>;
  readonly documents: number;
  readonly heldOut: number;
  readonly countedDocuments: number;
  /** UTF-16 units of what may be learnt from, and of what was counted within the budget. */
  readonly characters: number;
  readonly countedCharacters: number;
  /** Distinct words. */
  readonly words: number;
  readonly protectedTexts: number;
}

/** Learns pieces. Throws `input` for data without text or without need, `interrupted` on `stop`. Writes nothing. */
export async function trainVocab(files: HostFiles, base: LearnBase, options: TrainVocabOptions): Promise<TrainedVocab> {
  const progress = options.onProgress ?? (() => {});
  const { counts, ...figures } = await countWords(files, options.data, {
    ...options,
    cutter: base.cutter,
    onProgress: (characters, documents) => progress(`reading: ${documents} documents, ${(characters / 1e6).toFixed(1)} M characters`),
  });
  const weights = categoryWeights(counts, options.weights ?? {});
  progress('cutting words as the base does');
  const weighed = weighWords(counts, weights);
  const words = new BaseWords(base, weighed);
  const distinct = weighed.size;
  weighed.clear();
  const scripts = options.scripts ?? chooseTargets(words.scripts);
  if (scripts.length === 0) throw noTargets(words.scripts);
  const targets = new ScriptFilter(scripts);
  const protection = new Protection(base, targets);
  if (options.protect !== undefined && options.protect.length > 0) {
    for await (const { text } of streamDocuments(files, options.protect, { maxTotalBytes: Number.MAX_SAFE_INTEGER })) {
      if (options.stop?.requested) throw new ScionError('interrupted', 'stopped while reading protected texts; nothing was written');
      protection.add(text);
      if (protection.texts % 64 === 0) progress(`protecting: ${protection.texts} documents`);
    }
  }
  progress('learning');
  const learnt = learnOnBase(words, {
    count: options.count + (options.spare ?? 0),
    targets,
    maxPieceLength: options.maxPieceLength,
    minCount: options.minCount,
    coverage: options.coverage,
    banned: new Set([...protection.banned, ...(options.reserved ?? [])]),
    onProgress: (pieces) => progress(`learning: ${pieces} of ${options.count} pieces`),
  });
  return {
    ...learnt,
    ...figures,
    scripts,
    scriptUse: [...words.scripts]
      .map(([script, { characters, tokens }]) => ({ script, characters: Math.round(characters / WEIGHT_UNIT), tokensPerCharacter: tokens / characters }))
      .sort((a, b) => b.characters - a.characters || (a.script < b.script ? -1 : 1)),
    weights: Object.fromEntries([...weights].map(([name, weight]) => [name, weight / WEIGHT_UNIT])),
    words: distinct,
    protectedTexts: protection.texts,
  };
}

function noTargets(uses: ReadonlyMap<string, ScriptUse>): ScionError {
  const found = [...uses].map(([script, { characters, tokens }]) => `${script} ${(tokens / characters).toFixed(2)}`).join(', ');
  return new ScionError(
    'input',
    `no script in the data needs new pieces (ids a character by script: ${found || 'no letters'}); name the scripts with --scripts if they shall have some`,
  );
}

/** Ids of held-out documents before and after. */
export interface HoldoutFigures {
  readonly documents: number;
  readonly characters: number;
  readonly baseTokens: number;
  readonly tokens: number;
  /** Share of ids saved. */
  readonly saved: number;
}

/** Encodes the documents that were held out with both tokenizers: all together, and by category. */
export async function measureHoldout(
  files: HostFiles,
  before: Tokenizer,
  after: Tokenizer,
  options: { readonly data: readonly string[]; readonly holdout: number; readonly documents?: DocumentOptions },
): Promise<HoldoutFigures & { readonly categories: Readonly<Record<string, HoldoutFigures>> }> {
  const sums = new Map<string, { documents: number; characters: number; baseTokens: number; tokens: number }>();
  const all = { documents: 0, characters: 0, baseTokens: 0, tokens: 0 };
  for await (const document of streamDocuments(files, options.data, { maxTotalBytes: Number.MAX_SAFE_INTEGER, ...options.documents })) {
    if (document.text.trim() === '' || !isHeldOut(document, options.holdout)) continue;
    const name = document.category ?? '';
    const own = sums.get(name) ?? { documents: 0, characters: 0, baseTokens: 0, tokens: 0 };
    sums.set(name, own);
    const baseTokens = before.encodeTyped(document.text).length;
    const tokens = after.encodeTyped(document.text).length;
    for (const sum of [all, own]) {
      sum.documents++;
      sum.characters += document.text.length;
      sum.baseTokens += baseTokens;
      sum.tokens += tokens;
    }
  }
  const figures = (sum: typeof all): HoldoutFigures => ({ ...sum, saved: sum.baseTokens === 0 ? 0 : 1 - sum.tokens / sum.baseTokens });
  return { ...figures(all), categories: Object.fromEntries([...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, sum]) => [name, figures(sum)])) };
}
