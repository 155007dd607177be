/**
 * The `--sweep` of `scion vocab stats`: one list of pieces at every size, on the user's texts. Takes seconds, as
 * nothing is learnt; the texts are cut to a sample of each category so that no kind of text drowns another.
 */
import { ScionError } from '../../base/errors.ts';
import { categorisedTexts } from '../../data/categories.ts';
import { parseColumnNames } from '../../data/records.ts';
import { host } from '../../host/index.ts';
import { ratesOf } from '../../text/compare.ts';
import { expandSentencePiece, loadBase, readPieceLists } from '../../text/expand/index.ts';
import { rankedPieces } from '../../text/ranked-pieces.ts';
import { SentencePieceTokenizer } from '../../text/sentencepiece.ts';
import { adviseSize, computePerCharacter, type SweepPoint, type SweepText, sweepSizes, sweepVocabulary } from '../../text/sweep.ts';
import { vocabularyCosts } from '../../train/vocab-cost.ts';
import { sweepHtml } from '../../train/vocab-html.ts';
import type { Context } from '../command.ts';
import type { FlagSpecs } from '../flags.ts';
import { readConfig } from '../read-config.ts';
import { si } from '../status.ts';
import { tableLines } from '../table.ts';

export const SWEEP_FLAGS: FlagSpecs = {
  sweep: { kind: 'boolean', summary: 'instead: sizes between the base and what --tokenizer or --pieces add to it', default: false },
  base: { kind: 'string', value: 'DIR', summary: 'sweep: the tokenizer that was or will be expanded (a SentencePiece BPE model)' },
  pieces: { kind: 'list', value: 'FILE …', summary: 'sweep: lists of new pieces in rank order, in place of an expanded tokenizer' },
  sizes: { kind: 'list', value: 'N …', summary: 'sweep: sizes to try; by default 13 between the two' },
  'token-budget': { kind: 'number', value: 'N', summary: 'sweep: tokens of training, for the expected meetings of the rarest rows' },
  'min-occurrences': { kind: 'number', value: 'N', summary: 'sweep: a row met less often counts as untrained', default: 1000 },
  config: { kind: 'string', value: 'FILE', summary: 'sweep: the model’s config.json, for parameters and compute' },
  tokens: { kind: 'integer', value: 'N', summary: 'sweep: tokens of a step, for its time', default: 4096 },
  gflops: { kind: 'number', value: 'N', summary: 'sweep: speed to reckon with, in GFLOP/s (scion doctor measures it)' },
  sample: { kind: 'integer', value: 'N', summary: 'sweep: characters of each category', default: 500_000 },
  html: { kind: 'string', value: 'FILE', summary: 'sweep: write the curves as a page' },
};

async function readTexts({ flags, status }: Context): Promise<SweepText[]> {
  const { files } = await host();
  const options = { columns: parseColumnNames(flags.list('columns')), unitsPerCategory: flags.number('sample') };
  const texts: SweepText[] = [];
  for await (const text of categorisedTexts(files, flags.list('data'), options)) {
    texts.push(text);
    if (texts.length % 500 === 0) status.set(`reading: ${si(texts.length)} documents`);
  }
  if (texts.length === 0) throw new ScionError('input', `--data ${flags.list('data').join(' ')}: no document has any text`);
  return texts;
}

/** The base model and the model that all of the pieces make. */
async function readModels({ flags, status }: Context) {
  const { files } = await host();
  const paths = flags.list('tokenizer');
  const lists = flags.list('pieces');
  if (paths.length + (lists.length > 0 ? 1 : 0) !== 1)
    throw new ScionError('usage', 'scion vocab stats --sweep needs one expanded --tokenizer DIR, or --pieces FILE …');
  const open = async (path: string) => {
    const tokenizer = await loadBase(files, path);
    if (tokenizer instanceof SentencePieceTokenizer && tokenizer.kind === 'sentencepiece-bpe') return tokenizer.model;
    throw new ScionError('input', `--sweep needs SentencePiece BPE models; ${path} is of kind ${tokenizer.kind}`, { kind: tokenizer.kind });
  };
  const base = await open(flags.need('base', 'the tokenizer that the sizes start from'));
  if (lists.length === 0) return { base, whole: await open(paths[0]) };
  const { pieces } = await readPieceLists(files, lists);
  status.set(`placing ${si(pieces.length)} pieces`);
  return { base, whole: expandSentencePiece(base, pieces).model };
}

