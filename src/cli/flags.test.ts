/** The flag parser: what design section 6 promises of it, and every way to get a flag wrong. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isScionError } from '../base/errors.ts';
import { describeFlags, type FlagSpecs, nearest, parseFlags } from './flags.ts';

const SPECS: FlagSpecs = {
  data: { kind: 'list', summary: 'files', value: 'FILE …' },
  model: { kind: 'string', summary: 'a folder', value: 'DIR' },
  steps: { kind: 'integer', summary: 'steps', default: 10 },
  lr: { kind: 'number', summary: 'rate' },
  dtype: { kind: 'string', summary: 'type', choices: ['f32', 'f16'] },
  json: { kind: 'boolean', summary: 'JSON', default: false },
  stop: { kind: 'boolean', summary: 'stop', default: true },
  'no-wait': { kind: 'boolean', summary: 'a flag whose own name begins with no-' },
};

const parse = (line: string) => parseFlags(SPECS, line === '' ? [] : line.split(' '));

/** The message of the usage error that a line gives. */
function refusal(...argv: string[]): string {
  try {
    parseFlags(SPECS, argv);
  } catch (error) {
    if (isScionError(error, 'usage')) return error.message;
    throw error;
  }
  throw new Error(`taken: ${argv.join(' ')}`);
}

describe('a list flag', () => {
  test('takes all words up to the next flag, and repeats', () => {
    const flags = parse('--data a.txt b.txt c.txt --steps 3 --data d.txt --json --data=e.txt f.txt');
    expect(flags.list('data')).toEqual(['a.txt', 'b.txt', 'c.txt', 'd.txt', 'e.txt', 'f.txt']);
    expect(flags.number('steps')).toBe(3);
    expect(flags.boolean('json')).toBe(true);
    expect(flags.words).toEqual([]);
  });

  test('takes words that look like negative numbers and a lone dash, but not what follows --', () => {
    const flags = parse('--data -5 - -x -- y --steps');
    expect(flags.list('data')).toEqual(['-5', '-', '-x']);
    expect(flags.words).toEqual(['y', '--steps']);
  });

  test('without a word is refused', () => {
    expect(refusal('--data', '--json')).toMatch(/--data needs at least one value/);
    expect(refusal('--data')).toMatch(/--data needs at least one value/);
  });

  test('is empty where it was not given', () => {
    expect(parse('').list('data')).toEqual([]);
  });

  test('keeps any words in their order, however they are split over repeats (property)', () => {
    const word = fc.string({ minLength: 1 }).filter((w) => !/^--/.test(w));
    fc.assert(
      fc.property(fc.array(fc.array(word, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 }), (groups) => {
        const flags = parseFlags(
          SPECS,
          groups.flatMap((group) => ['--data', ...group, '--json']),
        );
        expect(flags.list('data')).toEqual(groups.flat());
      }),
    );
  });
});

describe('values', () => {
  test('after a space or an equals sign; an equals sign inside a value stays', () => {
    expect(parse('--model a/b').string('model')).toBe('a/b');
    expect(parse('--model=a/b').string('model')).toBe('a/b');
    expect(parse('--model=a=b').string('model')).toBe('a=b');
    expect(parse('--model=').string('model')).toBe('');
    expect(parseFlags(SPECS, ['--model', 'two words']).string('model')).toBe('two words');
    expect(parseFlags(SPECS, ['--model=--steps']).string('model')).toBe('--steps');
  });

  test('of a flag given twice: the last', () => {
    expect(parse('--model a --model b').string('model')).toBe('b');
  });

  test('a flag is no value of another', () => {
    expect(refusal('--model', '--json')).toBe('--model needs a value (DIR)');
    expect(refusal('--model')).toBe('--model needs a value (DIR)');
  });

  test('numbers: negative, exponents; wrong ones are told with the word', () => {
    expect(parse('--lr -1.5e-3').number('lr')).toBe(-0.0015);
    expect(parse('--lr=-2').number('lr')).toBe(-2);
    expect(parse('--steps -4').number('steps')).toBe(-4);
    for (const word of ['x', '', '1x', 'NaN', 'Infinity', '1e999', ' ']) expect(refusal('--lr', word)).toBe(`--lr takes a number, got "${word}"`);
    expect(refusal('--steps', '1.5')).toBe('--steps takes a whole number, got "1.5"');
  });

  test('choices', () => {
    expect(parse('--dtype f16').string('dtype')).toBe('f16');
    expect(refusal('--dtype', 'f64')).toBe('--dtype takes one of f32, f16; got "f64"');
  });

  test('defaults hold until a flag is given', () => {
    expect(parse('').number('steps')).toBe(10);
    expect(parse('').has('model')).toBe(false);
    expect(parse('').string('model')).toBeUndefined();
    expect(parse('').boolean('stop')).toBe(true);
    expect(parse('--steps 1').number('steps')).toBe(1);
  });

  test('a flag that must be there', () => {
    expect(parse('--model m').need('model', 'the model')).toBe('m');
    expect(() => parse('').need('model', 'the model')).toThrow('--model is missing: the model');
  });
});

