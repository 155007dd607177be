/**
 * `scion score`: how well a model predicts texts. The begin mark comes first and is not scored; documents longer than the
 * window are read in windows that overlap by half, each token scored once. Bits per byte compare across tokenizers,
 * perplexity does not.
 */
import { ScionError } from '../../base/errors.ts';
import { streamDocuments } from '../../data/documents.ts';
import { host } from '../../host/index.ts';
import { scoreDocuments } from '../../infer/score.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import type { Command, Context } from '../command.ts';
import { countOf, MODEL_FLAGS, openForUse, withGenerator } from '../load-model.ts';
import { bytes, si } from '../status.ts';

/** Tokens of one run of the device; rows are added up to this. */
const BATCH_TOKENS = 1024;
/** The window where the model's own context is longer; memory of scoring grows with it. */
const LONGEST_WINDOW = 2048;
/** Runs between two updates of the status line. */
const RUNS_A_REPORT = 8;
/** Documents told one by one where no one asked for JSON. */
const SHOWN = 20;

/** A document ready to score. */
interface Encoded {
  readonly id: string;
  /** Without a begin mark, cut to what is scored. */
  readonly ids: readonly number[];
  /** UTF-8 bytes that `ids` stand for. */
  readonly bytes: number;
}

const utf8 = new TextEncoder();

/** Bytes of the text that the first ids of a document stand for; a character cut in two does not count. */
function bytesOf(tokenizer: Tokenizer, ids: readonly number[]): number {
  const decoder = tokenizer.decoder();
  let sum = 0;
  for (const id of ids) sum += utf8.encode(decoder.push(id)).length;
  return sum;
}

/** Reads and encodes; documents without text are left out. */
async function encodeDocuments({ flags, status }: Context, tokenizer: Tokenizer, hasBos: boolean): Promise<Encoded[]> {
  const { files } = await host();
  const patterns = flags.list('data');
  if (patterns.length === 0) throw new ScionError('usage', 'scion score needs --data FILE …');
  const limit = countOf(flags, 'limit') ?? Number.POSITIVE_INFINITY;
  const most = (countOf(flags, 'max-tokens') ?? Number.POSITIVE_INFINITY) - (hasBos ? 1 : 0);
  const found: Encoded[] = [];
  for await (const { id, text } of streamDocuments(files, patterns)) {
    if (text.trim() === '') continue;
    const all = tokenizer.encode(text);
    const ids = all.length > most ? all.slice(0, most) : all;
    found.push({ id, ids, bytes: ids === all ? utf8.encode(text).length : bytesOf(tokenizer, ids) });
    if (found.length % 100 === 0) status.set(`reading: ${found.length} documents`);
    if (found.length >= limit) break;
  }
  if (found.length === 0) throw new ScionError('input', `--data ${patterns.join(' ')}: no document has any text`);
  return found;
}

/** Runs of documents that fill the device a few times each, so that progress can be shown between them. */
function* groups(documents: readonly Encoded[], tokens: number): Generator<Encoded[]> {
  let group: Encoded[] = [];
  let held = 0;
  for (const document of documents) {
    group.push(document);
    held += document.ids.length;
    if (held < tokens) continue;
    yield group;
    group = [];
    held = 0;
  }
  if (group.length > 0) yield group;
}

/** The figures of some documents together. */
function figures(tokens: number, byteCount: number, nll: number): Record<string, number | null> {
  const perToken = tokens > 0 ? nll / tokens : null;
  return {
    tokens,
    bytes: byteCount,
    nll,
    nllPerToken: perToken,
    bitsPerByte: byteCount > 0 ? nll / Math.LN2 / byteCount : null,
    perplexity: perToken === null ? null : Math.exp(perToken),
  };
}

const shown = (value: number | null, digits: number): string => (value === null ? '–' : value.toFixed(digits));

