/**
 * `scion vocab train`: learns the pieces that a base tokenizer lacks for the user's corpora, and writes the expanded
 * tokenizer with the list of what was learnt.
 */
import { ScionError } from '../../base/errors.ts';
import { normalPath } from '../../base/path.ts';
import { countingWorkers } from '../../data/count-words.ts';
import { findDataFiles } from '../../data/documents.ts';
import { measureHoldout, type TrainedVocab, trainVocab } from '../../data/train-vocab.ts';
import { host } from '../../host/index.ts';
import type { HostFiles } from '../../host/types.ts';
import { checkOutFolder, writeTokenizerFolder } from '../../text/expand/index.ts';
import type { WeightOptions } from '../../text/learn/counts.ts';
import { openGrowBase } from '../../text/learn/grow.ts';
import { ScriptFilter } from '../../text/learn/scripts.ts';
import type { Command } from '../command.ts';
import { duration, si } from '../status.ts';
import { VERSION } from '../version.ts';

/** Learnt beyond what is asked for, so that the size holds if some pieces turn out unusable. */
const SPARE = 256;
const encoder = new TextEncoder();

/** `0.5` is a temperature, `zh_law=2` a factor. */
function weightsOf(words: readonly string[]): WeightOptions {
  const factors = new Map<string, number>();
  let temperature: number | undefined;
  for (const word of words) {
    const at = word.lastIndexOf('=');
    const value = Number(at < 0 ? word : word.slice(at + 1));
    if (word.trim() === '' || !Number.isFinite(value) || (at < 0 && temperature !== undefined)) {
      throw new ScionError('usage', `--weights takes one power between 0 and 1 and any number of CATEGORY=FACTOR; got "${word}"`);
    }
    if (at < 0) temperature = value;
    else factors.set(word.slice(0, at), value);
  }
  return { ...(temperature === undefined ? {} : { temperature }), factors };
}

/** Below so many bytes starting workers costs more than they save. */
const WORKER_BYTES = 32e6;

async function workersFor(files: HostFiles, data: readonly string[], cores: number): Promise<number> {
  let bytes = 0;
  for (const path of await findDataFiles(files, data, { maxTotalBytes: Number.MAX_SAFE_INTEGER })) bytes += (await files.stat(path))?.size ?? 0;
  return bytes < WORKER_BYTES ? 1 : Math.min(4, cores);
}

/** What to change where the corpora do not hold enough pieces. */
function tooFew(size: number, baseSize: number, learnt: TrainedVocab, coverage: number): ScionError {
  const found = learnt.pieces.length;
  const knobs = ['more --data', 'a lower --min-count', 'a greater --max-piece-length'];
  if (coverage < 1 && learnt.leftCharacters > 0) knobs.push('--coverage 1');
  if (learnt.countedCharacters < learnt.characters) knobs.push('a greater --budget');
  if (learnt.protectedTexts > 0) knobs.push('less under --protect');
  return new ScionError(
    'input',
    `a vocabulary of ${size} rows needs ${size - baseSize} new pieces, but only ${found} could be learnt from ${learnt.countedDocuments} documents in ${learnt.scripts.join(', ')}; ask for at most --size ${baseSize + found}, or give ${knobs.join(', ')}`,
    { size, baseSize, found, most: baseSize + found },
  );
}

