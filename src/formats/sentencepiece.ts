/**
 * SentencePiece `tokenizer.model` files: a protobuf of pieces, the trainer's settings and the
 * normaliser's. What this module does not know is carried along, so a model that is read and written
 * unchanged has the same bytes, and one that is changed differs only where it was. Encoding text
 * with a model is the business of `src/text`.
 */
import { ScionError } from '../base/errors.ts';
import { joinBytes, sameBytes, shown } from './bytes.ts';
import { boolOf, bytesOf, floatOf, intOf, MessageWriter, readFields, stringOf, type WireField } from './protobuf.ts';

/** Piece types, by their numbers in the file. */
export const PIECE = { NORMAL: 1, UNKNOWN: 2, CONTROL: 3, USER_DEFINED: 4, UNUSED: 5, BYTE: 6 } as const;
export type PieceType = (typeof PIECE)[keyof typeof PIECE];

/** Model types, by their numbers in the file. */
export const MODEL = { UNIGRAM: 1, BPE: 2, WORD: 3, CHAR: 4 } as const;

const MAX_MODEL_BYTES = 256 * 2 ** 20;
const MAX_PIECES = 4_000_000;

/** One entry of the vocabulary; its index is its id. */
export interface SentencePiece {
  readonly text: string;
  /** An f32. */
  readonly score: number;
  readonly type: PieceType;
  /** Fields this module does not know, as they stood in the file. */
  readonly unknown?: Uint8Array;
  /** The piece's bytes where they are not what `writeSentencePiece` makes of the same values. */
  readonly encoding?: Uint8Array;
}

/** The trainer's settings that matter to a reader, with the defaults of the format. */
export interface TrainerSpec {
  readonly modelType: number;
  readonly vocabSize: number;
  readonly characterCoverage: number;
  readonly maxPieceLength: number;
  readonly splitByUnicodeScript: boolean;
  readonly splitByWhitespace: boolean;
  readonly splitByNumber: boolean;
  readonly splitDigits: boolean;
  readonly treatWhitespaceAsSuffix: boolean;
  readonly byteFallback: boolean;
  readonly unkId: number;
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
  readonly unkSurface: string;
  readonly unkPiece: string;
  readonly bosPiece: string;
  readonly eosPiece: string;
  readonly padPiece: string;
}

/** How text is normalised before it is cut into pieces. */
export interface NormalizerSpec {
  readonly name: string;
  /** Compiled normalisation rules; empty for the identity. */
  readonly precompiledCharsmap: Uint8Array;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  readonly escapeWhitespaces: boolean;
}

/** A whole model. `source` are the bytes it was read from; the writer keeps what it can of them. */
export interface SentencePieceModel {
  readonly pieces: readonly SentencePiece[];
  readonly trainer: TrainerSpec;
  readonly normalizer: NormalizerSpec;
  readonly source: Uint8Array;
}

type SpecValue = number | boolean | string | Uint8Array;
interface SpecField {
  readonly number: number;
  readonly type: 'int' | 'bool' | 'float' | 'string' | 'bytes';
  readonly default: SpecValue;
}
type SpecTable<T> = { readonly [K in keyof T]: SpecField };

/** Field numbers and defaults of sentencepiece_model.proto. */
const TRAINER: SpecTable<TrainerSpec> = {
  modelType: { number: 3, type: 'int', default: MODEL.UNIGRAM },
  vocabSize: { number: 4, type: 'int', default: 8000 },
  characterCoverage: { number: 10, type: 'float', default: Math.fround(0.9995) },
  maxPieceLength: { number: 20, type: 'int', default: 16 },
  splitByUnicodeScript: { number: 21, type: 'bool', default: true },
  splitByWhitespace: { number: 22, type: 'bool', default: true },
  splitByNumber: { number: 23, type: 'bool', default: true },
  treatWhitespaceAsSuffix: { number: 24, type: 'bool', default: false },
  splitDigits: { number: 25, type: 'bool', default: false },
  byteFallback: { number: 35, type: 'bool', default: false },
  unkId: { number: 40, type: 'int', default: 0 },
  bosId: { number: 41, type: 'int', default: 1 },
  eosId: { number: 42, type: 'int', default: 2 },
  padId: { number: 43, type: 'int', default: -1 },
  unkSurface: { number: 44, type: 'string', default: ' \u2047 ' },
  unkPiece: { number: 45, type: 'string', default: '<unk>' },
  bosPiece: { number: 46, type: 'string', default: '<s>' },
  eosPiece: { number: 47, type: 'string', default: '</s>' },
  padPiece: { number: 48, type: 'string', default: '<pad>' },
};

const NORMALIZER: SpecTable<NormalizerSpec> = {
  name: { number: 1, type: 'string', default: '' },
  precompiledCharsmap: { number: 2, type: 'bytes', default: new Uint8Array() },
  addDummyPrefix: { number: 3, type: 'bool', default: true },
  removeExtraWhitespaces: { number: 4, type: 'bool', default: true },
  escapeWhitespaces: { number: 5, type: 'bool', default: true },
};

