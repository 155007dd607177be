/**
 * Looks into a build that was written by hand into files in memory: what is found, in which order and how much of it, that what a
 * terminal gets can do nothing to it, and that the text of a pack is that of its documents.
 */
import { resolve } from 'node:path';
import { parseHTML } from 'linkedom';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildReport } from '../../../test/data/build-report.ts';
import { MemoryFiles } from '../../../test/faults/memory-files.ts';
import { isScionError } from '../../base/errors.ts';
import type { Doc } from '../../data/doc.ts';
import { packShards } from '../../data/packed/index.ts';
import { host as realHost } from '../../host/index.ts';
import { loadTokenizer } from '../../text/tokenizer.ts';
import { look, type Question, type View, viewHtml, viewLines } from './index.ts';
import { columnsOf, type Paper, wrap } from './ink.ts';
import { runsOf } from './packs.ts';

/** LLaMA's kind of tokenizer: puts a space before a text, and falls back to bytes. */
const TOKENIZER = resolve(import.meta.dirname, '../../../test/golden/text/sp-llama.model');
const PLAIN: Paper = { width: 120, colour: false };
const HOSTILE = '\x1b[2J\x1b]0;own\x07 </div><script>alert(1)</script>\u202egnp\r\x9b31m';

const bytesOf = (records: readonly unknown[]) => new TextEncoder().encode(records.map((one) => `${JSON.stringify(one)}\n`).join(''));

const DROPS = {
  'clean/shard-00000.jsonl': [
    { id: 'poems:17', category: 'zh_poetry', reason: 'clean.too-short', note: '12 of at least 20 characters', text: '山雨初停风又起' },
    { id: 'web:4', category: 'en_web', reason: 'clean.too-short', text: 'Click here' },
    { id: 'web:9', category: 'en_web', reason: 'clean.repeated-lines', text: HOSTILE },
  ],
  'clean/shard-00001.jsonl': [{ id: 'web:12', category: 'en_web', reason: 'clean.too-short', text: 'Buy' }],
  'near/shard-00000.jsonl': [
    {
      id: 'web:21',
      category: 'en_web',
      reason: 'near.duplicate',
      text: 'The red house stood alone.',
      keeper: { shard: 0, index: 1, id: 'web:20' },
      similarity: 0.9,
    },
    { id: 'web:22', category: 'en_web', reason: 'near.duplicate', text: 'Gone without its keeper.', keeper: { shard: 0, index: 7, id: 'web:gone' } },
  ],
};
const KEPT: Doc[] = [
  { id: 'poems:1', category: 'zh_poetry', target: '一行白鸟过桥西', title: '晚', scores: { quality: 0.91234567 }, tags: ['verse'] },
  { id: 'web:20', category: 'en_web', target: 'The blue house stood alone.' },
  {
    id: 'chat:1',
    category: 'chat',
    target: '',
    messages: [
      { role: 'user', content: 'Hello?' },
      { role: 'assistant', content: 'Good day.' },
    ],
  },
];

let files: MemoryFiles;
const packed: Doc[] = [
  { id: 'a', category: 'en', source: 'Question one? ', target: 'The answer, learnt.' },
  { id: 'b', category: 'zh', target: '山雨初停风又起，一行白鸟过桥西。' },
  { id: 'c', category: 'en', target: 'x'.repeat(150) },
];

beforeAll(async () => {
  files = new MemoryFiles();
  for (const dir of ['/in', '/out', '/out/drops', '/out/drops/clean', '/out/drops/near', '/out/work', '/out/work/clean', '/out/work/near', '/empty', '/packs'])
    await files.makeDir(dir);
  await files.write('/out/report.json', new TextEncoder().encode(JSON.stringify(buildReport())));
  for (const [name, records] of Object.entries(DROPS)) await files.write(`/out/drops/${name}`, bytesOf(records));
  // Not a shard: must not be read.
  await files.write('/out/drops/clean/shard-00002.jsonl.partial', new TextEncoder().encode('{"half'));
  await files.write('/out/work/clean/shard-00000.jsonl', bytesOf([{ id: 'old', category: 'x', target: 'of an earlier step' }]));
  await files.write('/out/work/near/shard-00000.jsonl', bytesOf(KEPT));
  await files.write('/in/shard-00000.jsonl', bytesOf(packed));
  const machine = await realHost();
  await packShards(
    { ...machine, files },
    { shards: ['/in/shard-00000.jsonl'], tokenizer: await loadTokenizer(machine.files, TOKENIZER), T: 64, buckets: 2, scratch: '/scratch', out: '/packs' },
  );
});