export const command: Command = {
  name: 'score',
  summary: 'how well a model predicts your texts: loss, bits per byte, perplexity',
  flags: {
    ...MODEL_FLAGS,
    data: { kind: 'list', value: 'FILE …', summary: 'text or JSONL files, folders or globs' },
    'max-tokens': { kind: 'integer', value: 'N', summary: 'cut documents to N tokens, the begin mark included' },
    limit: { kind: 'integer', value: 'N', summary: 'only the first N documents' },
    window: { kind: 'integer', value: 'N', summary: `tokens seen at once; by default the model’s context, at most ${LONGEST_WINDOW}` },
  },
  examples: [
    'scion score --model models/stories --data notes/*.txt',
    'scion score --model runs/notes --data held-out.jsonl --max-tokens 256 --limit 100 --json',
  ],
  async run(context) {
    const { flags, print, status, result, stop } = context;
    const machine = await host();
    const opened = await openForUse(context, machine.files);
    const { model, tokenizer } = opened;
    const { config } = model.source;
    const bosId = tokenizer.bosId ?? config.bosId;
    let documents: Encoded[];
    let window: number;
    try {
      documents = await encodeDocuments(context, tokenizer, bosId !== null);
      window = countOf(flags, 'window') ?? Math.min(config.maxPositions, LONGEST_WINDOW);
    } catch (error) {
      await model.source.close();
      throw error;
    }
    // Inputs of the longest document: its last token is a label alone.
    const longest = Math.max(1, ...documents.map((d) => d.ids.length - (bosId === null ? 1 : 0)));
    const total = documents.reduce((sum, d) => sum + d.ids.length, 0);
    const T = Math.min(window, longest);
    const B = Math.max(1, Math.min(Math.floor(BATCH_TOKENS / T), Math.ceil(total / T)));
    await withGenerator(context, model, { capacity: 0, score: { batch: B, tokens: T } }, async (generator, device) => {
      print(`device     ${device.facts.name} on ${machine.version}`);
      const began = machine.now();
      const scored: { id: string; tokens: number; bytes: number; nll: number }[] = [];
      let tokens = 0;
      let byteCount = 0;
      let nll = 0;
      for (const group of groups(documents, RUNS_A_REPORT * B * T)) {
        if (stop.requested) throw new ScionError('interrupted', `stopped after ${scored.length} of ${documents.length} documents`);
        const scores = await scoreDocuments(
          generator,
          group.map((d) => d.ids),
          { bosId },
        );
        scores.forEach((s, i) => {
          scored.push({ id: group[i].id, tokens: s.tokens, bytes: group[i].bytes, nll: s.nll });
          tokens += s.tokens;
          byteCount += group[i].bytes;
          nll += s.nll;
        });
        status.set(`${scored.length}/${documents.length} documents  ${si(tokens)} tokens  ${shown(nll / tokens, 4)} nats/token`);
      }
      const seconds = (machine.now() - began) / 1000;
      const sums = figures(tokens, byteCount, nll);
      if (!flags.boolean('json')) {
        for (const d of scored.slice(0, SHOWN)) {
          const f = figures(d.tokens, d.bytes, d.nll);
          print(
            `${String(d.tokens).padStart(8)} tokens  ${shown(f.nllPerToken, 4).padStart(8)} nats/token  ${shown(f.bitsPerByte, 3).padStart(7)} bits/byte  ${d.id}`,
          );
        }
        if (scored.length > SHOWN) print(`       … and ${scored.length - SHOWN} more (--json lists all)`);
      }
      print(`all        ${scored.length} documents, ${si(tokens)} tokens, ${bytes(byteCount)}`);
      print(`loss       ${shown(sums.nllPerToken, 4)} nats per token, perplexity ${shown(sums.perplexity, 3)}, ${shown(sums.bitsPerByte, 4)} bits per byte`);
      print(`speed      ${si(tokens / seconds)} tokens/s`);
      result({ documents: scored, ...sums, window: T, tokensPerSecond: tokens / seconds, device: device.facts.name, runtime: machine.version });
    });
  },
};
