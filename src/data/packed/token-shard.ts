/**
 * A shard of documents as a token file: one safetensors file with the tokens of all documents, a flag for each that is
 * learnt, and where each document lies. Documents that cannot be encoded stay in the index with no tokens, so that
 * a document's number is the same in both files. Later steps read what they need by range.
 */
import { ScionError } from '../../base/errors.ts';
import { openSafetensors, type SafetensorsFile } from '../../formats/safetensors.ts';
import { tensorEntry, writeSafetensors } from '../../formats/safetensors-write.ts';
import type { Host, HostFiles } from '../../host/types.ts';
import { openJinjaTemplate } from '../../text/jinja-template.ts';
import type { Tokenizer } from '../../text/types.ts';
import { measureText } from '../../text/utf8.ts';
import type { Doc } from '../doc.ts';
import { readDocShard } from '../doc-shard.ts';
import { writeAside } from './aside.ts';
import { bitAt, bitBytes, bytesOf, halvesOf, newTokens, type TokenDtype, tokenDtype, wordsOf } from './bits.ts';
import { DocumentEncoder, TokenBuffer } from './encode.ts';
import type { TemplateName } from './templates.ts';

const FORMAT = 'scion tokens';
const VERSION = '1';
/** Categories are numbered in 16 bits. */
export const MAX_CATEGORIES = 0x10000;

/** What to tokenise, and how. */
export interface TokenizeOptions {
  /** A shard: JSON Lines of `Doc`. */
  readonly in: string;
  /** The token file to write. */
  readonly out: string;
  readonly tokenizer: Tokenizer;
  /** For documents with `messages`. Default `plain`. */
  readonly template?: TemplateName;
}

/** A document that got no tokens. */
export interface TokenDrop {
  readonly index: number;
  readonly id: string;
  readonly category: string;
  /** `tokenize.empty`, `tokenize.no-answer`, `tokenize.role`, `tokenize.turns`, `tokenize.template` or `tokenize.failed`. */
  readonly reason: string;
  readonly note: string;
}

/** What a category holds, dropped documents not counted. */
export interface CategoryTokens {
  readonly category: string;
  documents: number;
  /** Of all text: code points and UTF-8 bytes. */
  characters: number;
  bytes: number;
  tokens: number;
  /** Tokens that are learnt, so labels of training. */
  learnt: number;
}

/** What became of a shard. */
export interface TokenCounts {
  /** Documents in the shard; all but `drops` have tokens. */
  readonly documents: number;
  readonly drops: readonly TokenDrop[];
  /** In the order of first appearance. */
  readonly categories: readonly CategoryTokens[];
  readonly tokens: number;
  readonly learnt: number;
  /** Continuations that had to be encoded with a space before them. */
  readonly spaced: number;
}

function textsOf(doc: Doc): string[] {
  return doc.messages ? doc.messages.map(({ content }) => content) : [doc.source ?? '', doc.target];
}

/** Identity of a tokenizer: two that give the same hash cut every text alike. SHA-256 of its vocabulary file and its marks. */
export async function tokenizerHash(host: Host, tokenizer: Tokenizer): Promise<string> {
  const hasher = await host.sha256();
  const { source, vocabSize, bosId, eosId, padId } = tokenizer;
  hasher.update(source.bytes);
  hasher.update(new TextEncoder().encode(JSON.stringify([source.name, vocabSize, bosId, eosId, padId])));
  return hasher.hex();
}

/**
 * Writes the token file of one shard; the same shard and options give the same bytes. A document that makes the encoder throw
 * is dropped with reason `tokenize.failed`; a template that the tokenizer has no marks for, or does not bring, is an error (`input`).
 */