function readValue(field: WireField, type: SpecField['type'], what: string): SpecValue {
  switch (type) {
    case 'int':
      return intOf(field, what);
    case 'bool':
      return boolOf(field, what);
    case 'float':
      return floatOf(field, what);
    case 'string':
      return stringOf(field, what);
    case 'bytes':
      return bytesOf(field, what).slice();
  }
}

function writeValue(writer: MessageWriter, { number, type }: SpecField, value: SpecValue): void {
  if (type === 'int' && typeof value === 'number') writer.int(number, value);
  else if (type === 'float' && typeof value === 'number') writer.float(number, value);
  else if (type === 'bool' && typeof value === 'boolean') writer.bool(number, value);
  else if (type === 'string' && typeof value === 'string') writer.string(number, value);
  else if (type === 'bytes' && value instanceof Uint8Array) writer.bytes(number, value);
  else throw new ScionError('input', `field ${number} of a SentencePiece model is of type ${type}, not ${typeof value}`, { number, type });
}

const sameValue = (a: SpecValue, b: SpecValue): boolean => (a instanceof Uint8Array && b instanceof Uint8Array ? sameBytes(a, b) : Object.is(a, b));

function readSpec<T>(message: Uint8Array, table: SpecTable<T>, what: string): T {
  const known = Object.entries<SpecField>(table);
  const values = new Map<string, SpecValue>(known.map(([name, field]) => [name, field.default]));
  for (const field of readFields(message, what)) {
    const entry = known.find(([, one]) => one.number === field.number);
    if (entry) values.set(entry[0], readValue(field, entry[1].type, what));
  }
  return Object.fromEntries(values) as T;
}

/** The message with these values: fields that say the same already stay as they are, in their place. */
function patchSpec<T extends object>(message: Uint8Array, table: SpecTable<T>, wanted: T, what: string): Uint8Array {
  const before = readSpec(message, table, what);
  const known = Object.entries<SpecField>(table);
  const get = (spec: T, name: string): SpecValue => (spec as Record<string, SpecValue>)[name];
  const changed = known.filter(([name]) => !sameValue(get(before, name), get(wanted, name)));
  if (changed.length === 0) return message;
  const writer = new MessageWriter();
  const waiting = new Map(changed.map(([name, field]) => [field.number, { name, field }]));
  const gone = new Set(waiting.keys());
  for (const field of readFields(message, what)) {
    const entry = waiting.get(field.number);
    if (entry) {
      writeValue(writer, entry.field, get(wanted, entry.name));
      waiting.delete(field.number);
    } else if (!gone.has(field.number)) writer.raw(field.raw);
  }
  for (const { name, field } of waiting.values()) writeValue(writer, field, get(wanted, name));
  return writer.finish();
}

const TYPES: ReadonlySet<number> = new Set(Object.values(PIECE));

function encodePiece({ text, score, type, unknown }: SentencePiece): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter().string(1, text).float(2, score);
  if (type !== PIECE.NORMAL) writer.int(3, type);
  if (unknown) writer.raw(unknown);
  return writer.finish();
}

function readPiece(message: Uint8Array, id: number, what: string): SentencePiece {
  const where = `${what}: piece ${id}`;
  let text = '';
  let score = 0;
  let type: number = PIECE.NORMAL;
  const rest: Uint8Array[] = [];
  // Whether `encodePiece` would give these very bytes: fields 1, 2, 3 in order, then unknown ones.
  let usual = true;
  let last = 0;
  for (const field of readFields(message, where)) {
    usual &&= field.number > 3 ? last >= 2 : field.number === last + 1 && field.raw.length === usualLength(field);
    last = field.number;
    if (field.number === 1) text = stringOf(field, where);
    else if (field.number === 2) score = floatOf(field, where);
    else if (field.number === 3) type = intOf(field, where);
    else rest.push(field.raw);
  }
  usual &&= last >= 2;
  if (text === '') throw new ScionError('format', `${where} has no text`, { id });
  if (!Number.isFinite(score)) throw new ScionError('format', `${where} has the score ${score}`, { id, score });
  if (!TYPES.has(type)) throw new ScionError('format', `${where} has the unknown type ${type}`, { id, type });
  if (type === PIECE.BYTE && !/^<0x[0-9A-F]{2}>$/.test(text))
    throw new ScionError('format', `${where} stands for a byte but is called ${shown(text)}`, { id, text });
  const piece: SentencePiece = { text, score, type: type as PieceType, ...(rest.length > 0 ? { unknown: joinBytes(rest) } : {}) };
  return usual ? piece : { ...piece, encoding: message.slice() };
}

/** Bytes of a piece's known field without needless varint bytes; a spelt-out NORMAL type counts as unusual. */
function usualLength({ number, body, varint }: WireField): number {
  if (number === 1) return body.length + (body.length < 128 ? 2 : body.length < 16384 ? 3 : 4);
  if (number === 2) return 5;
  return Number(varint) > PIECE.NORMAL && Number(varint) < 128 ? 2 : -1;
}

