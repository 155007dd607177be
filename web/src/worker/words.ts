/** Text as tokenizers cut it, for looking at: pieces with their text, bytes of characters that no piece spells, and counts. */
import { host, loadTokenizer, measureText, ScionError, type Tokenizer } from '../../../src/index.ts';
import type { PieceView, Place, Tokenised } from '../protocol.ts';
import { listRuns, RUNS } from './runs.ts';

/** So much is shown; a page with more marks than that is slow and tells nothing more. */
const MOST_BYTES = 200_000;

interface Kept {
  readonly path: string;
  readonly modified: number;
  readonly tokenizer: Tokenizer;
}

/** The last two that were asked for: what stands side by side. */
let last: Kept | null = null;
let before: Kept | null = null;

async function tokenizerAt(path: string): Promise<Tokenizer> {
  const { files } = await host();
  const modified = (await files.stat(`${path}/tokenizer.model`))?.modified ?? 0;
  for (const kept of [last, before]) if (kept?.path === path && kept.modified === modified) return kept.tokenizer;
  const tokenizer = await loadTokenizer(files, path);
  before = last;
  last = { path, modified, tokenizer };
  return tokenizer;
}

/** Vocabularies of the runs: the base's own and the grown one. */
export async function tokenizerPlaces(): Promise<Place[]> {
  const { files } = await host();
  const places: Place[] = [];
  for (const { name } of await listRuns()) {
    for (const [folder, label] of [
      ['base/tokenizer', 'the base’s own'],
      ['vocab', 'grown'],
    ] as const) {
      const path = `${RUNS}/${name}/${folder}`;
      if (await files.stat(`${path}/tokenizer.model`)) places.push({ path, label: `${name}: ${label}` });
    }
  }
  return places;
}

const strict = new TextDecoder('utf-8', { fatal: true });

/** Whether an id is bytes that are no whole characters. */
function isBytes(tokenizer: Tokenizer, id: number): boolean {
  if (tokenizer.isSpecial(id)) return false;
  if (/^<0x[0-9A-F]{2}>$/.test(tokenizer.pieceOf(id))) return true;
  try {
    strict.decode(tokenizer.bytesOf(id));
    return false;
  } catch {
    return true;
  }
}

/** Cuts a text. */
export async function tokenise(path: string, text: string): Promise<Tokenised> {
  const { characters, bytes } = measureText(text);
  if (bytes > MOST_BYTES) throw new ScionError('input', `that is ${bytes} bytes; at most ${MOST_BYTES} are shown, so paste less`);
  const tokenizer = await tokenizerAt(path);
  const decoder = tokenizer.decoder();
  const ids = tokenizer.encode(text);
  const pieces: PieceView[] = ids.map((id) => ({ id, piece: tokenizer.pieceOf(id), text: decoder.push(id), bytes: isBytes(tokenizer, id) }));
  return {
    pieces,
    tokens: ids.length,
    characters,
    textBytes: bytes,
    byteTokens: pieces.filter((piece) => piece.bytes).length,
    vocabulary: tokenizer.vocabSize,
  };
}
