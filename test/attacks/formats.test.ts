/**
 * Mutants and truncations for the parsers without a file of their own here: llama2.c, weight
 * indexes, strict JSON, JSON Lines, TensorBoard events, SentencePiece models, gzip. Their named
 * malformed cases stand beside their sources.
 */
import { gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesReader, joinBytes } from '../../src/formats/bytes.ts';
import { gunzip } from '../../src/formats/compress.ts';
import { formatShardIndex, parseShardIndex } from '../../src/formats/hf-shards.ts';
import { type JsonValue, nestsDeeper, parseJson } from '../../src/formats/json.ts';
import { JsonlWriter, readJsonl } from '../../src/formats/jsonl.ts';
import { openLlama2c } from '../../src/formats/llama2c.ts';
import { makeSentencePiece, PIECE, parseSentencePiece, writeSentencePiece } from '../../src/formats/sentencepiece.ts';
import { encodeEvent, frameRecord, readEvents } from '../../src/formats/tensorboard.ts';
import { FUZZ_COUNT, fuzz, isRefusal, mutate, seeded } from './mutate.ts';

const count = Math.ceil(FUZZ_COUNT / 5);
const encode = (text: string) => new TextEncoder().encode(text);
const timeout = { timeout: 60_000 + count };

async function drain(source: AsyncIterable<unknown>): Promise<number> {
  let n = 0;
  for await (const _ of source) n++;
  return n;
}

/** Every proper prefix must be refused. */
async function refusesPrefixes(bytes: Uint8Array, load: (prefix: Uint8Array) => Promise<unknown>): Promise<void> {
  for (let n = 0; n < bytes.length; n++) {
    const error: unknown = await load(bytes.subarray(0, n)).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(isRefusal(error), `prefix of ${n}: ${String(error)}`).toBe(true);
  }
}

describe('llama2.c', () => {
  const floats = 3 * 4 + 2 * (4 + 16 + 8 + 8 + 16 + 4 + 24 + 24 + 24) + 4 + 10;
  const valid = new Uint8Array(28 + 4 * floats);
  for (const [i, n] of [4, 6, 2, 2, 1, 3, 5].entries()) new DataView(valid.buffer).setInt32(4 * i, n, true);

  it('every prefix', async () => {
    await refusesPrefixes(valid, (prefix) => openLlama2c(prefix, 'prefix'));
  });

  it(`${count} mutants`, timeout, async () => {
    const { loaded } = await fuzz('llama2c', count, [valid], async (bytes) => {
      const file = await openLlama2c(bytes, 'mutant');
      let total = 28;
      for (const { name } of file.tensors.values()) total += 4 * (await file.readF32(name)).length;
      total += 4 * file.config.maxPositions * file.config.headSize;
      if (total !== bytes.length) throw new Error(`${total} of ${bytes.length} bytes`);
    });
    expect(loaded).toBeGreaterThan(0);
  });
});

describe('weight index', () => {
  const valid = encode(
    formatShardIndex(
      new Map([
        ['a.weight', 'model-00001-of-00002.safetensors'],
        ['b', 'model-00002-of-00002.safetensors'],
      ]),
      12,
    ),
  );

  it(`${count} mutants`, timeout, async () => {
    await fuzz('index', count, [valid], (bytes) => {
      const text = new TextDecoder().decode(bytes);
      const index = parseShardIndex(text, 'mutant');
      for (const file of index.weightMap.values()) if (/[/\\\p{Cc}]|^\./u.test(file) || !file.endsWith('.safetensors')) throw new Error(`let ${file} through`);
    });
  });
});

describe('strict JSON', () => {
  const toPlain = (value: JsonValue): unknown =>
    value instanceof Map ? Object.fromEntries([...value].map(([k, v]) => [k, toPlain(v)])) : Array.isArray(value) ? value.map(toPlain) : value;

  it('agrees with JSON.parse on what both take, and takes no text that it refuses', timeout, async () => {
    const seeds = ['{"a":[1,-2.5e3,true,null,"x\\n\\u6c34"],"b":{}}', '[0,-0,1e-7,"\\"",[[]]]', '"text"', '12'].map(encode);
    await fuzz('json', count, seeds, (bytes) => {
      const text = new TextDecoder().decode(bytes);
      const ours = toPlain(parseJson(text, 'mutant'));
      // Must not throw: what the strict reader takes is JSON.
      expect(ours).toEqual(JSON.parse(text));
    });
  });

  it('takes whatever JSON.stringify makes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ maxDepth: 6 }), async (value) => {
        const text = JSON.stringify(value);
        expect(toPlain(parseJson(text, 'value'))).toEqual(JSON.parse(text));
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    '[01]',
    '[.5]',
    '[1.]',
    '[+1]',
    '[1e]',
    '[NaN]',
    '[Infinity]',
    '[0x1]',
    "['a']",
    '[1,]',
    '[,1]',
    '{"a":1,}',
    '{a:1}',
    '[1 2]',
    '{"a" 1}',
    '"\t"',
    '"\\x"',
    '"\\u12"',
    '"',
    '',
    '[',
    'tru',
    'nulls',
    '[1e400]',
    '\u00a01',
  ])('refuses %j', (text) => {
    expect(() => parseJson(text, 'bad')).toThrow(expect.objectContaining({ kind: 'format' }));
  });

  it('refuses depth, whatever the depth', () => {
    for (const n of [65, 10_000, 1_000_000]) {
      for (const open of ['[', '{"a":']) expect(() => parseJson(open.repeat(n), 'deep')).toThrow('nested too deep');
    }
    expect(nestsDeeper('['.repeat(1_000_000), 64)).toBe(true);
    expect(nestsDeeper('"\\"[[[[["', 2)).toBe(false);
    expect(parseJson(`${'['.repeat(64)}${']'.repeat(64)}`, 'just so')).toBeInstanceOf(Array);
  });
});

