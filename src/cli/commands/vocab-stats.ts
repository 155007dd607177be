/**
 * `scion vocab stats`: how tokenizers compare on the user's own texts, and with `--sweep` which size a
 * vocabulary should grow to. Reads the texts once for all tokenizers.
 */
import { ScionError } from '../../base/errors.ts';
import { categorisedTexts } from '../../data/categories.ts';
import { parseColumnNames } from '../../data/records.ts';
import { host } from '../../host/index.ts';
import { addTallies, ratesOf, type TextTally, TokenizerTally, unreachableIds } from '../../text/compare.ts';
import { loadBase } from '../../text/expand/index.ts';
import { measureText } from '../../text/utf8.ts';
import type { Command, Context } from '../command.ts';
import { si } from '../status.ts';
import { tableLines } from '../table.ts';
import { SWEEP_FLAGS, sweep } from './vocab-sweep.ts';

const DOCUMENTS_A_REPORT = 200;

/** Columns of the table: heading and value. */
const COLUMNS: readonly (readonly [string, (row: Row) => string])[] = [
  ['size', ({ tally }) => String(tally.tokenizer.vocabSize)],
  ['tokens', ({ sums }) => si(sums.tokens)],
  ['tokens/char', ({ sums }) => fixed(ratesOf(sums).tokensPerCharacter, 4)],
  ['tokens/byte', ({ sums }) => fixed(ratesOf(sums).tokensPerByte, 4)],
  ['bytes as tokens', ({ sums }) => percent(ratesOf(sums).byteFallbackRate)],
  ['unknown', ({ sums }) => String(sums.unknownTokens)],
  ['unreachable', ({ unreachable }) => (unreachable === null ? '–' : String(unreachable.length))],
  ['MB/s', ({ tally }) => fixed(tally.megabytesPerSecond(), 1)],
];

interface Row {
  readonly path: string;
  readonly tally: TokenizerTally;
  readonly sums: TextTally;
  readonly unreachable: readonly number[] | null;
}

const fixed = (value: number | null, digits: number): string => (value === null ? '–' : value.toFixed(digits));
const percent = (value: number | null): string => (value === null ? '–' : `${(value * 100).toFixed(value < 0.1 ? 2 : 1)} %`);

/** The last parts of the paths that tell them apart. */
function shortNames(paths: readonly string[]): string[] {
  const parts = paths.map((path) => path.split('/').filter((part) => part !== '' && part !== '.'));
  for (let depth = 1; ; depth++) {
    const names = parts.map((one) => one.slice(-depth).join('/'));
    if (new Set(names).size === names.length || parts.every((one) => depth >= one.length)) return names;
  }
}

/** Categories down, tokenizers across. */
function printCategories(print: Context['print'], rows: readonly Row[], names: readonly string[]): void {
  const categories = [...rows[0].tally.categories().keys()];
  if (categories.length < 2) return;
  const lines = categories.map((category) => [
    category,
    si(rows[0].tally.categories().get(category)?.characters ?? 0),
    ...rows.map(({ tally }) => fixed(ratesOf(tally.categories().get(category) ?? addTallies([])).tokensPerCharacter, 4)),
  ]);
  print('');
  for (const line of tableLines([['tokens/char', 'characters', ...names], ...lines])) print(line);
}

/** One tokenizer's entry of the JSON. */
function entryOf({ path, tally, sums, unreachable }: Row): Record<string, unknown> {
  const rated = (one: TextTally) => ({ ...one, ...ratesOf(one) });
  return {
    path,
    size: tally.tokenizer.vocabSize,
    kind: tally.tokenizer.kind,
    ...rated(sums),
    unreachable: unreachable?.length ?? null,
    unreachableIds: unreachable?.slice(0, 20) ?? null,
    encodeMegabytesPerSecond: tally.megabytesPerSecond(),
    categories: Object.fromEntries([...tally.categories()].map(([category, one]) => [category, rated(one)])),
  };
}

async function compare(context: Context, paths: readonly string[]): Promise<void> {
  const { flags, print, result, status, stop } = context;
  const machine = await host();
  const tallies: TokenizerTally[] = [];
  for (const path of paths) tallies.push(new TokenizerTally(await loadBase(machine.files, path), machine.now));
  let documents = 0;
  for await (const { category, text } of categorisedTexts(machine.files, flags.list('data'), { columns: parseColumnNames(flags.list('columns')) })) {
    if (stop.requested) throw new ScionError('interrupted', `stopped after ${documents} documents`);
    const measured = measureText(text);
    for (const tally of tallies) tally.add(category, text, measured);
    if (++documents % DOCUMENTS_A_REPORT === 0) status.set(`${si(documents)} documents`);
  }
  if (documents === 0) throw new ScionError('input', `--data ${flags.list('data').join(' ')}: no document has any text`);
  const rows = tallies.map((tally, i) => ({ path: paths[i], tally, sums: tally.total(), unreachable: unreachableIds(tally.tokenizer) }));
  const names = shortNames(paths);
  const { characters, bytes } = rows[0].sums;
  print(`${si(documents)} documents, ${si(characters)} characters, ${si(bytes)} bytes`);
  for (const line of tableLines([
    ['tokenizer', ...COLUMNS.map(([name]) => name)],
    ...rows.map((row, i) => [names[i], ...COLUMNS.map(([, cell]) => cell(row))]),
  ]))
    print(line);
  printCategories(print, rows, names);
  result({ documents, tokenizers: rows.map(entryOf) });
}

export const command: Command = {
  name: 'vocab stats',
  summary: 'compare tokenizers on your texts; with --sweep, advise a vocabulary size',
  flags: {
    tokenizer: { kind: 'list', value: 'DIR …', summary: 'folders with tokenizer.json or tokenizer.model, or such files' },
    data: { kind: 'list', value: 'FILE …', summary: 'texts that the vocabulary was not learnt on: files, folders or globs' },
    columns: { kind: 'list', value: 'text=NAME …', summary: 'what the data calls its fields, where it is not text, source, target, messages, category' },
    ...SWEEP_FLAGS,
  },
  examples: [
    'scion vocab stats --tokenizer llama2 mine --data held-out/*.jsonl',
    'scion vocab stats --tokenizer a/tokenizer.model b --data books.parquet --json',
  ],
  async run(context) {
    const paths = context.flags.list('tokenizer');
    if (context.flags.list('data').length === 0) throw new ScionError('usage', 'scion vocab stats needs --data FILE …');
    if (context.flags.boolean('sweep')) return sweep(context);
    if (paths.length === 0) throw new ScionError('usage', 'scion vocab stats needs --tokenizer DIR …');
    await compare(context, paths);
  },
};
