/**
 * The whole list on made-up corpora: every document accounted for against a count of the lines put in, the same bytes for any
 * number of workers, going on after a stop, redoing no more than a change asks for, single steps one after the other.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { nodeHost } from '../../host/node.ts';
import { readReport } from '../report/read.ts';
import { type BuildOptions, type BuildResult, buildData } from './build.ts';
import { parseBuild, readRecipe } from './recipe.ts';
import { MAKERS } from './steps.ts';
import { outputHashes, testCorpus } from './testing.ts';

const MODEL = join(import.meta.dirname, '../../../test/golden/text/sp-llama.model');
const QUESTION = 'Which of the seven harbours was closed by the governor after the second flood of that winter, and for how many weeks?';
let folder = '';
const at = (name: string): string => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scion-build-'));
  writeFileSync(at('one.jsonl'), testCorpus(1, 400, QUESTION));
  writeFileSync(at('two.jsonl'), testCorpus(2, 200, QUESTION));
  writeFileSync(at('eval.jsonl'), JSON.stringify({ question: QUESTION, answer: 'two' }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CONFIG = () => ({
  data: [at('one.jsonl'), at('two.jsonl')],
  read: { shardBytes: 64 * 1024 },
  decontaminate: { sets: [{ name: 'exam', data: [at('eval.jsonl')] }] },
  score: {},
  sample: { categories: { news: { epochs: 1.5 }, books: { epochs: 0.5 } } },
  tokenizer: MODEL,
  pack: { length: 256, buckets: 4 },
});
const build = (out: string, config: Record<string, unknown> = CONFIG(), more: Partial<BuildOptions> = {}): Promise<BuildResult> =>
  buildData(nodeHost, { config: parseBuild(config), out: at(out), workers: 1, version: 'test', ...more });
const linesIn = (...names: string[]): number =>
  names.reduce(
    (n, name) =>
      n +
      readFileSync(at(name), 'utf8')
        .split('\n')
        .filter((line) => line !== '').length,
    0,
  );
const listed = (out: string): number => {
  let n = 0;
  for (const step of readdirSync(join(at(out), 'drops'))) {
    for (const name of readdirSync(join(at(out), 'drops', step))) n += readFileSync(join(at(out), 'drops', step, name), 'utf8').split('\n').length - 1;
  }
  return n;
};

describe('a whole build', () => {
  it('accounts for every document, and gives the same bytes for 1, 2 and 4 workers', { timeout: 120_000 }, async () => {
    const hashes = [];
    for (const workers of [1, 2, 4]) {
      const out = `w${workers}`;
      const result = await build(out, CONFIG(), { workers });
      const dropped = Object.values(result.drops).reduce((a, b) => a + b, 0);
      expect(result.documentsIn).toBe(linesIn('one.jsonl', 'two.jsonl'));
      expect(result.documentsIn).toBe(result.documentsOut + dropped);
      expect(listed(out)).toBe(dropped);
      // Every step found what was put there for it.
      const seen = Object.keys(result.drops);
      for (const reason of ['read.bad-json', 'clean.few-characters', 'dedup.exact', 'dedup.near', 'decontaminate.overlap', 'sample.epochs'])
        expect(seen).toContain(reason);
      expect(result.tokensPacked).toBe(result.tokensAfterSampling);
      expect(result.tokensPacked).toBeGreaterThan(50_000);
      expect(result.buckets).toBe(4);
      expect(result.copies).toBeGreaterThan(0);
      expect(existsSync(join(at(out), 'work'))).toBe(false);
      hashes.push(await outputHashes(nodeHost, at(out)));
    }
    expect(hashes[1]).toEqual(hashes[0]);
    expect(hashes[2]).toEqual(hashes[0]);
    const report = await readReport(nodeHost.files, join(at('w1'), 'report.json'));
    expect([...new Set(report?.funnel.map(({ step }) => step))]).toEqual(['read', 'clean', 'dedup', 'decontaminate', 'score', 'tokenize', 'sample']);
    expect(readFileSync(join(at('w1'), 'report.html'), 'utf8')).toContain('Every document is accounted for');
    expect(report?.duplicates.examples[0].a.text).not.toBe('');
    expect(Object.values(report?.histograms.scores ?? {})[0].counts.length).toBeGreaterThan(0);
    expect(JSON.parse(readFileSync(join(at('w1'), 'contamination.json'), 'utf8')).exam.documents).toBe(report?.drops['decontaminate.overlap']);
  });

  it('a second call finds all of it there; another configuration builds anew', { timeout: 60_000 }, async () => {
    const first = await build('again');
    const before = statSync(join(at('again'), 'buckets', 'bucket-00.safetensors')).mtimeMs;
    const second = await build('again');
    expect(second).toEqual({ ...first, unchanged: true });
    expect(statSync(join(at('again'), 'buckets', 'bucket-00.safetensors')).mtimeMs).toBe(before);
    const third = await build('again', { ...CONFIG(), pack: { length: 128, buckets: 2 } });
    expect(third).toMatchObject({ unchanged: false, buckets: 2 });
    expect(readdirSync(join(at('again'), 'buckets')).sort()).toEqual(['bucket-00.safetensors', 'bucket-01.safetensors']);
    // As a build into a fresh folder.
    await build('fresh', { ...CONFIG(), pack: { length: 128, buckets: 2 } });
    expect(await outputHashes(nodeHost, at('again'))).toEqual(await outputHashes(nodeHost, at('fresh')));
  });

  it('a later change redoes later steps only, where work is kept; input that changed redoes all', { timeout: 60_000 }, async () => {
    const spy = vi.spyOn(MAKERS, 'clean');
    const scoring = vi.spyOn(MAKERS, 'score');
    try {
      writeFileSync(at('live.jsonl'), testCorpus(5, 100));
      const config = { ...CONFIG(), data: [at('live.jsonl')], decontaminate: false };
      await build('kept', config, { keepWork: true });
      expect([spy.mock.calls.length, scoring.mock.calls.length]).toEqual([1, 1]);
      await build('kept', { ...config, seed: 3 }, { keepWork: true });
      expect([spy.mock.calls.length, scoring.mock.calls.length]).toEqual([1, 1]);
      await build('kept', { ...config, dedup: { threshold: 0.7 } }, { keepWork: true });
      expect([spy.mock.calls.length, scoring.mock.calls.length]).toEqual([1, 2]);
      await build('kept', { ...config, dedup: false }, { keepWork: true });
      expect([spy.mock.calls.length, scoring.mock.calls.length]).toEqual([1, 3]);
      expect(readdirSync(join(at('kept'), 'drops')).sort()).toEqual(['clean', 'read', 'sample']);
      writeFileSync(at('live.jsonl'), testCorpus(6, 100));
      await build('kept', { ...config, dedup: false }, { keepWork: true });
      expect([spy.mock.calls.length, scoring.mock.calls.length]).toEqual([2, 4]);
      await build('kept-fresh', { ...config, dedup: false }, { keepWork: true });
      expect(await outputHashes(nodeHost, at('kept'))).toEqual(await outputHashes(nodeHost, at('kept-fresh')));
    } finally {
      spy.mockRestore();
      scoring.mockRestore();
    }
  });

  it('stopped at every step, it goes on to the same bytes', { timeout: 120_000 }, async () => {
    await build('whole');
    const wanted = await outputHashes(nodeHost, at('whole'));
    const labels = new Set<string>();
    let stops = 0;
    for (let stop = 0; ; stop++) {
      let calls = 0;
      const flag = { requested: false };
      const onProgress = ({ step }: { step: string }): void => {
        labels.add(step);
        if (calls++ === stop * 6) flag.requested = true;
      };
      const done = await build('stopped', CONFIG(), { stop: flag, onProgress }).then(
        () => true,
        (error) => {
          expect(error).toMatchObject({ kind: 'interrupted' });
          return false;
        },
      );
      if (done) break;
      stops++;
      expect(stops).toBeLessThan(100);
    }
    expect(stops).toBeGreaterThan(3);
    expect(await outputHashes(nodeHost, at('stopped'))).toEqual(wanted);
    expect([...labels].length).toBeGreaterThan(6);
  });

  it('a document that makes a rule throw is counted, and the others finish', async () => {
    const real = MAKERS.clean;
    const spy = vi.spyOn(MAKERS, 'clean').mockImplementation(async (config, context) => {
      const step = await real(config, context);
      return {
        name: 'clean',
        apply: (doc, tally) => {
          if (doc.id === '2-7') throw new Error('a rule broke');
          return step.apply(doc, tally);
        },
      };
    });
    try {
      const result = await build('throws', { ...CONFIG(), data: [at('two.jsonl')], sample: false });
      expect(result.drops['clean.failed']).toBe(1);
      expect(result.documentsOut).toBeGreaterThan(100);
      const report = await readReport(nodeHost.files, join(at('throws'), 'report.json'));
      expect(report?.examples['clean.failed']).toMatchObject([{ id: '2-7', note: 'a rule broke' }]);
    } finally {
      spy.mockRestore();
    }
  });

  it('stages have packs of their own; nothing is lost between them', { timeout: 60_000 }, async () => {
    const sample = {
      stages: [
        { name: 'base', others: { epochs: 0.5 } },
        { name: 'anneal', fresh: true },
      ],
    };
    const result = await build('stages', { ...CONFIG(), sample });
    expect(Object.keys(result.packed)).toEqual(['base', 'anneal']);
    const tokens = Object.values(result.packed).map((dir) => JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')).tokens as number);
    expect(tokens[0] + tokens[1]).toBe(result.tokensPacked);
    expect(result.copies).toBe(0);
    const { tokensPacked } = await build('unstaged', { ...CONFIG(), sample: false });
    expect(result.tokensPacked).toBe(tokensPacked);
    expect(readdirSync(at('stages'))).not.toContain('manifest.json');
  });
});

describe('single steps', () => {
  it('one after the other give what they give together', { timeout: 60_000 }, async () => {
    const config = { ...CONFIG(), sample: false, tokenizer: null };
    await build('all', config);
    const texts = (dir: string): string[] =>
      readdirSync(dir)
        .filter((name) => /^shard-\d+\.jsonl$/.test(name))
        .sort()
        .flatMap((name) => readFileSync(join(dir, name), 'utf8').trim().split('\n'))
        .filter((line) => line !== '');
    const whole = texts(join(at('all'), 'work/score'));
    let data = config.data;
    for (const only of ['clean', 'dedup', 'decontaminate', 'score'] as const) {
      const result = await build(`only-${only}`, { ...config, data }, { only: ['read', only] });
      expect(result.documents).toBe(join(at(`only-${only}`), 'work', only));
      data = [result.documents ?? ''];
    }
    expect(texts(data[0])).toEqual(whole);
    expect(whole.length).toBeGreaterThan(200);
  });

  it('sampling without packing writes what was chosen, copies and all', async () => {
    const result = await build('sampled', { ...CONFIG(), tokenizer: null });
    const dir = result.documents ?? '';
    const lines = readdirSync(dir)
      .filter((name) => /^shard-\d+\.jsonl$/.test(name))
      .flatMap((name) => readFileSync(join(dir, name), 'utf8').trim().split('\n'))
      .filter((line) => line !== '');
    expect(lines).toHaveLength(result.documentsOut + result.copies);
    expect(result.tokensPacked).toBe(0);
  });
});

describe('what is refused', () => {
  it('a folder with something else in it, a file, a second build at the same time', async () => {
    writeFileSync(at('note.txt'), 'mine');
    await expect(buildData(nodeHost, { config: parseBuild(CONFIG()), out: folder, version: 'test' })).rejects.toThrow(/which no build wrote/);
    await expect(build('note.txt')).rejects.toThrow(/is a file/);
    const first = build('locked');
    await vi.waitFor(() => expect(existsSync(join(at('locked'), 'lock.json'))).toBe(true));
    await expect(build('locked')).rejects.toMatchObject({ kind: 'locked' });
    await first;
  });

  it('nothing left to pack is told with the reasons, and the report is there', async () => {
    writeFileSync(at('short.jsonl'), '{"text":"no"}\n{"text":"nope"}\n');
    await expect(build('nothing', { data: [at('short.jsonl')], tokenizer: MODEL })).rejects.toThrow(/nothing is left to pack: of 2 .*clean\.few-characters 2/);
    expect(existsSync(join(at('nothing'), 'report.html'))).toBe(true);
  });
});

/** What a recipe writes for a variable. */
const variable = (name: string): string => `$\{${name}}`.replace('\\', '');

