/**
 * The normalizers of `tokenizer.json`: text to text, before it is cut. Case and composition use the host's
 * Unicode tables.
 */

import { textToByteLetters } from './byte-level.ts';
import { asArray, asBoolean, asObject, asString, isObject, unsupported } from './json-read.ts';
import { compileLiteral, compilePattern } from './regex.ts';

/** A step from text to text. */
export type Normalize = (text: string) => string;

const KNOWN = ['Sequence', 'Prepend', 'Replace', 'NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'Strip', 'StripAccents', 'ByteLevel'];

/** Builds a normalizer; null means none. Throws `format`, naming the component, for others. */
export function readNormalizer(json: unknown, where = 'normalizer'): Normalize {
  if (json === null || json === undefined) return (text) => text;
  const spec = asObject(json, where);
  switch (spec.type) {
    case 'Sequence': {
      const steps = asArray(spec.normalizers, `${where}.normalizers`).map((step, i) => readNormalizer(step, `${where}.normalizers[${i}]`));
      return (text) => steps.reduce((value, step) => step(value), text);
    }
    case 'Prepend': {
      const prefix = asString(spec.prepend, `${where}.prepend`);
      return (text) => (text === '' ? '' : prefix + text);
    }
    case 'Replace': {
      const pattern = readPattern(spec.pattern, `${where}.pattern`);
      const content = asString(spec.content, `${where}.content`);
      return (text) => text.replace(pattern, () => content);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD': {
      const form = spec.type;
      return (text) => text.normalize(form);
    }
    case 'Lowercase':
      // Letter by letter: the whole-string method would look at the neighbours of a final sigma.
      return (text) => Array.from(text, (char) => char.toLowerCase()).join('');
    case 'Strip': {
      const left = asBoolean(spec.strip_left, `${where}.strip_left`);
      const right = asBoolean(spec.strip_right, `${where}.strip_right`);
      return (text) => {
        const begun = left ? text.replace(/^\p{White_Space}+/u, '') : text;
        return right ? begun.replace(/\p{White_Space}+$/u, '') : begun;
      };
    }
    case 'StripAccents':
      return (text) => text.replace(/\p{Mn}/gu, '');
    case 'ByteLevel':
      return textToByteLetters;
    default:
      return unsupported(where, spec.type, KNOWN);
  }
}

/** `{"String": …}` or `{"Regex": …}` as a global regular expression. */
export function readPattern(json: unknown, where: string): RegExp {
  if (isObject(json)) {
    if (typeof json.String === 'string') return compileLiteral(json.String);
    if (typeof json.Regex === 'string') return compilePattern(json.Regex);
  }
  return unsupported(where, json, ['{"String": …}', '{"Regex": …}']);
}