export async function tokenizeShard(host: Host, options: TokenizeOptions): Promise<TokenCounts> {
  const { tokenizer, template = 'plain' } = options;
  const encoder = new DocumentEncoder(tokenizer, template === 'tokenizer' ? await openJinjaTemplate(tokenizer) : template);
  const buffer = new TokenBuffer();
  const starts: number[] = [0];
  const category: number[] = [];
  const rows: CategoryTokens[] = [];
  const numbers = new Map<string, number>();
  const drops: TokenDrop[] = [];
  for await (const doc of readDocShard(host.files, options.in)) {
    const index = category.length;
    let number = numbers.get(doc.category);
    if (number === undefined) {
      number = rows.length;
      if (number === MAX_CATEGORIES) throw new ScionError('input', `${options.in}: more than ${MAX_CATEGORIES} categories`);
      numbers.set(doc.category, number);
      rows.push({ category: doc.category, documents: 0, characters: 0, bytes: 0, tokens: 0, learnt: 0 });
    }
    category.push(number);
    const before = buffer.length;
    let refusal: { reason: string; note: string } | null;
    try {
      refusal = encoder.add(doc, buffer);
    } catch (error) {
      if (error instanceof ScionError && error.kind === 'input' && 'template' in error.details) throw error;
      refusal = { reason: 'tokenize.failed', note: error instanceof Error ? error.message.slice(0, 200) : String(error) };
    }
    starts.push(buffer.length);
    if (refusal !== null) {
      drops.push({ index, id: doc.id, category: doc.category, ...refusal });
      continue;
    }
    const row = rows[number];
    row.documents++;
    for (const text of textsOf(doc)) {
      const { characters, bytes } = measureText(text);
      row.characters += characters;
      row.bytes += bytes;
    }
    row.tokens += buffer.length - before;
    for (let i = before; i < buffer.length; i++) row.learnt += bitAt(buffer.learnt, i);
  }
  const sum = (of: (row: CategoryTokens) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const counts: TokenCounts = {
    documents: category.length,
    drops,
    categories: rows,
    tokens: buffer.length,
    learnt: sum((row) => row.learnt),
    spaced: encoder.spaced,
  };
  const dtype = tokenDtype(tokenizer.vocabSize);
  const tokens = newTokens(dtype, buffer.length);
  tokens.set(buffer.ids.subarray(0, buffer.length));
  const entries = [
    tensorEntry('tokens', dtype, [tokens.length], bytesOf(tokens)),
    tensorEntry('learnt', 'U8', [bitBytes(tokens.length)], buffer.learnt.subarray(0, bitBytes(tokens.length))),
    tensorEntry('starts', 'U32', [starts.length], bytesOf(Uint32Array.from(starts))),
    tensorEntry('category', 'U16', [category.length], bytesOf(Uint16Array.from(category))),
  ];
  const metadata = {
    format: FORMAT,
    version: VERSION,
    tokenizer: await tokenizerHash(host, tokenizer),
    marks: JSON.stringify({ vocabSize: tokenizer.vocabSize, bos: tokenizer.bosId, eos: tokenizer.eosId, pad: tokenizer.padId ?? 0 }),
    template,
    counts: JSON.stringify(counts).toWellFormed(),
  };
  await writeAside(host, options.out, (writer) => writeSafetensors(writer, entries, metadata));
  return counts;
}

/** What all token files of one build share. */
export interface TokenMarks {
  readonly tokenizer: string;
  readonly template: string;
  readonly vocabSize: number;
  readonly bos: number | null;
  readonly eos: number;
  readonly pad: number;
}

/** An open token file. */
export interface TokenShard {
  readonly file: SafetensorsFile;
  readonly dtype: TokenDtype;
  readonly counts: TokenCounts;
  readonly marks: TokenMarks;
  /** u32 [documents + 1]: document i is tokens starts[i] to starts[i + 1]. */
  readonly starts: Uint32Array<ArrayBuffer>;
  /** u16 [documents]: index into `counts.categories`. */
  readonly category: Uint16Array<ArrayBuffer>;
}

/** Opens a token file and reads its index. Throws `format` for a file that is none. Close `file` when done. */
export async function openTokenShard(files: HostFiles, path: string): Promise<TokenShard> {
  const reader = await files.open(path);
  try {
    const file = await openSafetensors(reader, path);
    const { metadata } = file;
    if (metadata.get('format') !== FORMAT || metadata.get('version') !== VERSION) {
      throw new ScionError('format', `${path}: no token file of version ${VERSION}; make it again with this version of scion`, { path });
    }
    const dtype = file.info('tokens').dtype as TokenDtype;
    const starts = wordsOf(await file.read('starts'));
    const category = halvesOf(await file.read('category'));
    const counts = JSON.parse(metadata.get('counts') ?? 'null') as TokenCounts;
    const marks = JSON.parse(metadata.get('marks') ?? 'null') as Omit<TokenMarks, 'tokenizer' | 'template'>;
    if (starts.length !== category.length + 1 || starts.at(-1) !== file.info('tokens').shape[0] || counts.documents !== category.length) {
      throw new ScionError('format', `${path}: its index does not fit its tokens; make it again`, { path });
    }
    return { file, dtype, counts, marks: { ...marks, tokenizer: metadata.get('tokenizer') ?? '', template: metadata.get('template') ?? '' }, starts, category };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** The counts that `tokenizeShard` gave when it wrote this file. */
export async function tokenCounts(files: HostFiles, path: string): Promise<TokenCounts> {
  const { file, counts } = await openTokenShard(files, path);
  await file.close();
  return counts;
}