/**
 * Reads a model. Beside the wire format this checks what SentencePiece itself insists on: pieces
 * with text, each text once, exactly one unknown piece. Throws a ScionError of kind `format`.
 */
export function parseSentencePiece(bytes: Uint8Array, what: string): SentencePieceModel {
  if (bytes.length > MAX_MODEL_BYTES)
    throw new ScionError('format', `${what}: ${bytes.length} bytes; a model may have ${MAX_MODEL_BYTES}`, { bytes: bytes.length });
  const source = bytes.slice();
  const pieces: SentencePiece[] = [];
  const texts = new Set<string>();
  let unknowns = 0;
  const specs = new Map<number, Uint8Array>();
  for (const field of readFields(source, what)) {
    if (field.number === 1) {
      const piece = readPiece(bytesOf(field, what), pieces.length, what);
      if (texts.has(piece.text)) throw new ScionError('format', `${what}: piece ${pieces.length} repeats the text ${shown(piece.text)}`, { id: pieces.length });
      if (pieces.length === MAX_PIECES) throw new ScionError('format', `${what}: more than ${MAX_PIECES} pieces`);
      texts.add(piece.text);
      pieces.push(piece);
      if (piece.type === PIECE.UNKNOWN) unknowns++;
    } else if (field.number === 2 || field.number === 3) {
      // Protobuf would merge a message given twice; no writer does that, so it is taken as damage.
      if (specs.has(field.number)) throw new ScionError('format', `${what}: the message of field ${field.number} stands twice`, { number: field.number });
      specs.set(field.number, bytesOf(field, what));
    }
  }
  if (unknowns !== 1)
    throw new ScionError('format', `${what}: ${pieces.length} pieces with ${unknowns} unknown pieces; exactly one is needed. Is this a SentencePiece model?`, {
      unknowns,
    });
  return {
    pieces,
    trainer: readSpec(specs.get(2) ?? new Uint8Array(), TRAINER, `${what}: trainer_spec`),
    normalizer: readSpec(specs.get(3) ?? new Uint8Array(), NORMALIZER, `${what}: normalizer_spec`),
    source,
  };
}

/** True if the kept bytes still say what the piece says; a caller may have spread and changed it. */
function encodingHolds(piece: SentencePiece): boolean {
  if (!piece.encoding) return false;
  const { text, score, type } = readPiece(piece.encoding, 0, 'piece');
  return text === piece.text && Object.is(score, Math.fround(piece.score)) && type === piece.type;
}

/**
 * Writes a model. An unchanged one gives the bytes it was read from; otherwise pieces stand where
 * the pieces stood (new ones behind the last), and unknown fields keep their place.
 */
export function writeSentencePiece(model: SentencePieceModel): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter();
  const fields = [...readFields(model.source, 'source')];
  const lastPiece = fields.findLastIndex((field) => field.number === 1);
  let id = 0;
  const next = (former?: WireField) => {
    const one = model.pieces[id++];
    const bytes = one.encoding && encodingHolds(one) ? one.encoding : encodePiece(one);
    if (former && sameBytes(former.body, bytes)) writer.raw(former.raw);
    else writer.bytes(1, bytes);
  };
  const rest = () => {
    while (id < model.pieces.length) next();
  };
  if (lastPiece < 0) rest();
  const patched = new Set<number>();
  for (const [i, field] of fields.entries()) {
    if (field.number === 1) {
      if (id < model.pieces.length) next(field);
      if (i === lastPiece) rest();
    } else if (field.number === 2 || field.number === 3) {
      patched.add(field.number);
      const message = patchNumbered(field.number, field.body, model);
      if (message === field.body) writer.raw(field.raw);
      else writer.bytes(field.number, message);
    } else writer.raw(field.raw);
  }
  for (const number of [2, 3] as const) {
    const message = patched.has(number) ? new Uint8Array() : patchNumbered(number, new Uint8Array(), model);
    if (message.length > 0) writer.bytes(number, message);
  }
  return writer.finish();
}

function patchNumbered(number: 2 | 3, message: Uint8Array, model: SentencePieceModel): Uint8Array {
  return number === 2 ? patchSpec(message, TRAINER, model.trainer, 'trainer_spec') : patchSpec(message, NORMALIZER, model.normalizer, 'normalizer_spec');
}

/** A model from nothing but its parts; unset settings take the defaults of the format. */
export function makeSentencePiece(
  pieces: readonly SentencePiece[],
  trainer: Partial<TrainerSpec> = {},
  normalizer: Partial<NormalizerSpec> = {},
): SentencePieceModel {
  const none = new Uint8Array();
  return {
    pieces,
    trainer: { ...readSpec(none, TRAINER, 'trainer_spec'), vocabSize: pieces.length, ...trainer },
    normalizer: { ...readSpec(none, NORMALIZER, 'normalizer_spec'), ...normalizer },
    source: none,
  };
}
