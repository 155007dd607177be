/** SentencePiece models: byte-identical round trips and refusals. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { joinBytes } from './bytes.ts';
import { intOf, MessageWriter, readFields } from './protobuf.ts';
import { MODEL, makeSentencePiece, PIECE, parseSentencePiece, type SentencePiece, writeSentencePiece } from './sentencepiece.ts';

const unk: SentencePiece = { text: '<unk>', score: 0, type: PIECE.UNKNOWN };
const normal = (text: string, score = -1): SentencePiece => ({ text, score, type: PIECE.NORMAL });

const models = [
  ['models/stories260K/tok512.model', 512, true, 'identity', 0],
  ['tokenizers/llama2/tokenizer.model', 32_000, true, 'identity', 0],
  ['tokenizers/chinese_llama2_55k/tokenizer.model', 55_296, true, 'identity', 0],
  ['tokenizers/chinese_sp_20k/chinese_sp.model', 20_000, false, 'nmt_nfkc', 237_561],
] as const;

describe('real models', () => {
  // Expected values read with the Python package sentencepiece 0.2.3.
  it.for(models)('%s: read, and written back to the same bytes', async ([path, count, byteFallback, name, charsmap], context) => {
    const data = process.env.SCION_DATA;
    if (!data) {
      console.log('skipped: no SCION_DATA');
      context.skip();
      return;
    }
    const bytes = new Uint8Array(await readFile(join(data, path)));
    const model = parseSentencePiece(bytes, path);
    expect(model.pieces.length).toBe(count);
    expect(model.trainer.byteFallback).toBe(byteFallback);
    expect(model.trainer.modelType).toBe(byteFallback ? MODEL.BPE : MODEL.UNIGRAM);
    expect(model.normalizer.name).toBe(name);
    expect(model.normalizer.precompiledCharsmap.length).toBe(charsmap);
    expect(model.pieces.filter((piece) => piece.type === PIECE.BYTE).length).toBe(byteFallback ? 256 : 0);
    expect([model.trainer.unkId, model.trainer.bosId, model.trainer.eosId]).toEqual([0, 1, 2]);
    expect(Buffer.compare(writeSentencePiece(model), bytes)).toBe(0);

    const grown = writeSentencePiece({ ...model, pieces: [...model.pieces, normal('新しい', -7.5)], trainer: { ...model.trainer, padId: 3 } });
    const again = parseSentencePiece(grown, 'grown');
    expect(again.pieces.length).toBe(count + 1);
    expect(again.pieces[count]).toEqual(normal('新しい', -7.5));
    expect(again.trainer).toEqual({ ...model.trainer, padId: 3 });
    expect(again.normalizer).toEqual(model.normalizer);
  });
});

describe('parts of a model', () => {
  it('writes what the protobuf library writes', () => {
    // From Python: ModelProto with these pieces, model_type BPE, byte_fallback, pad_id 3, add_dummy_prefix false.
    const expected = '0a0e0a053c756e6b3e150000000018020a0f0a063c307830413e150000000018060a0d0a06e29681e6b0b415000040c01207180220059802011a021800';
    const model = makeSentencePiece(
      [unk, { text: '<0x0A>', score: 0, type: PIECE.BYTE }, normal('▁水', -3)],
      { modelType: MODEL.BPE, vocabSize: 5, byteFallback: true },
      { addDummyPrefix: false },
    );
    expect(Buffer.from(writeSentencePiece(model)).toString('hex')).toBe(expected);
  });

  it('has the defaults of the format where a model says nothing', () => {
    const model = parseSentencePiece(writeSentencePiece(makeSentencePiece([unk])), 'm');
    expect(model.trainer).toMatchObject({
      modelType: MODEL.UNIGRAM,
      vocabSize: 1,
      byteFallback: false,
      unkId: 0,
      bosId: 1,
      eosId: 2,
      padId: -1,
      unkSurface: ' ⁇ ',
      maxPieceLength: 16,
    });
    expect(model.normalizer).toMatchObject({ name: '', addDummyPrefix: true, removeExtraWhitespaces: true, escapeWhitespaces: true });
  });

  it('keeps unknown fields and odd encodings, in pieces, settings and the model', () => {
    const pieceA = new MessageWriter().float(2, 0).int(3, 2).string(1, '<unk>').finish(); // another order than usual
    const pieceB = new MessageWriter().string(1, 'b').float(2, -1).int(3, 1).string(201, 'extra').finish(); // type spelt out
    const trainer = new MessageWriter().string(200, 'x').int(41, 1).int(40, 0).int(201, 7).finish();
    const longVarint = new Uint8Array([0x18, 0x81, 0x80, 0x00]); // add_dummy_prefix = 1 in three bytes
    const bytes = new MessageWriter().string(300, 'first').bytes(1, pieceA).bytes(2, trainer).bytes(1, pieceB).bytes(3, longVarint).int(9, 5).finish();
    const model = parseSentencePiece(bytes, 'm');
    expect(writeSentencePiece(model)).toEqual(bytes);
    expect(model.pieces.map((one) => one.encoding !== undefined)).toEqual([true, true]);
    const changed = writeSentencePiece({
      ...model,
      pieces: [model.pieces[0], { ...model.pieces[1], score: -2 }],
      trainer: { ...model.trainer, bosId: 5, padId: 6 },
    });
    const expected = new MessageWriter()
      .string(300, 'first')
      .bytes(1, pieceA)
      .bytes(2, new MessageWriter().string(200, 'x').int(41, 5).int(40, 0).int(201, 7).int(43, 6).finish())
      .bytes(1, new MessageWriter().string(1, 'b').float(2, -2).string(201, 'extra').finish())
      .bytes(3, longVarint)
      .int(9, 5)
      .finish();
    expect(changed).toEqual(expected);
  });

  it.each([
    ['usual', [0x0a, 1, 0x75, 0x15, 0, 0, 0, 0, 0x18, 2], false],
    ['length in two bytes', [0x0a, 0x81, 0, 0x75, 0x15, 0, 0, 0, 0, 0x18, 2], true],
    ['tag in two bytes', [0x8a, 0, 1, 0x75, 0x15, 0, 0, 0, 0, 0x18, 2], true],
    ['type in two bytes', [0x0a, 1, 0x75, 0x15, 0, 0, 0, 0, 0x18, 0x82, 0], true],
    ['no score', [0x0a, 1, 0x75, 0x18, 2], true],
    ['score twice', [0x0a, 1, 0x75, 0x15, 0, 0, 0, 0, 0x15, 0, 0, 0, 0, 0x18, 2], true],
    ['unknown field in the middle', [0x0a, 1, 0x75, 0x15, 0, 0, 0, 0, 0x48, 1, 0x18, 2], true],
    ['unknown field at the end', [0x0a, 1, 0x75, 0x15, 0, 0, 0, 0, 0x18, 2, 0x48, 1], false],
  ])('writes a piece back as it was: %s', (_, body, kept) => {
    const bytes = new MessageWriter().bytes(1, new Uint8Array(body)).finish();
    const model = parseSentencePiece(bytes, 'm');
    expect(model.pieces[0].encoding !== undefined).toBe(kept);
    expect(writeSentencePiece(model)).toEqual(bytes);
  });

  it('writes messages longer than any first buffer', () => {
    for (const length of [63, 64, 127, 128, 16383, 16384, 70_000]) {
      const bytes = new MessageWriter().string(1, 'a').string(2, 'x'.repeat(length)).int(3, -1).finish();
      expect([...readFields(bytes, 'm')].map((field) => [field.number, field.body.length])).toEqual([
        [1, 1],
        [2, length],
        [3, 10],
      ]);
    }
    const many = new MessageWriter();
    for (let i = 0; i < 1000; i++) many.int(1, i);
    expect([...readFields(many.finish(), 'm')].map((field) => field.varint)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });

  it('takes pieces away and puts new ones behind the last', () => {
    const model = parseSentencePiece(writeSentencePiece(makeSentencePiece([unk, normal('a'), normal('b')])), 'm');
    expect(parseSentencePiece(writeSentencePiece({ ...model, pieces: [unk] }), 'm').pieces).toEqual([unk]);
    const more = [...model.pieces, normal('c')];
    expect(parseSentencePiece(writeSentencePiece({ ...model, pieces: more }), 'm').pieces).toEqual(more);
  });

  const model = (...pieces: Uint8Array[]) => joinBytes(pieces.map((piece) => new MessageWriter().bytes(1, piece).finish()));
  const piece = (text: string, type = 1) => new MessageWriter().string(1, text).float(2, 0).int(3, type).finish();
  it.each([
    ['no pieces', new Uint8Array(), 'exactly one is needed'],
    ['no unknown piece', model(piece('a')), 'exactly one is needed'],
    ['two unknown pieces', model(piece('a', 2), piece('b', 2)), 'exactly one is needed'],
    ['a text given twice', model(piece('u', 2), piece('a'), piece('a')), 'piece 2 repeats the text "a"'],
    ['a piece without text', model(piece('u', 2), piece('')), 'piece 1 has no text'],
    ['an unknown type', model(piece('u', 9)), 'unknown type 9'],
    ['a byte piece with another name', model(piece('u', 2), piece('<0xg0>', 6)), 'stands for a byte'],
    ['a score that is no number', model(new MessageWriter().string(1, 'u').float(2, Number.NaN).finish()), 'score NaN'],
    ['a text that is no UTF-8', model(new MessageWriter().bytes(1, new Uint8Array([0xff])).finish()), 'not valid UTF-8'],
    ['a field of the wrong wire type', model(new MessageWriter().int(1, 5).finish()), 'should be of type string'],
    ['settings given twice', joinBytes([model(piece('u', 2)), new Uint8Array([0x12, 0, 0x12, 0])]), 'stands twice'],
    ['a length past the end', new Uint8Array([0x0a, 0x7f, 0]), 'claims 127 bytes, 1 are left'],
    ['a length of 2^63', new Uint8Array([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), 'claims'],
    ['a varint of eleven bytes', new Uint8Array([0x08, ...new Array<number>(10).fill(0xff), 1]), 'passes 64 bits'],
    ['a varint cut off', new Uint8Array([0x08, 0x80]), 'cut off'],
    ['a fixed field cut off', new Uint8Array([0x0d, 0, 0]), 'cut off'],
    ['field number 0', new Uint8Array([0x00, 0]), 'field number 0'],
    ['a group', new Uint8Array([0x0b]), 'unknown wire type 3'],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => parseSentencePiece(bytes, 'bad.model')).toThrow(expect.objectContaining({ kind: 'format', message: expect.stringContaining(message) }));
  });
});

describe('protobuf', () => {
  it('reads varints of every length, negative numbers and 64 bits', () => {
    // 2^k - 1 and 2^k at each border of seven bits, and the int32 -1, which takes ten bytes.
    const values = Array.from({ length: 8 }, (_, i) => [2 ** (7 * i) - 1, 2 ** (7 * i)]).flat();
    for (const value of [...values, Number.MAX_SAFE_INTEGER]) {
      const [field] = readFields(new MessageWriter().int(1, value).finish(), 'm');
      expect(Number(field.varint)).toBe(value);
    }
    const [minus] = readFields(new MessageWriter().int(1, -1).finish(), 'm');
    expect(minus.raw.length).toBe(11);
    expect(minus.varint).toBe(2n ** 64n - 1n);
    expect(intOf(minus, 'm')).toBe(-1);
  });
});
