/**
 * Packs as people read them: each segment with its document, its length, and its text in runs of what is learnt and what is only
 * read. Text is put together from the bytes of the pieces, so that every token's part can be told; marks are shown by name.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { openPacked, type PackedFolder, type Segment, type StoredPack } from '../../data/packed/index.ts';
import type { HostFiles } from '../../host/types.ts';
import { loadTokenizer } from '../../text/tokenizer.ts';
import type { Tokenizer } from '../../text/types.ts';

/** A stretch of one kind. */
export interface Run {
  readonly text: string;
  readonly learnt: boolean;
  /** A mark of the tokenizer and no text. */
  readonly mark: boolean;
}

/** A segment with its text. */
export interface ShownSegment extends Pick<Segment, 'document' | 'copy' | 'from' | 'category' | 'start' | 'length'> {
  /** Tokens that are learnt. */
  readonly learnt: number;
  /** The document goes on in another pack. */
  readonly goesOn: boolean;
  readonly runs: readonly Run[];
}

export interface ShownPack {
  readonly bucket: number;
  readonly pack: number;
  readonly T: number;
  readonly used: number;
  readonly segments: readonly ShownSegment[];
}

/** The borders of a pack alone. */
export interface PackBorders extends Omit<ShownPack, 'segments'> {
  readonly segments: readonly Pick<Segment, 'category' | 'length' | 'from'>[];
}

const isTail = (byte: number): boolean => byte >= 0x80 && byte < 0xc0;

/**
 * Where the whole characters of some bytes begin and end. A document is cut between tokens, and a character that is spelt
 * in bytes may lie on both sides of a cut.
 */
function wholeCharacters(bytes: readonly number[]): { readonly from: number; readonly to: number } {
  let from = 0;
  while (from < bytes.length && from < 3 && isTail(bytes[from])) from++;
  let lead = bytes.length - 1;
  while (lead >= from && bytes.length - lead < 4 && isTail(bytes[lead])) lead--;
  const byte = bytes[lead] ?? 0;
  const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
  return { from, to: lead >= from && bytes.length - lead < length ? lead : bytes.length };
}

/** Bytes as a tokenizer with byte fallback names them. */
const spelt = (bytes: readonly number[]): string => bytes.map((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`).join('');

/** Text of tokens `from` to `to` of a pack, in runs. Parts of characters at a border are marks: they are no text. */
export function runsOf(
  tokenizer: Tokenizer,
  pack: { readonly tokens: ArrayLike<number>; readonly learnt: Uint8Array },
  from: number,
  to: number,
  startsText: boolean,
): Run[] {
  const runs: Run[] = [];
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let bytes: number[] = [];
  let learnt = false;
  const flush = (): void => {
    const whole = wholeCharacters(bytes);
    const put = (text: string, mark: boolean) => text !== '' && runs.push({ text, learnt, mark });
    put(spelt(bytes.slice(0, whole.from)), true);
    put(decoder.decode(new Uint8Array(bytes.slice(whole.from, whole.to))), false);
    put(spelt(bytes.slice(whole.to)), true);
    bytes = [];
  };
  for (let t = from; t < to; t++) {
    const id = pack.tokens[t];
    const isLearnt = pack.learnt[t] === 1;
    if (id >= tokenizer.vocabSize) throw new ScionError('format', `a pack holds the id ${id}; the tokenizer beside it has ${tokenizer.vocabSize}`, { id });
    if (isLearnt !== learnt) flush();
    learnt = isLearnt;
    if (tokenizer.isSpecial(id)) {
      flush();
      runs.push({ text: tokenizer.pieceOf(id), learnt, mark: true });
    } else bytes.push(...tokenizer.bytesOf(id));
  }
  flush();
  // SentencePiece puts a space before a text; it is none of the document's.
  const first = runs.findIndex(({ mark }) => !mark);
  if (startsText && first >= 0 && tokenizer.kind !== 'bpe-json' && runs[first].text.startsWith(' '))
    runs[first] = { ...runs[first], text: runs[first].text.slice(1) };
  return runs;
}

/** Packs of a build and the tokenizer that reads them. */
export class PackReader {
  readonly folder: PackedFolder;
  readonly #tokenizer: Tokenizer;

  private constructor(folder: PackedFolder, tokenizer: Tokenizer) {
    this.folder = folder;
    this.#tokenizer = tokenizer;
  }

  /** Opens the packs in `dir` with the tokenizer that lies beside them. `input` where there are none. */
  static async open(files: HostFiles, dir: string): Promise<PackReader> {
    return new PackReader(await openPacked(files, dir), await loadTokenizer(files, joinPath(dir, 'tokenizer')));
  }

  #need(bucket: number, packs: number, pack: number): void {
    if (pack < packs) return;
    throw new ScionError('input', `bucket ${bucket} has the packs 0 to ${packs - 1}; number ${pack} was asked for`, { bucket, pack, packs });
  }

  /** Borders of up to `limit` packs of a bucket, from the tables alone. */
  async borders(bucket: number, limit: number): Promise<PackBorders[]> {
    const open = await this.folder.bucket(bucket);
    try {
      return Array.from({ length: Math.min(limit, open.packs) }, (_, pack) => {
        const segments = open.segments(pack);
        return { bucket, pack, T: this.folder.manifest.T, used: segments.reduce((sum, { length }) => sum + length, 0), segments };
      });
    } finally {
      await open.close();
    }
  }

  /** One pack with all its text. */
  async pack(bucket: number, pack: number): Promise<ShownPack> {
    const open = await this.folder.bucket(bucket);
    try {
      this.#need(bucket, open.packs, pack);
      const [stored] = await open.read(pack);
      return { bucket, pack, T: this.folder.manifest.T, used: stored.used, segments: stored.segments.map((segment) => this.#shown(stored, segment)) };
    } finally {
      await open.close();
    }
  }

  #shown(stored: StoredPack, segment: Segment): ShownSegment {
    const { start, length, document, copy, from, category, next } = segment;
    let learnt = 0;
    for (let t = start; t < start + length; t++) learnt += stored.learnt[t];
    return {
      document,
      copy,
      from,
      category,
      start,
      length,
      learnt,
      goesOn: next !== -100,
      runs: runsOf(this.#tokenizer, stored, start, start + length, from === 0),
    };
  }

  /** Beginnings of documents as they lie in the packs, bucket by bucket: what is left to look at once `work/` is gone. */
  async *documents(category?: string): AsyncGenerator<ShownSegment & { readonly bucket: number; readonly pack: number }> {
    for (let bucket = 0; bucket < this.folder.manifest.buckets.length; bucket++) {
      const open = await this.folder.bucket(bucket);
      try {
        for (let pack = 0; pack < open.packs; pack++) {
          const wanted = open.segments(pack).some((one) => one.from === 0 && (category === undefined || one.category === category));
          if (!wanted) continue;
          const [stored] = await open.read(pack);
          for (const segment of stored.segments) {
            if (segment.from === 0 && (category === undefined || segment.category === category)) yield { ...this.#shown(stored, segment), bucket, pack };
          }
        }
      } finally {
        await open.close();
      }
    }
  }
}