const ask = (question: Partial<Question>, dir = '/out'): Promise<View> => look(files, dir, { limit: 20, ...question });
const told = async (question: Partial<Question>, dir = '/out', paper = PLAIN): Promise<string> => viewLines(await ask(question, dir), paper).join('\n');

async function refusal(question: Partial<Question>, dir = '/out'): Promise<string> {
  try {
    await ask(question, dir);
  } catch (error) {
    if (isScionError(error)) return `${error.kind}: ${error.message}`;
    throw error;
  }
  throw new Error('taken');
}

describe('drops', () => {
  it('are found by reason, by step and by category, shard by shard', async () => {
    const ids = async (question: Partial<Question>) => {
      const view = await ask(question);
      return view.kind === 'drops' ? view.items.map(({ id }) => id) : [];
    };
    expect(await ids({ drops: '' })).toEqual(['poems:17', 'web:4', 'web:9', 'web:12', 'web:21', 'web:22']);
    expect(await ids({ drops: 'clean.too-short' })).toEqual(['poems:17', 'web:4', 'web:12']);
    expect(await ids({ drops: 'clean' })).toEqual(['poems:17', 'web:4', 'web:9', 'web:12']);
    expect(await ids({ drops: 'clean', category: 'zh_poetry' })).toEqual(['poems:17']);
    expect(await ids({ drops: '', limit: 2 })).toEqual(['poems:17', 'web:4']);
  });

  it('say what was found and how many there are in all', async () => {
    const text = await told({ drops: 'clean.too-short' });
    expect(text).toContain('poems:17  zh_poetry · clean.too-short: 12 of at least 20 characters');
    expect(text).toContain('  山雨初停风又起');
    expect(text).toContain('3 of 1,246 dropped documents for clean.too-short');
  });

  it('a reason that took nothing is refused with those that did', async () => {
    expect(await refusal({ drops: 'clean.to-short' })).toMatch(
      /^input: .*"clean\.to-short"; reasons are clean\.failed, clean\.repeated-lines, clean\.symbol-ratio, clean\.too-short, /,
    );
  });
});

describe('documents', () => {
  it('are those of the last step in work/, with scores and tags', async () => {
    const text = await told({ documents: true });
    expect(text).toContain('poems:1  zh_poetry · 晚 · quality 0.9123 · verse');
    expect(text).toContain('[user] Hello?\n  [assistant] Good day.');
    expect(text).toContain('as "near" left them');
    expect(text).not.toContain('of an earlier step');
  });

  it('come from the packs once work/ is gone', async () => {
    const view = await ask({ documents: true }, '/packs');
    const texts = view.kind === 'documents' ? view.items.map(({ text }) => text).sort() : [];
    expect(texts.length).toBe(3);
    expect(texts).toContain('Question one? The answer, learnt.');
    expect(texts).toContain('山雨初停风又起，一行白鸟过桥西。');
    const zh = await ask({ documents: true, category: 'zh' }, '/packs');
    expect(zh.kind === 'documents' && zh.items.length === 1 && zh.total === 1).toBe(true);
  });

  it('one is told by all that is known of it', async () => {
    expect(await told({ id: 'web:20' })).toContain('The blue house stood alone.');
    const text = await told({ id: 'web:21' });
    expect(text).toContain('near.duplicate');
    expect(text).toContain('kept was web:20');
    expect(await refusal({ id: 'no such' })).toMatch(/^input: .*no document "no such"/);
  });
});

describe('duplicates', () => {
  it('stand side by side with what was kept, its text from work/', async () => {
    const view = await ask({ duplicates: true });
    const pairs = view.kind === 'duplicates' ? view.items : [];
    // Two examples of the report, then the drops.
    expect(pairs.map(({ a, b }) => [a.id, b.id])).toEqual([
      ['web:12', 'web:730'],
      ['poems:4', 'poems:911'],
      ['web:20', 'web:21'],
      ['web:gone', 'web:22'],
    ]);
    const text = await told({ duplicates: true });
    expect(text).toMatch(/^ {2}The \[-blue-\] house stood alone\. +│ The \{\+red\+\} house stood alone\.$/m);
    expect(text).toContain('its text is no longer there');
    expect(text).toContain('near.duplicate · similarity 0.900');
  });

  it('stand one below the other where there is no room', async () => {
    const text = await told({ duplicates: true }, '/out', { width: 60, colour: false });
    expect(text).toMatch(/^ {2}< The \[-blue-\] house/m);
    expect(text).toMatch(/^ {2}> The \{\+red\+\} house/m);
    for (const line of text.split('\n')) expect(columnsOf(line), line).toBeLessThanOrEqual(60);
  });

  it('are coloured only on request', async () => {
    const text = await told({ duplicates: true }, '/out', { width: 120, colour: true });
    expect(text).toContain('\x1b[31;4mblue\x1b[0m');
    expect(text).not.toContain('[-');
  });
});

