/**
 * Seeded texts that are meant to hurt an encoder: all planes, halves of surrogate pairs, NUL, joiners and combining
 * marks, many kinds of white space, long runs, texts of marks, and texts put together from whole and halved pieces of
 * the vocabulary under test. The test and the oracle (make.py, which runs this file) read the same texts, so that the
 * fixture holds hashes of ids only.
 *
 *   node texts.ts SEED COUNT PIECES.json > TEXTS.json
 */

import { readFileSync } from 'node:fs';
import { argv, stdout } from 'node:process';
import { pathToFileURL } from 'node:url';

/** Numbers in [0, 1) from a 32-bit seed (Mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 0x100000000;
  };
}

const SPACES =
  ' |  |    |\t|\n|\r\n|\v|\f|\u0085|\u00a0|\u1680|\u2000|\u2003|\u2009|\u200a|\u2028|\u2029|\u202f|\u205f|\u3000|\u200b|\u2060|\ufeff|\u180e'.split('|');
const MARKS = '<s>|</s>|<unk>|<pad>|<0x41>|<0xE4>|<0xff>|<|begin_of_text|>|<|eot_id|>|[INST]|[/INST]|<<SYS>>|\u2581|\u2581\u2581|<mask>|s>|</|<|>'.split(
  /\|(?![a-z_]*\|?>)/,
);
const EMOJI = ['😀', '👨‍👩‍👧‍👦', '🏳️‍🌈', '👍🏽', '🇨🇳', '🇫🇷', '❤️', '🧑🏿‍🚀', '\u200d', '\ufe0f', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '1️⃣', '𝒜', '𠮷', '𪚥', '🀄'];
const COMBINING = [
  '\u0301',
  '\u0308',
  '\u0323',
  '\u0327',
  '\u034f',
  '\u0e33',
  '\u0e49',
  '\u093f',
  '\u094d',
  '\u0651',
  '\u05bc',
  '\u20dd',
  '\u3099',
  '\u1100',
  '\u1161',
  '\u11a8',
];
const WORDS =
  "the|The|of|internationalization|don't|I'LL|we've|'ſ|'Re|naïve|straße|İstanbul|ﬁne|ﷺ|Ωμέγα|привет|שלום|مرحبا|नमस्ते|สวัสดี|こんにちは|カタカナ|ｶﾀｶﾅ|한국어|ＡＢＣ|①|½|٣٤|中文|漢字|词表|模型|。|，|「|」|……|——|http://a.b/c?d=e&f=%20|foo_bar(x)|x86-64|3.14159|1,000,000|\\n|\\u4e00|//|/*|*/|==|!=|->|::|``|'''|---|***|###".split(
    '|',
  );

/** `count` texts. `pieces` are entries of a vocabulary, with `▁` for the space. */
export function fuzzTexts(seed: number, count: number, pieces: readonly string[]): string[] {
  const next = randomFrom(seed);
  const below = (n: number): number => Math.floor(next() * n);
  const pick = <T>(from: readonly T[]): T => from[below(from.length)];
  const many = (most: number, make: () => string): string => Array.from({ length: 1 + below(most) }, make).join('');
  const point = (from: number, to: number): string => String.fromCodePoint(from + below(to - from));
  const plain = (text: string): string => (below(4) === 0 ? text : text.replaceAll('\u2581', ' '));
  const piece = (): string => plain(pick(pieces));
  const half = (): string => {
    const text = [...pick(pieces)];
    const cut = below(text.length + 1);
    return plain((below(2) === 0 ? text.slice(cut) : text.slice(0, cut)).join(''));
  };
  const run = (): string => pick([...WORDS, ...SPACES, ...EMOJI, 'a', 'ab', '0', '的', piece(), half()]).repeat(1 + below(below(8) === 0 ? 400 : 20));
  const kinds: (() => string)[] = [
    () => many(40, () => point(0, 0x110000)),
    () => many(40, () => String.fromCharCode(below(0x10000))),
    () => many(20, () => pick(['\ud800', '\udbff', '\udc00', '\udfff', 'a', '😀', '中', ' '])),
    () => many(30, piece),
    () => many(30, piece),
    () => many(40, half),
    () => many(30, () => pick([piece, half])()),
    () => many(20, () => pick(SPACES)),
    () => many(30, () => pick([pick(SPACES), pick(WORDS)])),
    () => many(12, () => pick(EMOJI)),
    () => many(20, () => pick([pick(COMBINING), pick(WORDS), 'e', 'か', '\u1100'])),
    () => many(12, () => pick([pick(MARKS), pick(WORDS), ' '])),
    () => many(4, run),
    () => many(60, () => point(0x4e00, 0xa000)),
    () =>
      many(60, () =>
        pick([point(0x4e00, 0x9fa6), point(0x3400, 0x4dc0), pick('的一是了我不人在他有这上们来到时大地为子中你说生国年着就那和要'.split('')), '，']),
      ),
    () => many(40, () => String.fromCharCode(below(0x80))),
    () => many(30, () => String.fromCharCode(below(0x21))),
    () => many(60, () => point(0x30, 0x3a)),
    () => many(60, () => pick('etaoin shrdlu'.split(''))),
    () => many(40, () => point(0x80, 0x3000)),
    () => many(20, () => point(0x10000, 0x30000)),
    () => many(10, () => pick(WORDS)),
  ];
  return Array.from({ length: count }, () => (below(3) === 0 ? many(3, () => pick(kinds)()) : pick(kinds)()));
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  const [, , seed, count, file] = argv;
  stdout.write(JSON.stringify(fuzzTexts(Number(seed), Number(count), JSON.parse(readFileSync(file, 'utf8')) as string[])));
}