describe('JSON Lines', () => {
  it(`${count} mutants`, timeout, async () => {
    const valid = encode('{"source":"","target":"水 water","category":"a"}\n{"target":"b","n":[1,2]}\n\n"x"\n');
    const { loaded } = await fuzz('jsonl', count, [valid], async (bytes) => {
      let end = 0;
      for await (const { offset, next } of readJsonl(bytesReader(bytes), { name: 'mutant', maxLineBytes: 100 })) {
        if (offset < end || next <= offset || next > bytes.length) throw new Error(`offsets ${offset} ${next}`);
        end = next;
      }
    });
    expect(loaded).toBeGreaterThan(0);
  });

  it('a 64 MB line costs no more than the cap', async () => {
    let given = 0;
    async function* line() {
      for (; given < 64 * 2 ** 20; given += 2 ** 20) yield new Uint8Array(2 ** 20).fill(0x61);
    }
    await expect(drain(readJsonl(line(), { name: 'bomb' }))).rejects.toMatchObject({ kind: 'format' });
    expect(given).toBeLessThanOrEqual(17 * 2 ** 20);
  });

  it('writes and reads any values', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue(), { maxLength: 5 }), async (values) => {
        const parts: Uint8Array[] = [];
        const writer = new JsonlWriter({ write: async (bytes) => void parts.push(bytes), sync: async () => undefined, close: async () => undefined });
        for (const value of values) await writer.write(value);
        await writer.close();
        const read: unknown[] = [];
        for await (const { value } of readJsonl(bytesReader(joinBytes(parts)), { name: 'f' })) read.push(value);
        expect(read).toEqual(values.map((value) => JSON.parse(JSON.stringify(value))));
      }),
      { numRuns: 200 },
    );
  });
});

describe('TensorBoard events', () => {
  const event = (step: number) => frameRecord(encodeEvent({ wallTime: 1, step, scalars: new Map([['loss', step]]), texts: new Map([['t', 'x']]) }));
  const valid = joinBytes([event(1), event(2), event(3)]);

  it('every prefix, but for whole records', async () => {
    for (let n = 1; n < valid.length; n++) {
      if (n % event(1).length === 0) continue;
      await expect(drain(readEvents(valid.subarray(0, n), 'prefix'))).rejects.toMatchObject({ kind: 'format' });
    }
  });

  it(`${count} mutants, framed as they are and framed anew`, timeout, async () => {
    await fuzz('events', count, [valid], async (bytes) => void (await drain(readEvents(bytes, 'mutant'))));
    // Checksums stop nearly every mutant at the frame, so the protobuf inside is fuzzed on its own.
    await fuzz('event', count, [event(1).slice(12, -4)], async (bytes) => void (await drain(readEvents(frameRecord(bytes), 'mutant'))));
  });
});

describe('SentencePiece', () => {
  const valid = writeSentencePiece(
    makeSentencePiece(
      [
        { text: '<unk>', score: 0, type: PIECE.UNKNOWN },
        { text: '<s>', score: 0, type: PIECE.CONTROL },
        { text: '<0x0A>', score: 0, type: PIECE.BYTE },
        { text: '▁水', score: -1.5, type: PIECE.NORMAL },
      ],
      { modelType: 2, byteFallback: true, padId: 3, unkSurface: '?' },
      { name: 'identity', precompiledCharsmap: new Uint8Array(20).fill(3), addDummyPrefix: false },
    ),
  );

  it(`${count} mutants: refused, or written back to the same bytes`, timeout, async () => {
    const { loaded } = await fuzz('sentencepiece', count, [valid], (bytes) => {
      const model = parseSentencePiece(bytes, 'mutant');
      if (Buffer.compare(writeSentencePiece(model), bytes) !== 0) throw new Error('not written back as it was');
      // A changed model must still be a model, whatever unknown fields it carries.
      const grown = parseSentencePiece(
        writeSentencePiece({ ...model, pieces: [...model.pieces, { text: 'a new one', score: -9, type: PIECE.NORMAL }] }),
        'grown',
      );
      if (grown.pieces.length !== model.pieces.length + 1) throw new Error('a piece was lost');
    });
    expect(loaded).toBeGreaterThan(0);
  });
});

describe('gzip', () => {
  const few = Math.ceil(FUZZ_COUNT / 50);
  it(`${few} mutants`, { timeout: 60_000 + 10 * few }, async () => {
    const valid = gzipSync(encode('some text, some text, and more of the text').toString().repeat(20));
    const next = seeded(7);
    for (let i = 0; i < few; i++) {
      const bytes = mutate(new Uint8Array(valid), next);
      const error: unknown = await drain(gunzip([bytes], { name: 'mutant', maxBytes: 1e6 })).then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error === null || isRefusal(error), String(error)).toBe(true);
    }
  });
});
