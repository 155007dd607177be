/**
 * The decoders of `tokenizer.json`: lists of pieces to lists of pieces, joined at the end.
 */

import { byteLettersToBytes } from './byte-level.ts';
import { readPattern } from './json-normalizers.ts';
import { asArray, asBoolean, asIndex, asObject, asString, unsupported } from './json-read.ts';
import { utf8 } from './utf8.ts';

/** A step from pieces to pieces. */
export type Decode = (pieces: string[]) => string[];

const KNOWN = ['Sequence', 'ByteLevel', 'ByteFallback', 'Fuse', 'Strip', 'Replace', 'Metaspace', 'BPEDecoder'];

const lossy = new TextDecoder('utf-8', { ignoreBOM: true });
const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

/** Builds a decoder; without one pieces are joined by spaces. Throws `format`, naming the component, for others. */
export function readDecoder(json: unknown, where = 'decoder'): Decode {
  if (json === null || json === undefined) return (pieces) => [pieces.join(' ')];
  const spec = asObject(json, where);
  switch (spec.type) {
    case 'Sequence': {
      const steps = asArray(spec.decoders, `${where}.decoders`).map((step, i) => readDecoder(step, `${where}.decoders[${i}]`));
      return (pieces) => steps.reduce((value, step) => step(value), pieces);
    }
    case 'ByteLevel':
      return (pieces) => [lossy.decode(Uint8Array.from(pieces.flatMap((piece) => byteLettersToBytes(piece) ?? [...utf8(piece)])))];
    case 'ByteFallback':
      return byteFallback;
    case 'Fuse':
      return (pieces) => [pieces.join('')];
    case 'Strip':
      return strip(asString(spec.content, `${where}.content`), asIndex(spec.start, `${where}.start`), asIndex(spec.stop, `${where}.stop`));
    case 'Replace': {
      const pattern = readPattern(spec.pattern, `${where}.pattern`);
      const content = asString(spec.content, `${where}.content`);
      return (pieces) => pieces.map((piece) => piece.replace(pattern, () => content));
    }
    case 'Metaspace': {
      const mark = asString(spec.replacement, `${where}.replacement`);
      const drops = (spec.prepend_scheme ?? (asBoolean(spec.add_prefix_space, `${where}.add_prefix_space`, true) ? 'always' : 'never')) !== 'never';
      return (pieces) => pieces.map((piece, i) => piece.replaceAll(mark, i === 0 && drops ? '' : ' '));
    }
    case 'BPEDecoder': {
      const suffix = asString(spec.suffix, `${where}.suffix`);
      return (pieces) => pieces.map((piece, i) => piece.replaceAll(suffix, i === pieces.length - 1 ? '' : ' '));
    }
    default:
      return unsupported(where, spec.type, KNOWN);
  }
}

/** Runs of byte pieces become text; a run that is not UTF-8 as a whole becomes one U+FFFD a byte. */
function byteFallback(pieces: string[]): string[] {
  const out: string[] = [];
  let run: number[] = [];
  const flush = (): void => {
    if (run.length === 0) return;
    try {
      out.push(strict.decode(Uint8Array.from(run)));
    } catch {
      for (let i = 0; i < run.length; i++) out.push('\ufffd');
    }
    run = [];
  };
  for (const piece of pieces) {
    if (/^<0x[0-9a-fA-F]{2}>$/.test(piece)) {
      run.push(Number.parseInt(piece.slice(3, 5), 16));
    } else {
      flush();
      out.push(piece);
    }
  }
  flush();
  return out;
}

function strip(content: string, start: number, stop: number): Decode {
  return (pieces) =>
    pieces.map((piece) => {
      const chars = [...piece];
      let from = 0;
      while (from < start && chars[from] === content) from++;
      let to = chars.length;
      while (chars.length - to < stop && to > from && chars[to - 1] === content) to--;
      return chars.slice(from, to).join('');
    });
}