describe('recipes', () => {
  const recipe = async (text: string, changes = {}) => {
    writeFileSync(at('recipe.yaml'), text);
    return readRecipe({ ...nodeHost, env: (name) => ({ SCION_DATA: '/data', SECRET: 'x' })[name] }, at('recipe.yaml'), changes);
  };

  it('paths are seen from the recipe, variables are put in, flags stand above', async () => {
    const config = await recipe(
      `data:\n  - a/*.jsonl\n  - { path: "${variable('SCION_DATA')}/b", category: c }\ntokenizer: ../tok\nclean: book\ndedup: false\nscore:\n  safety:\n    - { name: s, file: words.txt }\n`,
      { tokenizer: 'mine' },
    );
    expect(config.data.map(({ paths }) => paths)).toEqual([[at('a/*.jsonl')], ['/data/b']]);
    expect(config.tokenizer).toBe(join(process.cwd(), 'mine'));
    expect(config.score?.safety[0].file).toBe(at('words.txt'));
    expect(config.dedup).toBeNull();
    expect(config.clean?.rules).toBe('book');
    expect(config.decontaminate).toBeNull();
  });

  it.each([
    ['data: [x]\nclaen: web\n', /recipe\.yaml:1: recipe: .*"claen"/],
    ['data: [x]\nclean:\n  rules: web\n  drops:\n    few-wrods: 3\n', /recipe\.yaml:5: clean\.drops: .*few-wrods/],
    ['data: [x]\npack:\n  length: 0\n', /recipe\.yaml:3: pack\.length: /],
    ['clean: web\n', /recipe\.yaml:1: data: /],
    [`data:\n  - x\n  - "${variable('SECRET')}/y"\n`, /recipe\.yaml:3: data\.1: \$\{SECRET\}: a recipe may use variables named SCION_/],
    [`data: ["${variable('SCION_NONE')}"]\n`, /SCION_NONE\} is not set/],
    ['data: [x\n', /recipe\.yaml:\d: /],
    ['- x\n', /a recipe is a mapping/],
    [
      `a: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefghij'
        .split('')
        .map((c, i) => `${c}: &${c} [${new Array(9).fill(`*${'abcdefghi'[i]}`).join(', ')}]`)
        .join('\n')}\n`,
      /[Aa]lias/,
    ],
  ])('%j', async (text, message) => {
    await expect(recipe(text)).rejects.toThrow(message);
    await expect(recipe(text)).rejects.toMatchObject({ kind: 'input' });
  });

  it('no file, a huge file', async () => {
    await expect(readRecipe(nodeHost, at('none.yaml'))).rejects.toThrow(/no recipe at/);
    writeFileSync(at('huge.yaml'), ' '.repeat(2 << 20));
    await expect(readRecipe(nodeHost, at('huge.yaml'))).rejects.toThrow(/is it data/);
  });
});