describe('booleans', () => {
  test('on, off by --no-, and spelled out', () => {
    expect(parse('--json').boolean('json')).toBe(true);
    expect(parse('--no-stop').boolean('stop')).toBe(false);
    expect(parse('--stop=false').boolean('stop')).toBe(false);
    expect(parse('--json --no-json').boolean('json')).toBe(false);
    expect(parse('--no-wait').boolean('no-wait')).toBe(true);
    expect(refusal('--json=maybe')).toBe('--json is on or off; got "maybe"');
  });

  test('take no word', () => {
    expect(parse('--json a').words).toEqual(['a']);
  });

  test('--no- turns off nothing but booleans', () => {
    expect(refusal('--no-model')).toMatch(/^unknown flag --no-model/);
  });
});

describe('an optional flag', () => {
  const OPTIONAL = { drops: { kind: 'optional', value: 'REASON', summary: 'drops' }, json: { kind: 'boolean', summary: 'JSON' } } as const;

  test('takes the next word, or none before a flag or the end', () => {
    expect(parseFlags(OPTIONAL, ['--drops', 'clean', 'x']).string('drops')).toBe('clean');
    expect(parseFlags(OPTIONAL, ['x', '--drops', 'clean']).words).toEqual(['x']);
    expect(parseFlags(OPTIONAL, ['--drops', '--json']).string('drops')).toBe('');
    expect(parseFlags(OPTIONAL, ['--drops', '--', 'x']).string('drops')).toBe('');
    expect(parseFlags(OPTIONAL, ['--drops', '--', 'x']).words).toEqual(['x']);
    expect(parseFlags(OPTIONAL, ['--drops']).string('drops')).toBe('');
    expect(parseFlags(OPTIONAL, ['--drops=']).string('drops')).toBe('');
    expect(parseFlags(OPTIONAL, ['--drops=a=b']).string('drops')).toBe('a=b');
    expect(parseFlags(OPTIONAL, []).has('drops')).toBe(false);
  });

  test('shows its word in brackets', () => {
    expect(describeFlags(OPTIONAL).split('\n')[0]).toMatch(/^ {2}--drops \[REASON\] +drops$/);
  });
});

describe('unknown flags', () => {
  test('name the nearest known one', () => {
    expect(refusal('--mdel', 'x')).toBe('unknown flag --mdel; did you mean --model? (--help lists them)');
    expect(refusal('--step=3')).toMatch(/did you mean --steps\?/);
    expect(refusal('--zzzzzzzz')).toBe('unknown flag --zzzzzzzz (--help lists them)');
  });

  test('may carry names that every object has', () => {
    for (const name of ['constructor', 'toString', 'hasOwnProperty']) expect(refusal(`--${name}`)).toContain(`unknown flag --${name}`);
  });

  test('nearest', () => {
    expect(nearest('trian', ['train', 'chat'])).toBe('train');
    expect(nearest('x', ['train', 'chat'])).toBeUndefined();
    expect(nearest('x', [])).toBeUndefined();
  });
});

test('the help table names every flag with its value, summary and default', () => {
  const table = describeFlags(SPECS).split('\n');
  expect(table).toHaveLength(Object.keys(SPECS).length);
  expect(table[0]).toMatch(/^ {2}--data FILE … +files$/);
  expect(table[2]).toMatch(/^ {2}--steps N +steps \[10\]$/);
  expect(table[4]).toMatch(/^ {2}--dtype f32\|f16 +type$/);
  expect(table[5]).toMatch(/^ {2}--json +JSON$/);
});