describe('packs', () => {
  it('are listed by bucket with their borders', async () => {
    const view = await ask({ packs: '' }, '/packs');
    if (view.kind !== 'buckets') throw new Error(view.kind);
    expect(view.buckets.length).toBe(2);
    const text = viewLines(view, PLAIN).join('\n');
    expect(text).toMatch(/^ {2}bucket +packs +segments +tokens +learnt +full$/m);
    expect(text).toMatch(/^ {4}0 {2}\|.*(en|zh) \d+.*\|/m);
    const one = await ask({ packs: '1' }, '/packs');
    expect(one.kind === 'buckets' && one.buckets.map(({ bucket }) => bucket)).toEqual([1]);
  });

  it('show every document once, what is learnt and what is not', async () => {
    const listing = await ask({ packs: '' }, '/packs');
    if (listing.kind !== 'buckets') throw new Error(listing.kind);
    const parts = new Map<number, { from: number; text: string }[]>();
    let asked = '';
    for (const { bucket, packs } of listing.buckets) {
      for (let pack = 0; pack < packs; pack++) {
        const view = await ask({ packs: `${bucket}:${pack}` }, '/packs');
        if (view.kind !== 'pack') throw new Error(view.kind);
        for (const { document, from, runs, length, learnt } of view.pack.segments) {
          parts.set(document, [
            ...(parts.get(document) ?? []),
            {
              from,
              text: runs
                .filter(({ mark }) => !mark)
                .map(({ text }) => text)
                .join(''),
            },
          ]);
          expect(learnt).toBeLessThanOrEqual(length);
          const read = runs.filter(({ learnt: one, mark }) => !one && !mark).map(({ text }) => text);
          if (read.length > 0) {
            expect(read).toEqual(['Question one? ']);
            asked = viewLines(view, PLAIN).join('\n');
          }
        }
      }
    }
    const whole = [...parts.values()]
      .map((list) =>
        list
          .sort((a, b) => a.from - b.from)
          .map(({ text }) => text)
          .join(''),
      )
      .sort();
    expect(whole).toEqual(packed.map(({ source = '', target }) => source + target).sort());
    expect(asked).toContain('⟦Question one? ⟧');
    expect(asked).toMatch(/places 0 to \d+ · \d+ tokens, \d+ learnt · document \d+/);
  });

  it('that are not there are refused', async () => {
    expect(await refusal({ packs: '0:999' }, '/packs')).toMatch(/^input: bucket 0 has the packs 0 to \d+; number 999/);
    expect(await refusal({ packs: '7' }, '/packs')).toMatch(/^input: .*number 7 was asked for/);
    expect(await refusal({ packs: '0:-1' }, '/packs')).toMatch(/^usage: --packs takes/);
    expect(await refusal({ packs: '' })).toMatch(/^input: .*manifest\.json/);
  });
});

describe('characters spelt in bytes', () => {
  it('are told byte by byte where a cut goes through them', async () => {
    const tokenizer = await loadTokenizer((await realHost()).files, TOKENIZER);
    const ids = tokenizer.encode('a鎓b');
    const learnt = new Uint8Array(ids.length).fill(1);
    const at = ids.findIndex((id) => tokenizer.pieceOf(id) === '<0xE9>');
    expect(at).toBeGreaterThan(0);
    const texts = (from: number, to: number) =>
      runsOf(tokenizer, { tokens: ids, learnt }, from, to, from === 0).map(({ text, mark }) => (mark ? `[${text}]` : text));
    expect(texts(0, ids.length)).toEqual(['a鎓b']);
    expect(texts(0, at + 1)).toEqual(['a', '[<0xE9>]']);
    expect(texts(0, at + 2)).toEqual(['a', '[<0xE9><0x8E>]']);
    expect(texts(at + 1, ids.length)).toEqual(['[<0x8E><0x93>]', 'b']);
    expect(texts(at + 1, at + 2)).toEqual(['[<0x8E>]']);
    expect(texts(at, at + 1)).toEqual(['[<0xE9>]']);
  });

  it('an id that the tokenizer does not have is a damaged file', async () => {
    const tokenizer = await loadTokenizer((await realHost()).files, TOKENIZER);
    expect(() => runsOf(tokenizer, { tokens: [tokenizer.vocabSize], learnt: new Uint8Array(1) }, 0, 1, true)).toThrow(/holds the id/);
  });
});

