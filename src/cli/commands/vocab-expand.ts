/**
 * `scion vocab expand`: adds pieces to a tokenizer (SentencePiece BPE, or byte-level BPE in `tokenizer.json`) so that old ids
 * and old text stay as they are and every new piece is reached, and writes all its files at once.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath, normalPath } from '../../base/path.ts';
import { Sha256 } from '../../base/sha256.ts';
import { streamDocuments } from '../../data/documents.ts';
import { host } from '../../host/index.ts';
import type { HostFiles } from '../../host/types.ts';
import {
  checkOutFolder,
  type ExpandOptions,
  expandFolder,
  hasNewScript,
  type ListOrder,
  readPieceLists,
  writeTokenizerFolder,
} from '../../text/expand/index.ts';
import type { Command } from '../command.ts';
import type { Flags } from '../flags.ts';
import { VERSION } from '../version.ts';

/** Protected texts are held in memory while pieces are chosen. */
const MAX_PROTECTED_UNITS = 2 ** 28;

function optionsOf(flags: Flags): ExpandOptions {
  const size = flags.number('size');
  const padTo = flags.number('pad-to');
  return {
    ...(size === undefined ? {} : { size }),
    ...(padTo === undefined ? {} : { padTo }),
    intermediates: flags.string('intermediates') === 'drop' ? 'drop' : 'add',
    duplicates: flags.string('duplicates') === 'error' ? 'error' : 'skip',
    anyScript: flags.boolean('any-script'),
    specials: flags.list('special'),
    userDefined: flags.list('user-defined'),
  };
}

/** The texts that pieces of new scripts could change; with any script let in, that is every text. */
async function protectedTexts(files: HostFiles, patterns: readonly string[], anyScript: boolean): Promise<string[]> {
  const texts: string[] = [];
  if (patterns.length === 0) return texts;
  let units = 0;
  for await (const { text } of streamDocuments(files, patterns)) {
    if (!anyScript && !hasNewScript(text)) continue;
    units += text.length;
    if (units > MAX_PROTECTED_UNITS) {
      throw new ScionError('input', `--protect: more than ${MAX_PROTECTED_UNITS} characters in texts that new pieces could change; name fewer files`, {
        units,
      });
    }
    texts.push(text);
  }
  return texts;
}

/** Hash and size of the files that decide the outcome. */
async function inputsOf(files: HostFiles, base: string, lists: readonly string[]): Promise<object[]> {
  const names = (await files.stat(base))?.isDirectory
    ? ['tokenizer.model', 'tokenizer.json', 'tokenizer_config.json'].map((name) => joinPath(base, name))
    : [base];
  const out: object[] = [];
  for (const path of [...names, ...lists]) {
    if ((await files.stat(path)) === null) continue;
    const bytes = await files.read(path);
    const hash = new Sha256();
    hash.update(bytes);
    out.push({ path, bytes: bytes.length, sha256: hash.hex() });
  }
  return out;
}

export const command: Command = {
  name: 'vocab expand',
  summary: 'add pieces to a tokenizer; old ids and old text stay as they are, every new piece is reached',
  flags: {
    base: { kind: 'string', value: 'DIR', summary: 'the tokenizer to expand: a folder, or a tokenizer.model or tokenizer.json' },
    pieces: { kind: 'list', value: 'FILE …', summary: 'lists: .jsonl of {"piece": …}, .txt of one a line, or a SentencePiece .model' },
    out: { kind: 'string', value: 'DIR', summary: 'folder to make' },
    size: { kind: 'integer', summary: 'rows in all before padding; the list is cut to it. By default all of the list' },
    'pad-to': { kind: 'integer', summary: 'pad to a multiple of this many rows (64 times the devices a matrix is split over)' },
    order: {
      kind: 'string',
      choices: ['score', 'given', 'length'],
      summary: 'rank of the pieces: models by score, as given, or short ones first',
      default: 'score',
    },
    intermediates: {
      kind: 'string',
      choices: ['add', 'drop'],
      summary: 'a piece that merging would not reach: add the steps to it, or drop it',
      default: 'add',
    },
    duplicates: { kind: 'string', choices: ['skip', 'error'], summary: 'a piece that is there already', default: 'skip' },
    special: { kind: 'list', value: 'TEXT …', summary: 'special tokens to add (<|im_start|>); ordinary text never becomes one' },
    'user-defined': { kind: 'list', value: 'TEXT …', summary: 'tokens that are cut out of any text that holds them' },
    'any-script': { kind: 'boolean', summary: 'let in pieces of Latin letters, digits and signs alone; old text may then change', default: false },
    protect: { kind: 'list', value: 'GLOB …', summary: 'texts whose ids must not change: pieces that would change them are left out' },
    force: { kind: 'boolean', summary: 'replace a tokenizer folder that is there', default: false },
  },
  examples: [
    'scion vocab expand --base llama2 --pieces pieces.jsonl --out llama2-zh --size 69104 --pad-to 64',
    'scion vocab expand --base llama2 --pieces chinese_sp.model --out llama2-zh --protect "corpora/en_*.jsonl"',
  ],
  async run({ flags, print, status, result }) {
    const machine = await host();
    const { files } = machine;
    const started = machine.now();
    const base = normalPath(flags.need('base', 'the tokenizer to expand'));
    const out = normalPath(flags.need('out', 'the folder to make'));
    const lists = flags.list('pieces').map(normalPath);
    if (lists.length === 0) throw new ScionError('usage', '--pieces is missing: the lists of pieces to add');
    const force = flags.boolean('force');
    await checkOutFolder(files, out, force);
    status.set('reading the lists');
    const list = await readPieceLists(files, lists, flags.string('order') as ListOrder);
    const options = optionsOf(flags);
    const protect = await protectedTexts(files, flags.list('protect'), options.anyScript === true);
    status.set('choosing the pieces');
    const inputs = await inputsOf(files, base, lists);
    const { contents, report, notes } = await expandFolder(files, base, list.pieces, { ...options, protect }, { scion: VERSION, inputs });
    status.set(`writing ${out}`);
    await writeTokenizerFolder(files, out, contents, { force });
    const left = Object.entries(report.dropped).filter(([, count]) => count > 0);
    print(
      `written    ${out}: ${report.size} rows = ${report.baseSize} old + ${report.added} new + ${report.specials.length} special + ${report.padding} padding`,
    );
    if (report.intermediates > 0) print(`steps      ${report.intermediates} pieces of no list, so that others are reached`);
    if (left.length > 0) print(`left out   ${left.map(([reason, count]) => `${count} ${reason}`).join(', ')} of ${report.listed}`);
    for (const note of notes) status.note(`note: ${note}`);
    result({ out, files: [...contents.keys()].sort(), ...report, notes, seconds: (machine.now() - started) / 1000 });
  },
};