export const command: Command = {
  name: 'vocab train',
  summary: 'learn the pieces that a tokenizer lacks for your corpora, and write the tokenizer with them',
  flags: {
    base: { kind: 'string', value: 'DIR', summary: 'the tokenizer to learn on top of: a folder, a tokenizer.model, or a byte-level tokenizer.json' },
    data: { kind: 'list', value: 'GLOB …', summary: 'corpora: files, folders or globs' },
    size: { kind: 'integer', summary: 'rows of the new tokenizer in all' },
    out: { kind: 'string', value: 'DIR', summary: 'folder to make' },
    'min-count': { kind: 'number', summary: 'a piece must occur this often', default: 2 },
    'max-piece-length': { kind: 'integer', summary: 'longest piece in characters', default: 16 },
    coverage: { kind: 'number', summary: 'share of the characters in the data that may be pieces; the rarest stay bytes', default: 1 },
    weights: {
      kind: 'list',
      value: 'P …',
      summary: 'balance of categories: share = size to the power P (1 as the data are, 0 all alike; default 0.7), and CATEGORY=FACTOR',
    },
    scripts: { kind: 'list', value: 'NAME …', summary: 'each new piece has a character of these (Han, Thai …); by default those the base serves badly' },
    protect: { kind: 'list', value: 'GLOB …', summary: 'texts whose ids must not change' },
    workers: {
      kind: 'integer',
      summary: 'threads that count words; the result is the same for any number. By default 1 for less than 32 MB, else one a core up to 4',
    },
    budget: { kind: 'number', summary: 'most characters counted; of more, documents are chosen by hash', default: 50e6 },
    holdout: { kind: 'number', summary: 'share of the documents kept from learning, to measure on', default: 0 },
    force: { kind: 'boolean', summary: 'replace a tokenizer folder that is there', default: false },
  },
  examples: [
    'scion vocab train --base llama2 --data "corpora/zh_*.jsonl" --size 69104 --out llama2-zh',
    'scion vocab train --base llama2 --data notes/ --size 36000 --out llama2-notes --weights 0.5 law=2 --holdout 0.1',
  ],
  async run({ flags, print, status, stop, result }) {
    const machine = await host();
    const { files } = machine;
    const started = machine.now();
    const basePath = normalPath(flags.need('base', 'the tokenizer to learn on top of'));
    const out = normalPath(flags.need('out', 'the folder to make'));
    const data = flags.list('data');
    if (data.length === 0) throw new ScionError('usage', '--data is missing: the corpora to learn from');
    const size = flags.number('size');
    if (size === undefined) throw new ScionError('usage', '--size is missing: the rows of the new tokenizer in all');
    const workers = flags.number('workers') ?? 0;
    if (flags.has('workers') && (workers < 1 || workers > 64)) throw new ScionError('usage', `--workers takes a whole number from 1 to 64, got ${workers}`);
    const weights = weightsOf(flags.list('weights'));
    const scripts = flags.list('scripts');
    // Names are checked before hours of reading.
    new ScriptFilter(scripts);
    const force = flags.boolean('force');
    await checkOutFolder(files, out, force);
    const base = await openGrowBase(files, basePath);
    const baseSize = base.size;
    if (size <= baseSize) {
      throw new ScionError('input', `a vocabulary of ${size} rows was asked for, but the base has ${baseSize} already; ask for more than that`, {
        size,
        baseSize,
      });
    }
    const holdout = flags.number('holdout') ?? 0;
    const learnt = await trainVocab(files, base.learn, {
      count: size - baseSize,
      spare: SPARE,
      data,
      minCount: flags.number('min-count'),
      maxPieceLength: flags.number('max-piece-length'),
      coverage: flags.number('coverage'),
      weights,
      ...(scripts.length > 0 ? { scripts } : {}),
      protect: flags.list('protect'),
      workers: workers || (await workersFor(files, data, machine.cores)),
      spawn: countingWorkers(machine),
      budget: flags.number('budget'),
      holdout,
      onProgress: (what) => status.set(what),
      stop,
    });
    const wanted = size - baseSize;
    if (learnt.pieces.length < wanted) throw tooFew(size, baseSize, learnt, flags.number('coverage') ?? 1);
    status.set('checking that every piece is reached');
    const { pieces, ...about } = learnt;
    const grown = base.grow(pieces, size, learnt.scripts.includes('Latin'));
    const { report, reachable } = grown;
    const measured = holdout > 0 ? await measureHoldout(files, base.tokenizer(), grown.tokenizer(), { data, holdout }) : null;
    if (stop.requested) throw new ScionError('interrupted', 'stopped before writing; nothing was written');
    const facts = { ...about, holdout: measured };
    // Parts of characters have no text; they are steps that `vocab expand` finds again by itself.
    const lines = grown.pieces.filter(({ piece }) => piece !== null).map((line) => `${JSON.stringify({ ...line, count: round(line.count) })}\n`);
    const made = grown.files({ scion: VERSION, learnt: facts }, new Map([['pieces.jsonl', encoder.encode(lines.join(''))]]));
    status.set(`writing ${out}`);
    await writeTokenizerFolder(files, out, made.files, { force });
    const seconds = (machine.now() - started) / 1000;
    const share = learnt.countedCharacters / learnt.characters;
    print(`read       ${learnt.countedDocuments} documents, ${si(learnt.countedCharacters)} characters, ${si(learnt.words)} distinct words`);
    if (share < 1) print(`budget     ${(share * 100).toFixed(1)} % of the characters were counted (--budget raises it)`);
    print(`scripts    ${learnt.scripts.join(', ')}: ${learnt.missingCharacters} characters without a piece, ${learnt.leftCharacters} of them left to bytes`);
    print(`written    ${out}: ${report.size} rows = ${baseSize} old + ${wanted} new, ${reachable} of them reached`);
    if (measured !== null)
      print(
        `held out   ${measured.documents} documents: ${measured.baseTokens} ids before, ${measured.tokens} now, ${(measured.saved * 100).toFixed(1)} % fewer`,
      );
    for (const note of made.notes) status.note(`note: ${note}`);
    print(`done in ${duration(seconds)}`);
    result({ out, size: report.size, added: wanted, reachable, ...facts, dropped: report.dropped, seconds, peakRssBytes: machine.peakResidentBytes() });
  },
};

const round = (count: number): number => Math.round(count * 1000) / 1000;
