/**
 * Decontamination on planted items: every indexed item must be found whole, inside other text and in disguise, clean text
 * must not be touched, and a window is what brute force says it is. Items are made up here, so nothing is hidden in a fixture.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import type { Doc } from '../../data/doc.ts';
import { host } from '../../host/index.ts';
import type { Host } from '../../host/types.ts';
import { foldedText, UnitScanner } from '../score/units.ts';
import { isDrop } from '../step.ts';
import { GramTable, Rolling, windowHash } from './grams.ts';
import { buildIndex, ContaminationIndex, createDecontaminator, cutSpans, Matcher, touchedRows } from './index.ts';
import { readItems } from './items.ts';

let machine: Host;
let dir: string;
beforeAll(async () => {
  machine = await host();
  dir = mkdtempSync(join(tmpdir(), 'scion-decontaminate-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const random = new Random(5);
const word = (): string => Array.from({ length: 3 + random.below(7) }, () => String.fromCharCode(97 + random.below(26))).join('');
const words = (n: number): string => Array.from({ length: n }, word).join(' ');
const han = (n: number): string => String.fromCharCode(...Array.from({ length: n }, () => 0x4e00 + random.below(0x5000)));

const write = (name: string, text: string): string => {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
};
const doc = (target: string): Doc => ({ id: 'x', category: 'web', target });
const counter = (): { counts: Record<string, number>; count: (name: string, by?: number) => void } => {
  const counts: Record<string, number> = {};
  return {
    counts,
    count: (name, by = 1) => {
      counts[name] = (counts[name] ?? 0) + by;
    },
  };
};

describe('rolling hashes', () => {
  it('are those of the window computed alone, at every place', () => {
    const hashes = Uint32Array.from({ length: 200 }, () => random.u32());
    for (const n of [1, 2, 13, 20]) {
      const rolling = new Rolling(n);
      for (let i = 0; i < hashes.length; i++) {
        rolling.push(hashes, i);
        if (i >= n - 1) expect([rolling.low, rolling.high]).toEqual(windowHash(hashes, i - n + 1, i + 1));
      }
    }
  });

  it('a table holds what a Map holds', () => {
    const table = new GramTable();
    const map = new Map<string, number>();
    for (let i = 0; i < 5000; i++) {
      // Few different values, so that keys meet again and halves collide.
      const low = random.below(60) | 0;
      const high = (random.below(60) * 0x04000001) | 0;
      table.set(low, high, i);
      map.set(`${low},${high}`, i);
    }
    expect(table.size).toBe(map.size);
    for (let low = 0; low < 62; low++) {
      for (let h = 0; h < 62; h++) {
        const high = (h * 0x04000001) | 0;
        expect(table.get(low, high)).toBe(map.get(`${low},${high}`) ?? -1);
      }
    }
  });
});

describe('items', () => {
  const items = async (path: string, options = {}) => {
    const found = [];
    for await (const item of readItems(machine.files, path, options)) found.push(item);
    return found;
  };

  it('a table without a header keeps its first row, whatever its answers are called', async () => {
    const path = write('headless.csv', '"Which number, if any, is even?",2,2,3,"5 or\n7",A\nSecond question here,a,b,c,d,B\n');
    const found = await items(path);
    expect(found.map((i) => i.row)).toEqual([1, 3]);
    expect(found[0].parts).toEqual([
      { text: 'Which number, if any, is even?', option: false },
      { text: '2', option: true },
      { text: '2', option: true },
      { text: '3', option: true },
      { text: '5 or\n7', option: true },
    ]);
  });

  it('a table with a header, records of JSON Lines and nested JSON give the texts and not ids or answer letters', async () => {
    const csv = await items(write('header.csv', 'id,question,A,B,answer\n0,谁写了它？,甲,乙,A\n'));
    expect(csv[0].parts.map((p) => p.text)).toEqual(['谁写了它？', '甲', '乙']);
    expect(csv[0].row).toBe(2);
    const jsonl = await items(write('x.jsonl', '{"qid": "q1", "passage": "p p", "options": ["(A) x y", "(B) z"], "label": "B"}\n{"question": "q2"}\n'));
    expect(jsonl.map((i) => i.parts)).toEqual([
      [
        { text: 'p p', option: false },
        { text: '(A) x y', option: true },
        { text: '(B) z', option: true },
      ],
      [{ text: 'q2', option: false }],
    ]);
    const json = await items(write('x.json', '{"keywords": "k", "example": [{"question": "one", "answer": ["A"]}, {"question": "two"}]}'));
    expect(json.map((i) => [i.row, i.parts.map((p) => p.text)])).toEqual([
      [1, ['one']],
      [2, ['two']],
    ]);
    const grouped = await items(write('y.json', '{"a": [{"question": "one"}], "b": [{"question": "two"}, "three"]}'));
    expect(grouped.map((i) => i.parts[0].text)).toEqual(['one', 'two', 'three']);
  });

  it('a broken file is told with its name', async () => {
    await expect(items(write('bad.json', '{"a": '))).rejects.toThrow(/bad\.json is not JSON/);
    await expect(buildIndex(machine, { sets: [{ name: 'a', data: [write('a.png', 'x')] }] }, join(dir, 'i'))).rejects.toThrow(/no evaluation file/);
    await expect(buildIndex(machine, { sets: [{ name: 'a b', data: ['x'] }] }, join(dir, 'i'))).rejects.toThrow(/without spaces/);
  });
});

describe('planted items', () => {
  const english = Array.from({ length: 60 }, (_, i) => ({ question: `${words(13 + (i % 30))}?`, options: [words(1), words(2), words(14)] }));
  const chinese = Array.from({ length: 60 }, (_, i) => ({ question: `${han(20 + (i % 40))}（　　）`, options: [han(2), han(3), han(25)] }));
  const short = [{ question: words(8) }, { question: han(12) }, { question: words(5), options: [words(3), words(2), words(1)] }];
  const tooShort = [{ question: words(3) }, { question: han(4) }, { question: '' }];
  const all = [...english, ...chinese, ...short];
  let index: string;
  let matcher: Matcher;

  beforeAll(async () => {
    const path = write('set.jsonl', [...all, ...tooShort].map((i) => JSON.stringify(i)).join('\n'));
    index = join(dir, 'planted.index');
    const report = await buildIndex(machine, { sets: [{ name: 'made-up', data: [path] }] }, index);
    expect(report.sets['made-up']).toMatchObject({ files: 1, items: 126, tooShort: 3 });
    matcher = new Matcher(await ContaminationIndex.load(machine.files, index));
  });

  const rowOf = (i: number): string => `set.jsonl:${i + 1}`;
  const rowsFound = (text: string): Set<string> => new Set(matcher.find(text).map((m) => matcher.index.names[m.item].row));
  const page = (item: { question: string; options?: string[] }): string =>
    [item.question, ...(item.options ?? []).map((o, i) => `${'ABCD'[i]}. ${o}`)].join('\n');

  it('are all found alone, inside a document and in disguise', () => {
    all.forEach((item, i) => {
      const plain = [item.question, ...(('options' in item && item.options) || [])].join('\n');
      expect(rowsFound(plain)).toContain(rowOf(i));
      expect(rowsFound(page(item)), `row ${i}`).toContain(rowOf(i));
      expect(rowsFound(`${words(300)} ${page(item)} ${han(3)}`)).toContain(rowOf(i));
      const wide = plain.replace(/[a-z]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0));
      expect(rowsFound(wide)).toContain(rowOf(i));
      const shouted = plain.toUpperCase().replace(/[?（　　）\n]/g, '  …\n\u200b');
      expect(rowsFound(`《${shouted}》`)).toContain(rowOf(i));
    });
  });

  it('every match says where it stands', () => {
    const before = `${words(40)}. `;
    const item = chinese[3];
    const matches = matcher.find(`${before}${item.question}${words(10)}`);
    expect(Math.min(...matches.map((m) => m.start))).toBe(before.length);
    expect(Math.max(...matches.map((m) => m.end))).toBeLessThanOrEqual(before.length + item.question.length);
    expect(matches).toHaveLength(item.question.length - 4 - 19);
  });

  it('text of a window less is not found, and clean text never', () => {
    const cut = english[40].question.split(' ').slice(0, 12).join(' ');
    expect(matcher.find(cut)).toEqual([]);
    expect(matcher.find(chinese[20].question.slice(0, 19))).toEqual([]);
    for (let i = 0; i < 50; i++) expect(matcher.find(`${words(200)}\n${han(300)}`)).toEqual([]);
    for (const ugly of ['', ' ', 'a', '\u0000', '\ud800', '\udc00\ud800', '，'.repeat(5000)]) expect(matcher.find(ugly)).toEqual([]);
  });

  it('the step drops with a note that names set and row, and counts rows', async () => {
    const step = await createDecontaminator({ index }, machine);
    const tally = counter();
    const clean = doc(words(100));
    expect(step.apply(clean, tally)).toBe(clean);
    const result = step.apply(doc(`${words(50)}\n${page(english[7])}`), tally);
    expect(isDrop(result) && result).toMatchObject({ reason: 'decontaminate.overlap', note: expect.stringMatching(/^100 % of made-up set\.jsonl:8 /) });
    // Chats are searched turn by turn.
    const chat: Doc = {
      id: 'c',
      category: 'chat',
      target: '',
      messages: [
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: page(english[7]) },
      ],
    };
    expect(isDrop(step.apply(chat, tally))).toBe(true);
    expect(isDrop(step.apply({ ...doc(words(3)), source: chinese[0].question }, tally))).toBe(true);
    expect(touchedRows(tally.counts)).toEqual({ 'made-up': { documents: 3, rows: { 'set.jsonl:8': 2, 'set.jsonl:61': 1 } } });
  });

  it('coverage and number of matches are thresholds', async () => {
    const part = english[29].question.split(' ').slice(0, 14).join(' ');
    // 42 words have 30 windows, of which two are here; the long option has two more.
    const apply = async (more: object) => isDrop((await createDecontaminator({ index, ...more }, machine)).apply(doc(part), counter()));
    expect(await apply({})).toBe(true);
    expect(await apply({ minMatches: 2 })).toBe(true);
    expect(await apply({ minMatches: 3 })).toBe(false);
    expect(await apply({ minCoverage: 2 / 32 })).toBe(true);
    expect(await apply({ minCoverage: 0.07 })).toBe(false);
  });

  it('cutting takes the sentences that hold it and leaves the rest; too much is dropped', async () => {
    const step = await createDecontaminator({ index, action: 'cut' }, machine);
    const tally = counter();
    const before = `${words(200)}.`;
    const after = ` ${words(200)}.`;
    const kept = step.apply(doc(`${before} So it was: ${english[5].question}${after}`), tally) as Doc;
    expect(kept.target).toBe(`${before}\n${after}`);
    expect(matcher.find(kept.target)).toEqual([]);
    expect(tally.counts['decontaminate.cut']).toBe(1);
    const most = step.apply(doc(`${words(3)}. ${english[5].question}`), tally);
    expect(isDrop(most) && most.note).toMatch(/cuts? would take/);
  });

  it('an index of something else is refused', async () => {
    await expect(createDecontaminator({ index: join(dir, 'none') }, machine)).rejects.toThrow(/no index at/);
    await expect(createDecontaminator({ index: write('junk', 'junk') }, machine)).rejects.toThrow(/junk/);
    await expect(createDecontaminator({ index, action: 'burn' }, machine)).rejects.toThrow(/action/);
  });
});

describe('common windows', () => {
  it('what more than maxItems items share is no evidence; a passage under several questions is', async () => {
    const formula = words(15);
    const passage = words(60);
    const rows = [
      ...Array.from({ length: 12 }, () => ({ question: `${formula} ${words(20)}` })),
      ...Array.from({ length: 12 }, () => ({ passage, question: words(20) })),
    ];
    const path = write('common.jsonl', rows.map((r) => JSON.stringify(r)).join('\n'));
    const index = join(dir, 'common.index');
    const report = await buildIndex(machine, { sets: [{ name: 'c', data: [path] }] }, index);
    // Three windows of the formula; and the last of the passage with the first of each question are each item's own.
    expect(report.common).toBe(3);
    const matcher = new Matcher(await ContaminationIndex.load(machine.files, index));
    expect(matcher.find(formula)).toEqual([]);
    expect(matcher.find(rows[3].question)).not.toEqual([]);
    expect(matcher.find(passage)).toHaveLength(48);
  });
});

describe('cutSpans', () => {
  it('joins what overlaps, keeps the rest in order', () => {
    expect(cutSpans('abcdefgh', [])).toEqual({ text: 'abcdefgh', cuts: 0, removed: 0 });
    expect(
      cutSpans('abcdefgh', [
        [2, 4],
        [3, 5],
      ]),
    ).toEqual({ text: 'ab\nfgh', cuts: 1, removed: 3 });
    expect(
      cutSpans('abcdefgh', [
        [6, 8],
        [0, 2],
      ]),
    ).toEqual({ text: 'cdef', cuts: 2, removed: 4 });
    expect(cutSpans('abcdefgh', [[0, 8]])).toEqual({ text: '', cuts: 1, removed: 8 });
  });
});

const data = process.env.SCION_DATA;
const evalDir = data ? join(data, 'eval') : '';
describe.skipIf(!data || !existsSync(evalDir))('real evaluation sets', () => {
  it('every item that is long enough is found when it is planted', async () => {
    const chosen = ['mmlu', 'cmmlu', 'ceval', 'gsm8k', 'gaokao-bench'].filter((name) => readdirSync(evalDir).includes(name));
    const sets = chosen.map((name) => ({ name, data: [join(evalDir, name)] }));
    const index = join(dir, 'real.index');
    const report = await buildIndex(machine, { sets }, index);
    const matcher = new Matcher(await ContaminationIndex.load(machine.files, index));
    const { findEvalFiles } = await import('./items.ts');
    for (const { name, data: patterns } of sets) {
      let found = 0;
      for (const path of await findEvalFiles(machine.files, patterns)) {
        for await (const item of readItems(machine.files, path)) {
          // As a page prints it: a very short item is long enough only with its letters.
          let letter = 0;
          const text = item.parts.map((p) => (p.option ? `${'ABCDEFGHIJ'[letter++]}. ${p.text}` : p.text)).join('\n');
          if (matcher.find(`${words(20)} ${text.toUpperCase().toLowerCase()} ${han(5)}`).length > 0) found++;
        }
      }
      expect(found, name).toBeGreaterThanOrEqual(report.sets[name].items - report.sets[name].tooShort);
    }
  }, 120_000);
});

describe('folding', () => {
  it('is the same for texts that differ in what does not count', () => {
    const scan = (text: string): number[] => {
      const s = new UnitScanner({ marks: false, digits: 'keep' }).scan(text);
      return Array.from(s.hashes.subarray(0, s.count));
    };
    for (const [a, b] of [
      ['Café au lait', 'CAFE\u0301  AU—LAIT'],
      ['ﬁne 1,000 ㈱', 'fine 1000 ㈱'],
      ['ＡＢＣ１２', 'abc12'],
      ['我 是，学生', '我是学生'],
      ['ガギ', 'ｶﾞｷﾞ'],
      ['so\u00adft zero\u200bwidth', 'soft zerowidth'],
    ]) {
      expect(scan(a).length).toBeGreaterThan(0);
      expect(scan(a), a).toEqual(scan(b));
      expect(foldedText(a), a).toBe(foldedText(b));
    }
    expect(scan('abc')).not.toEqual(scan('abd'));
    expect(scan('1000')).not.toEqual(scan('100'));
  });
});
