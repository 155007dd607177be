/**
 * A tokenizer of one id a UTF-8 byte, for tests and benches of packing that need exact lengths: 0 pad, 1 begin, 2 end, byte b is
 * b + 3. With `prefix` it puts a space before each text, as LLaMA 2's does.
 */
import type { Tokenizer } from '../../src/text/types.ts';

const MARKS = ['<pad>', '<s>', '</s>'];

export function byteTokenizer(options: { prefix?: boolean; vocabSize?: number; marks?: readonly string[] } = {}): Tokenizer {
  const { prefix = false, marks = [] } = options;
  const all = [...MARKS, ...Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).padStart(2, '0').toUpperCase()}>`), ...marks];
  const vocabSize = options.vocabSize ?? all.length;
  const special = (id: number): boolean => id < 3 || id >= 259;
  const encode = (text: string): number[] => {
    if (text === '') return [];
    return Array.from(new TextEncoder().encode((prefix ? ' ' : '') + text.toWellFormed()), (b) => b + 3);
  };
  const decode = (ids: Iterable<number>): string => {
    const text = new TextDecoder().decode(Uint8Array.from([...ids].filter((id) => !special(id)).map((id) => id - 3)));
    return prefix && text.startsWith(' ') ? text.slice(1) : text;
  };
  return {
    kind: 'bpe-json',
    vocabSize,
    bosId: 1,
    eosId: 2,
    padId: 0,
    unkId: null,
    stopIds: [2],
    adds: { bos: true, eos: false },
    source: { name: 'tokenizer.json', bytes: new TextEncoder().encode(`bytes ${prefix} ${vocabSize}`) },
    encode,
    encodeTyped: (text) => Int32Array.from(encode(text)),
    decode,
    decoder: () => ({ push: (id) => decode([id]), end: () => '' }),
    pieceOf: (id) => all[id] ?? '',
    idOf: (piece) => (all.includes(piece) ? all.indexOf(piece) : null),
    bytesOf: (id) => (special(id) ? new Uint8Array(0) : Uint8Array.of(id - 3)),
    isSpecial: special,
  };
}
