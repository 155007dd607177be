/**
 * The whole list on made-up corpora: every document accounted for against a count of the lines put in, the same bytes for any
 * number of workers, going on after a stop, redoing no more than a change asks for, single steps one after the other.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { heldOutName, openPacked } from '../../data/packed/index.ts';
import { nodeHost } from '../../host/node.ts';
import { readReport } from '../report/read.ts';
import { type BuildOptions, type BuildResult, buildData } from './build.ts';
import { chooseHeldOut } from './holdout.ts';
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

describe('held-out documents', () => {
  const texts = (path: string): string[] =>
    readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { target: string }).target);
  const heldIn = (out: string): string[] => readdirSync(join(at(out), 'validation')).sort();

  it('are in no pack, add up, are listed, and are the same bytes for any number of workers and after stops', { timeout: 120_000 }, async () => {
    const config = { ...CONFIG(), sample: false, validation: { share: 0.1, documents: 12 } };
    const result = await build('held', config, { workers: 1, keepWork: true });
    const dropped = Object.values(result.drops).reduce((a, b) => a + b, 0);
    expect(result.documentsIn).toBe(linesIn('one.jsonl', 'two.jsonl'));
    expect(result.documentsIn).toBe(result.documentsOut + dropped + result.documentsHeldOut);
    // A tenth of some 150 documents a category, twelve at most: the limit is met somewhere, and no category has none.
    const { validation } = await openPacked(nodeHost.files, at('held')).then(({ manifest }) => manifest);
    expect(validation.map(({ category }) => category)).toEqual(['books', 'news', 'web']);
    for (const { documents } of validation) expect(documents).toBeGreaterThan(0);
    expect(Math.max(...validation.map(({ documents }) => documents))).toBeLessThanOrEqual(12);
    expect(heldIn('held')).toEqual(['books.jsonl', 'news.jsonl', 'web.jsonl']);
    // What a build without it packs is what is packed here and what is held here, to the document.
    const all = await build('none-held', { ...config, validation: false }, { keepWork: true });
    const kept = (out: string, step: string): string[] =>
      readdirSync(join(at(out), 'work', step))
        .filter((name) => /^shard-\d+\.jsonl$/.test(name))
        .flatMap((name) => (statSync(join(at(out), 'work', step, name)).size > 0 ? texts(join(at(out), 'work', step, name)) : []));
    const held = heldIn('held').flatMap((name) => texts(join(at('held'), 'validation', name)));
    expect(held).toHaveLength(result.documentsHeldOut);
    expect([...kept('held', 'validation'), ...held].sort()).toEqual(kept('none-held', 'score').sort());
    expect(result.tokensPacked).toBeLessThan(all.tokensPacked);
    // As a reader gets them.
    const folder = await openPacked(nodeHost.files, at('held'));
    const read = await folder.heldOut(() => nodeHost.sha256());
    expect(read.flatMap(({ texts: one }) => [...one]).sort()).toEqual(held.sort());
    validation.forEach(({ textBytes, documents }, i) => {
      expect(read[i].texts).toHaveLength(documents);
      expect(read[i].texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)).toBe(textBytes);
    });
    const report = await readReport(nodeHost.files, join(at('held'), 'report.json'));
    expect(report?.heldOut).toEqual(Object.fromEntries(validation.map(({ category, documents, textBytes }) => [category, { documents, bytes: textBytes }])));
    expect(readFileSync(join(at('held'), 'report.html'), 'utf8')).toContain('held out for validation');
    expect(readFileSync(join(at('held'), 'report.html'), 'utf8')).toContain('Every document is accounted for');

    const wanted = await outputHashes(nodeHost, at('held'));
    await build('held-3', config, { workers: 3 });
    expect(await outputHashes(nodeHost, at('held-3'))).toEqual(wanted);
    let stops = 0;
    for (let stop = 0; ; stop++) {
      let calls = 0;
      const flag = { requested: false };
      const onProgress = ({ step }: { step: string }): void => {
        if (/validation|hold out/.test(step) && calls++ === stop) flag.requested = true;
      };
      const done = await build('held-stopped', config, { stop: flag, onProgress }).then(
        () => true,
        () => false,
      );
      if (done) break;
      stops++;
      expect(stops).toBeLessThan(100);
    }
    expect(stops).toBeGreaterThan(3);
    expect(await outputHashes(nodeHost, at('held-stopped'))).toEqual(wanted);
    // Asked for no more, it is gone.
    await build('held-3', { ...config, validation: false });
    expect(existsSync(join(at('held-3'), 'validation'))).toBe(false);
    expect(await outputHashes(nodeHost, at('held-3'))).toEqual(await outputHashes(nodeHost, at('none-held')));
  });

  it('stages share one set; a damaged or missing file is told', { timeout: 60_000 }, async () => {
    const sample = {
      stages: [
        { name: 'base', others: { epochs: 0.5 } },
        { name: 'anneal', fresh: true },
      ],
    };
    const result = await build('held-stages', { ...CONFIG(), sample, validation: { share: 0.05 } });
    const sets = [];
    for (const dir of Object.values(result.packed)) sets.push(await (await openPacked(nodeHost.files, dir)).heldOut(() => nodeHost.sha256()));
    expect(sets).toHaveLength(2);
    expect(sets[0]).toEqual(sets[1]);
    expect(sets[0].reduce((sum, { texts: one }) => sum + one.length, 0)).toBe(result.documentsHeldOut);
    const folder = await openPacked(nodeHost.files, result.packed.base);
    const path = join(at('held-stages'), 'validation', heldIn('held-stages')[0]);
    writeFileSync(path, readFileSync(path, 'utf8').replace('the', 'teh'));
    await expect(folder.heldOut(() => nodeHost.sha256())).rejects.toThrow(/is damaged or was changed; build the data again, or name other texts/);
    rmSync(path);
    await expect(folder.heldOut(() => nodeHost.sha256())).rejects.toThrow(/is missing, though the manifest lists it/);
  });

  it('the choice: least hashes, both limits, equal texts together, never a whole category', () => {
    const row = (category: string, documents: number, hash: number[], bytes = hash.map(() => 10), first = 0) => ({
      category,
      documents,
      hash,
      bytes,
      index: hash.map((_, i) => first + i),
    });
    const far = { documents: 1000, bytes: 1e9 };
    expect(chooseHeldOut([[row('a', 9, [5, 3])], [row('a', 9, [4]), row('b', 3, [1], [10], 7)]], { ...far, documents: 2 })).toEqual([[1], [0, 7]]);
    expect(chooseHeldOut([[row('a', 9, [5, 3])], [row('a', 9, [4]), row('b', 3, [1], [10], 7)]], far)).toEqual([
      [0, 1],
      [0, 7],
    ]);
    // The one of 100 bytes does not fit; the next one does.
    expect(chooseHeldOut([[row('a', 9, [1, 2, 3], [50, 100, 40])]], { ...far, bytes: 95 })).toEqual([[0, 2]]);
    // Equal texts (2, 2) stay together: there is room for two documents, and the first takes one of it.
    expect(chooseHeldOut([[row('a', 9, [1, 2, 2, 3])]], { ...far, documents: 2 })).toEqual([[0, 3]]);
    expect(chooseHeldOut([[row('a', 2, [1, 2]), row('b', 1, [1], [10], 7)]], far)).toEqual([[0]]);
  });

  it('files are named safely, whatever a category is called', () => {
    const used = new Set<string>();
    const names = ['zh_law', '../../etc/passwd', 'NUL', 'nul', 'Web', 'web', '法律', '医学', '', '__proto__', 'x'.repeat(300)].map((name) =>
      heldOutName(name, used),
    );
    for (const name of names) expect(name).toMatch(/^[a-z0-9][a-z0-9._-]{0,99}$/);
    expect(new Set(names).size).toBe(names.length);
    expect(names[0]).toBe('zh_law.jsonl');
    expect(names.filter((name) => /^nul\./.test(name))).toEqual([]);
    // A name that another category took by its hash.
    expect(heldOutName(names[4].replace('.jsonl', ''), used)).toMatch(/-2\.jsonl$/);
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