function chosenSizes(words: readonly string[], baseSize: number, largest: number): number[] {
  if (words.length === 0) return sweepSizes(baseSize, largest);
  const sizes = words.map((word) => {
    const size = Number(word);
    if (!Number.isInteger(size) || size < baseSize || size > largest)
      throw new ScionError('usage', `--sizes takes whole numbers from ${baseSize} (the base) to ${largest} (all pieces that are reached); got "${word}"`);
    return size;
  });
  // Everything is told against the base.
  return [...new Set([baseSize, ...sizes])].sort((a, b) => a - b);
}

/** Runs the sweep and prints its table, advice, page and JSON. */
export async function sweep(context: Context): Promise<void> {
  const { flags, print, result, status, stop } = context;
  const machine = await host();
  const began = machine.now();
  const { base, whole } = await readModels(context);
  const ranked = rankedPieces(base, whole);
  if (ranked.length === 0) throw new ScionError('input', 'the expanded tokenizer adds no piece that can be reached; there is nothing to sweep');
  const sizes = chosenSizes(flags.list('sizes'), base.pieces.length, base.pieces.length + ranked.length);
  const texts = await readTexts(context);
  const tokenBudget = flags.number('token-budget');
  const minOccurrences = flags.number('min-occurrences') ?? 1000;
  const options = { tokenBudget, minOccurrences };
  const points: SweepPoint[] = [];
  for (const point of sweepVocabulary(base, ranked, sizes, texts, options)) {
    points.push(point);
    status.set(`${point.size} rows: ${(ratesOf(point.total).tokensPerCharacter ?? 0).toFixed(4)} tokens/character (${points.length}/${sizes.length})`);
    // Stops between sizes; without a pause a signal would wait for the end.
    await machine.sleep(0);
    if (stop.requested) throw new ScionError('interrupted', `stopped after ${points.length} of ${sizes.length} sizes`);
  }
  const config = flags.has('config') ? await readConfig(machine.files, flags.need('config', '')) : null;
  const tokens = flags.number('tokens') ?? 4096;
  const costs = config === null ? null : vocabularyCosts(config, sizes, { batch: 1, tokens, accumulate: 1 });
  const gflops = flags.number('gflops');
  const stepSeconds = costs !== null && gflops !== undefined ? costs.map((cost) => (cost.flopsPerToken * tokens) / (gflops * 1e9)) : null;
  const advice = adviseSize(points, costs, options);
  const compute = computePerCharacter(points, costs);
  const { characters, bytes } = points[0].total;

  print(`${si(texts.length)} documents, ${si(characters)} characters, ${si(bytes)} bytes; ${sizes.length} sizes up to ${base.pieces.length + ranked.length}`);
  const rows = points.map((p, i) => [
    String(p.size),
    (ratesOf(p.total).tokensPerCharacter ?? 0).toFixed(4),
    `${((100 * p.total.tokens) / points[0].total.tokens).toFixed(1)} %`,
    costs ? si(costs[i].embeddingParameters) : '',
    compute[i] === null ? '' : `${(100 * compute[i]).toFixed(1)} %`,
    stepSeconds ? stepSeconds[i].toPrecision(4) : '',
    p.rare ? si(Math.round(p.rare.p1)) : '',
    p.rare ? String(p.rare.below) : '',
  ]);
  const head = ['rows', 'tokens/char', 'tokens', 'embedding', 'compute', 's/step', 'rarest 1 % met', `met < ${minOccurrences}`];
  const used = head.map((_, column) => rows.some((row) => row[column] !== ''));
  for (const line of tableLines([head, ...rows].map((row) => row.filter((_, column) => used[column])))) print(line);
  print(`advised: ${advice.size} rows. ${advice.reason}`);
  const html = flags.string('html');
  if (html) {
    const title = `Vocabulary size: ${base.pieces.length} to ${sizes[sizes.length - 1]} rows`;
    await machine.files.write(html, new TextEncoder().encode(sweepHtml({ title, points, costs, advice, options, stepSeconds })));
    print(`curves: ${html}`);
  }
  const rated = (one: SweepPoint['total']) => ({ ...one, ...ratesOf(one) });
  result({
    advice,
    baseSize: base.pieces.length,
    largest: base.pieces.length + ranked.length,
    sizes: points.map((p, i) => ({
      size: p.size,
      added: p.added,
      ...rated(p.total),
      rare: p.rare,
      ...(costs?.[i] ?? {}),
      computePerCharacter: compute[i],
      stepSeconds: stepSeconds?.[i] ?? null,
      categories: Object.fromEntries([...p.categories].map(([name, one]) => [name, rated(one)])),
    })),
    seconds: (machine.now() - began) / 1000,
  });
}
