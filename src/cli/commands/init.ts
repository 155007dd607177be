/**
 * `scion init`: a base model takes a grown tokenizer: new rows for the new words, made out of old ones, and a folder in which tensors, configs and
 * tokenizer agree. `--verify` reads such a folder, whoever made it, and says what does not agree and how to mend it.
 */
import { ScionError } from '../../base/errors.ts';
import { normalPath } from '../../base/path.ts';
import { growModel } from '../../checkpoint/grow/grow.ts';
import { GROW_METHODS, type GrowMethod } from '../../checkpoint/grow/methods.ts';
import { verifyFolder } from '../../checkpoint/grow/verify.ts';
import { streamDocuments } from '../../data/documents.ts';
import { host } from '../../host/index.ts';
import type { HostFiles } from '../../host/types.ts';
import type { Command, Context } from '../command.ts';
import { bytes, si } from '../status.ts';

/** The best by the table in docs/vocab.md: of all with a corpus, of those without else. */
const defaultMethod = (hasTexts: boolean): GrowMethod => (hasTexts ? 'weighted' : 'mean-bare');

async function* textsOf(files: HostFiles, patterns: readonly string[]): AsyncGenerator<string> {
  for await (const { text } of streamDocuments(files, patterns)) yield text;
}

async function verify({ flags, print, result }: Context, dir: string, files: HostFiles): Promise<void> {
  const base = flags.string('base');
  const report = await verifyFolder(files, normalPath(dir), {
    base: base === undefined ? undefined : normalPath(base),
    baseTokenizer: flags.string('base-tokenizer'),
  });
  for (const { level, message, remedy } of report.findings) print(`${level.padEnd(8)} ${message}${remedy === '' ? '' : `\n         mend: ${remedy}`}`);
  result({ ...report });
  const wrong = report.findings.filter((f) => f.level === 'wrong');
  if (wrong.length > 0)
    throw new ScionError('input', `${dir}: ${wrong.length} ${wrong.length === 1 ? 'thing is' : 'things are'} wrong, see above`, { dir, wrong: wrong.length });
  print(`sound      ${dir}: ${report.rows} rows, ${report.pieces} pieces${report.firstNew === null ? '' : `, new from ${report.firstNew}`}`);
}

export const command: Command = {
  name: 'init',
  summary: 'give a model rows for a grown vocabulary, or check a folder where that was done',
  flags: {
    base: { kind: 'string', value: 'DIR', summary: 'model folder (config.json and safetensors)' },
    'base-tokenizer': { kind: 'string', value: 'F', summary: 'the base’s tokenizer, folder or file; by default the one in --base' },
    tokenizer: { kind: 'string', value: 'DIR', summary: 'the grown tokenizer (scion vocab train, scion vocab expand)' },
    out: { kind: 'string', value: 'DIR', summary: 'folder to make' },
    method: { kind: 'string', choices: GROW_METHODS, summary: 'how new rows are made (docs/vocab.md); by default weighted with --data, mean-bare without' },
    data: { kind: 'list', value: 'FILE …', summary: 'texts: weighted counts pieces in them, focus and omp learn what is similar' },
    seed: { kind: 'integer', value: 'N', summary: 'of the random methods', default: 0 },
    'pad-to': { kind: 'integer', value: 'N', summary: 'round the rows up to a multiple of N, for tensor parallelism', default: 1 },
    copy: { kind: 'boolean', summary: 'copy unchanged files instead of linking them', default: false },
    verify: { kind: 'string', value: 'DIR', summary: 'check this folder instead; with --base also against the model it was grown from' },
  },
  examples: [
    'scion init --base models/llama-2-7b --tokenizer vocab/zh-69104 --out models/llama-2-7b-zh',
    'scion init --base models/llama-2-7b --tokenizer vocab/zh-69104 --out models/grown --method focus --data corpus/zh*.jsonl',
    'scion init --verify models/llama-2-7b-zh --base models/llama-2-7b',
  ],
  async run(context) {
    const { flags, print, status, result } = context;
    const machine = await host();
    const { files } = machine;
    const dir = flags.string('verify');
    if (dir !== undefined) return verify(context, dir, files);
    const began = machine.now();
    const base = normalPath(flags.need('base', 'the model folder to grow'));
    const tokenizer = normalPath(flags.need('tokenizer', 'the grown tokenizer'));
    const out = normalPath(flags.need('out', 'the folder to make'));
    const patterns = flags.list('data');
    const method = (flags.string('method') ?? defaultMethod(patterns.length > 0)) as GrowMethod;
    const report = await growModel(files, {
      base,
      baseTokenizer: flags.string('base-tokenizer'),
      tokenizer,
      out,
      method,
      seed: flags.number('seed'),
      texts: patterns.length === 0 ? null : () => textsOf(files, patterns),
      padTo: flags.number('pad-to'),
      copy: flags.boolean('copy'),
      onProgress: (done, all) => status.set(`rows ${si(done)}/${si(all)}`),
    });
    const seconds = (machine.now() - began) / 1000;
    const peakRssBytes = machine.peakResidentBytes() ?? machine.residentBytes();
    for (const warning of report.warnings) status.note(`note: ${warning}`);
    print(`rows       ${report.rows}, were ${report.baseRows}: ${report.pieces} new pieces, ${report.marks} new marks, ${report.padding} padding`);
    for (const { tensor, dtype, old, fresh } of report.matrices)
      print(`norms      ${tensor} (${dtype}): old ${old.median.toPrecision(3)}, new ${fresh.median.toPrecision(3)} (medians)`);
    print(`written    ${out}: ${report.rewritten.join(', ')}; ${report.linked.length} files linked, ${report.copied.length} copied`);
    print(`took       ${seconds.toFixed(1)} s${peakRssBytes === null ? '' : `, at most ${bytes(peakRssBytes)} resident`}`);
    result({ out, method, seed: flags.number('seed'), seconds, peakRssBytes, ...report });
  },
};