describe('the folder', () => {
  it('is refused where it is none, or no build wrote it', async () => {
    expect(await refusal({}, '/nowhere')).toMatch(/^input: \/nowhere is no folder/);
    expect(await refusal({}, '/empty')).toMatch(/^input: \/empty holds no data build/);
    expect(await refusal({}, '/packs')).toMatch(/^input: \/packs has no report\.json/);
    expect(await refusal({ drops: '', documents: true })).toMatch(/^usage: one look at a time; got --drops and --documents/);
  });

  it('with a damaged report is told by the field at fault', async () => {
    await files.makeDir('/bad');
    for (const [text, fault] of [
      ['{"version":1', 'not JSON'],
      ['[]', 'file:'],
      [JSON.stringify({ ...buildReport(), funnel: [{ step: 3 }] }), 'funnel.0.step'],
      [JSON.stringify({ ...buildReport(), version: 2 }), 'version'],
      ['['.repeat(100_000), 'nested'],
    ]) {
      await files.write('/bad/report.json', new TextEncoder().encode(text));
      expect(await refusal({}, '/bad')).toMatch(/^format: /);
      expect(await refusal({}, '/bad')).toContain(fault);
    }
  });

  it('tells the summary as the report does', async () => {
    const text = await told({});
    expect(text).toMatch(/^look {6}1? ?.*over 20 % of the documents/m);
    expect(text).toMatch(/^in order {2}Every document is accounted for: 7,586 read/m);
    expect(text).toMatch(/^ {2}clean\.too-short +1,246 +16\.4 % +zh_poetry 1,146$/m);
    expect(text).toMatch(/^ {2}read +7,586 /m);
    expect(viewHtml(await ask({}))).toContain('<h2 id="h-funnel">Funnel</h2>');
  });
});

describe('whatever a document holds', () => {
  const questions: Partial<Question>[] = [{ drops: '' }, { drops: 'clean.repeated-lines' }, { id: 'web:9' }];

  it.each(questions)('reaches no terminal as a command: %j', async (question) => {
    for (const colour of [false, true]) {
      const text = viewLines(await ask(question), { width: 80, colour }).join('\n');
      // Colours of our own are taken away first; nothing else may be left.
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      expect(text.replace(/\x1b\[(1|2|31;4|32;4|1;31|33|32|0)m/g, '')).not.toMatch(/[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]/);
      expect(text).toContain('‹U+001B›[2J');
    }
  });

  it.each(questions)('becomes no markup: %j', async (question) => {
    const { document } = parseHTML(viewHtml(await ask(question)));
    expect(document.querySelectorAll('script, img').length).toBe(0);
    expect(document.querySelector('main')?.textContent).toContain('</div><script>alert(1)</script>');
  });
});

describe('pages of the other views', () => {
  it.each([
    [{ duplicates: true }, '/out', 'ins', 'red'],
    [{ documents: true }, '/out', '.text', '一行白鸟过桥西'],
    [{ packs: '' }, '/packs', 'table caption', 'Buckets of packs of 64 tokens.'],
  ] as const)('%j', async (question, dir, where, text) => {
    const { document } = parseHTML(viewHtml(await ask(question, dir)));
    expect([...document.querySelectorAll(where)].map((one) => one.textContent)).toContain(text);
    expect(document.querySelectorAll('script').length).toBe(0);
  });

  it('mark what is read and not learnt', async () => {
    const found: (string | null)[] = [];
    for (const pack of ['0:0', '1:0']) {
      const { document } = parseHTML(viewHtml(await ask({ packs: pack }, '/packs')));
      expect(document.querySelectorAll('.segment').length).toBeGreaterThan(0);
      found.push(...[...document.querySelectorAll('.segment .masked')].map((one) => one.textContent));
    }
    expect(found.length).toBeLessThanOrEqual(1);
  });
});

describe('wrapping', () => {
  it('counts Chinese characters as two columns and breaks where it must', () => {
    expect(columnsOf('a山é')).toBe(4);
    const lines = wrap([{ text: '山雨初停 word averyverylongword\nx', style: 'plain' }], 8).map((line) => line.map(({ text }) => text).join(''));
    expect(lines).toEqual(['山雨初停', 'word ', 'averyver', 'ylongwor', 'd', 'x']);
    const glued = wrap(
      [
        { text: 'see [', style: 'plain' },
        { text: 'ratio', style: 'gone' },
        { text: '] 1.5 %', style: 'plain' },
      ],
      9,
    );
    expect(glued.map((line) => line.map(({ text }) => text).join(''))).toEqual(['see ', '[ratio] ', '1.5 %']);
    expect(wrap([], 8)).toEqual([[]]);
  });
});
