/** Deduplication from shards to verdicts: every rule, every order of work, and runs that were cut off. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { edited, seeded, shinglesOf } from '../../../bench/data/dedup-oracle.ts';
import type { Doc } from '../../data/doc.ts';
import { host } from '../../host/index.ts';
import { TaskPool } from '../pipeline/pool.ts';
import { isDrop } from '../step.ts';
import { applyVerdict, type DedupInput, type DedupResult, dedupShards, readVerdict } from './index.ts';

let root = '';
let number = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'scion-dedup-'));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const random = seeded(77);
const WORDS = Array.from({ length: 3000 }, (_, i) => `w${i.toString(36)}`);
const prose = (words: number): string => Array.from({ length: words }, () => WORDS[Math.floor(random() * WORDS.length)]).join(' ');
const doc = (id: string, target: string, more: Partial<Doc> = {}): Doc => ({ id, category: 'c', target, ...more });

function shardsOf(docs: readonly Doc[], size: number): string[] {
  const folder = join(root, `in-${number++}`);
  mkdirSync(folder);
  const shards: string[] = [];
  for (let at = 0; at < docs.length; at += size) {
    const path = join(folder, `shard-${String(shards.length).padStart(5, '0')}.jsonl`);
    const lines = docs.slice(at, at + size).map((d) => `${JSON.stringify(d)}\n`);
    writeFileSync(path, lines.join(''));
    shards.push(path);
  }
  return shards;
}

interface Outcome {
  readonly result: DedupResult;
  readonly scratch: string;
  /** By id: reason of the drop, or the text that is left. */
  readonly fates: Map<string, string>;
}

async function run(shards: string[], config: DedupInput, options: { workers?: number; scratch?: string } = {}): Promise<Outcome> {
  const scratch = options.scratch ?? join(root, `work-${number++}`);
  const machine = await host();
  const pool = new TaskPool(machine, options.workers ?? 1);
  try {
    const result = await dedupShards({ host: machine, pool, scratch }, shards, config);
    const fates = new Map<string, string>();
    for (const [s, path] of result.verdicts.entries()) {
      const verdict = await readVerdict(machine.files, path);
      readFileSync(shards[s], 'utf8')
        .trimEnd()
        .split('\n')
        .filter((line) => line !== '')
        .forEach((line, index) => {
          const applied = applyVerdict(JSON.parse(line) as Doc, index, verdict);
          fates.set((JSON.parse(line) as Doc).id, isDrop(applied) ? applied.reason : applied.target);
        });
    }
    return { result, scratch, fates };
  } finally {
    await pool.end();
  }
}

const NONE: DedupInput = { exact: 'off', near: false, paragraphs: null, lines: null };

describe('equal documents', () => {
  it('go, but the first; white space and Unicode form aside', async () => {
    const shards = shardsOf([doc('a', 'One  text.\n'), doc('b', 'another'), doc('c', ' One text.'), doc('d', 'Ｏne text.'), doc('e', 'one text.')], 2);
    const { fates, result } = await run(shards, { ...NONE, exact: 'spaces' });
    expect(Object.fromEntries(fates)).toEqual({ a: 'One  text.\n', b: 'another', c: 'dedup.exact', d: 'dedup.exact', e: 'one text.' });
    expect(result.stats).toMatchObject({ documents: 5, exact: 2, near: 0, clusters: 0, pairsVerified: 0 });
    const verdict = await readVerdict((await host()).files, result.verdicts[1]);
    expect(verdict.drops[0]).toMatchObject({ index: 0, reason: 'dedup.exact', keeper: { shard: 0, index: 0, id: 'a' }, similarity: 1 });
    const strict = await run(shards, { ...NONE, exact: 'text' });
    expect([...strict.fates.values()].filter((fate) => fate === 'dedup.exact')).toEqual([]);
  });

  it('are told by the turns of a chat, and by source and target together', async () => {
    const chat = (id: string, content: string) => doc(id, '', { messages: [{ role: 'user', content }] });
    const docs = [chat('a', 'x y'), chat('b', 'x z'), chat('c', 'x y'), doc('d', 't', { source: 's' }), doc('e', 't'), doc('f', 't', { source: 's' })];
    const { fates } = await run(shardsOf(docs, 9), { ...NONE, exact: 'spaces' });
    expect([...fates].filter(([, fate]) => fate === 'dedup.exact').map(([id]) => id)).toEqual(['c', 'f']);
  });

  it('may be empty, without units, broken or long: nothing fails, ids need not be unique', async () => {
    const docs = [doc('', ''), doc('x', '…'), doc('x', '\ud800'), doc('x', '\u0000'), doc('y', 'a'), doc('y2', 'word '.repeat(200_000)), doc('z', '')];
    const { result } = await run(shardsOf(docs, 3), {});
    // The last, and NUL, which counts as white space.
    expect(result.stats).toMatchObject({ documents: 7, exact: 2, near: 0 });
    const empty = shardsOf([doc('a', 'a')], 1);
    writeFileSync(empty[0], '');
    expect((await run(empty, {})).result.stats.documents).toBe(0);
    expect((await run([], {})).result.verdicts).toEqual([]);
  });
});

describe('near-duplicates', () => {
  const base = prose(300);
  const words = base.split(' ');
  const longer = [...words, ...prose(20).split(' ')].join(' ');
  const shorter = words.slice(0, 285).join(' ');
  const docs = [
    doc('first', base, { scores: { q: 1 } }),
    doc('other', prose(300)),
    doc('longer', longer, { scores: { q: 0 } }),
    doc('shorter', shorter, { scores: { q: 2 } }),
  ];

  it.each([
    ['longest', 'longer'],
    ['first', 'first'],
    ['best:q', 'shorter'],
    ['best:unknown', 'first'],
  ])('keep %s', async (keep, stays) => {
    const { fates, result } = await run(shardsOf(docs, 2), { ...NONE, near: true, keep });
    const dropped = [...fates].filter(([, fate]) => fate === 'dedup.near').map(([id]) => id);
    expect(dropped).toEqual(['first', 'longer', 'shorter'].filter((id) => id !== stays));
    expect(result.stats).toMatchObject({ near: 2, clusters: 1, largestCluster: 3 });
    for (const { kept, similarity } of result.examples) {
      expect(kept.id).toBe(stays);
      if (similarity !== null) expect(similarity).toBeGreaterThanOrEqual(0.8);
    }
  });

  it('name the similarity that counting strings gives', async () => {
    const { result } = await run(shardsOf([docs[0], docs[2]], 1), { ...NONE, near: true });
    const [x, y] = [shinglesOf(base), shinglesOf(longer)];
    const both = [...x].filter((shingle) => y.has(shingle)).length;
    expect(result.examples[0].similarity).toBeCloseTo(both / (x.size + y.size - both), 5);
  });

  it('are not dropped below the threshold', async () => {
    const half = [...words.slice(0, 200), ...prose(100).split(' ')].join(' ');
    const pair = shardsOf([doc('a', base), doc('b', half)], 2);
    expect((await run(pair, { ...NONE, near: true })).result.stats.near).toBe(0);
    // 196 shingles of 396.
    expect((await run(pair, { ...NONE, near: true, threshold: 0.45 })).result.stats.near).toBe(1);
    expect((await run(pair, { ...NONE, near: true, threshold: 0.5 })).result.stats.near).toBe(0);
  });

  it('linked in a chain go together, or stay where they are unlike the one that is kept', async () => {
    // Each has 320 words and starts 20 later: neighbours share 296 of 336 shingles (0.88), the next but one 276 of 356 (0.775).
    const long = prose(500).split(' ');
    const chain = Array.from({ length: 5 }, (_, i) => doc(`d${i}`, long.slice(20 * i, 20 * i + 320).join(' ')));
    const drop = await run(shardsOf(chain, 2), { ...NONE, near: true, keep: 'first' });
    expect([...drop.fates.values()].filter((fate) => fate === 'dedup.near').length).toBe(4);
    expect(drop.result.stats).toMatchObject({ clusters: 1, largestCluster: 5 });
    const keep = await run(shardsOf(chain, 2), { ...NONE, near: true, keep: 'first', chains: 'keep' });
    expect([...keep.fates].filter(([, fate]) => fate === 'dedup.near').map(([id]) => id)).toEqual(['d1', 'd3']);
  });

  it('are found in groups far above maxGroup, with few comparisons', async () => {
    const two = [prose(200), prose(200)];
    const many = Array.from({ length: 400 }, (_, i) => doc(`${i}`, `${two[i % 2]} e${i}`));
    const { result } = await run(shardsOf(many, 90), { ...NONE, near: true, maxGroup: 8 });
    expect(result.stats).toMatchObject({ near: 398, clusters: 2, largestCluster: 200 });
    expect(result.stats.pairsVerified).toBeLessThan(2000);
  });
});

describe('contained documents', () => {
  const small = Array.from({ length: 3 }, () => prose(150));
  const big = (...parts: string[]) => [prose(600), ...parts, prose(500)].join('\n\n');
  it('go where the rule is on; two long texts with the same short one both stay', async () => {
    const docs = [doc('s0', small[0]), doc('l01', big(small[0], small[1])), doc('l0', big(small[0])), doc('s1', small[1]), doc('s2', small[2])];
    const shards = shardsOf(docs, 2);
    expect((await run(shards, { ...NONE, near: true })).result.stats.near).toBe(0);
    const { fates, result } = await run(shards, { ...NONE, near: true, containment: {} });
    expect([...fates].filter(([, fate]) => fate === 'dedup.contained').map(([id]) => id)).toEqual(['s0', 's1']);
    expect(result.stats).toMatchObject({ contained: 2, near: 0, clusters: 0 });
    expect(result.examples.map(({ similarity }) => similarity)).toEqual([1, 1]);
    // Shorter than minShingles says.
    expect((await run(shards, { ...NONE, containment: { minShingles: 200 } })).result.stats.contained).toBe(0);
  });
});

describe('repeated paragraphs and lines', () => {
  const notice = prose(60);
  it('are cut but for their first place, and a document of nothing else goes', async () => {
    const docs = [
      doc('a', `A text of its own.\n\n${notice}\n\nThe end.`),
      doc('b', `Another text.\n\n${notice}\n\n${prose(40)}`),
      doc('c', notice),
      doc('d', `${'```'}\n${notice}\n${'```'}`),
    ];
    const { fates, result } = await run(shardsOf(docs, 1), { near: false });
    expect(fates.get('a')).toBe(docs[0].target);
    expect(fates.get('b')).toBe(docs[1].target.replace(`${notice}\n\n`, ''));
    expect(fates.get('c')).toBe('dedup.little-left');
    expect(fates.get('d')).toBe(docs[3].target);
    expect(result.stats).toMatchObject({ cutDocuments: 1, cutCharacters: notice.length + 2, littleLeft: 1 });
  });

  it('count only in documents that stay: what only a dropped one has first is not lost', async () => {
    // b is the longer near-duplicate of a; the notice stands in a (dropped) and c. It must be left in one of b, c.
    const body = prose(400);
    const docs = [doc('a', `${body}\n\n${notice}`), doc('b', `${body}\n\n${notice} ${prose(8)}`), doc('c', `${prose(50)}\n\n${notice}`)];
    const { fates } = await run(shardsOf(docs, 2), {});
    expect(fates.get('a')).toBe('dedup.near');
    expect(fates.get('c')).toBe(docs[2].target);
  });

  it('lines: on request, inside one document too', async () => {
    const line = prose(12);
    const docs = [doc('a', `${line}\nx\n${line}\n${prose(30)}`), doc('b', `${line}\n${prose(30)}`)];
    const { fates } = await run(shardsOf(docs, 1), { ...NONE, lines: { minUnits: 10 }, minLeft: 5 });
    expect(fates.get('a')).toBe(docs[0].target.replace(`x\n${line}\n`, 'x\n'));
    expect(fates.get('b')).toBe(docs[1].target.slice(line.length + 1));
    await expect(run([], { ...NONE, lines: { minUnits: 10 } })).rejects.toThrow(/minLeft/);
  });
});

describe('work', () => {
  /** Originals, edited ones, equal ones and shared paragraphs in 12 shards. */
  const docs: Doc[] = [];
  const notice = prose(70);
  for (let i = 0; i < 240; i++) {
    const text = prose(60 + Math.floor(random() * 120));
    docs.push(doc(`o${i}`, i % 7 === 0 ? `${text}\n\n${notice}` : text));
    if (i % 3 === 0) docs.push(doc(`e${i}`, edited(text, 0.05, 12, random)));
    if (i % 5 === 0) docs.push(doc(`c${i}`, text));
  }
  const config: DedupInput = { threshold: 0.7, containment: { minShingles: 20 }, lines: { minUnits: 30 } };
  let shards: string[] = [];
  let reference: Outcome;
  const bytesOf = ({ result }: Outcome): string[] => result.verdicts.map((path) => readFileSync(path, 'utf8'));
  beforeAll(async () => {
    shards = shardsOf(docs, Math.ceil(docs.length / 12));
    reference = await run(shards, config);
  });

  it('has something to find', () => {
    const { stats } = reference.result;
    expect(stats.exact).toBeGreaterThan(30);
    expect(stats.near).toBeGreaterThan(20);
    expect(stats.cutDocuments + stats.littleLeft).toBeGreaterThan(10);
  });

  it.each([2, 4])('gives the same bytes with %i workers', async (workers) => {
    const other = await run(shards, config, { workers });
    expect(bytesOf(other)).toEqual(bytesOf(reference));
    expect({ ...other.result, verdicts: [] }).toEqual({ ...reference.result, verdicts: [] });
  });

  it('goes on after a stop at any point, to the same bytes', async () => {
    const files = readdirSync(reference.scratch).filter((name) => name !== 'key.json');
    const order = [/^sketch/, /^round/, /^cuts/, /^verdict/];
    const made = order.flatMap((kind) => files.filter((name) => kind.test(name)).sort());
    expect(made.length).toBe(files.length);
    for (const keep of [0, 1, 5, 11, 12, 13, 20, made.length - 14, made.length - 3, made.length]) {
      const scratch = join(root, `work-${number++}`);
      cpSync(reference.scratch, scratch, { recursive: true });
      for (const name of made.slice(keep)) unlinkSync(join(scratch, name));
      // What was being written when it stopped.
      if (keep < made.length) writeFileSync(join(scratch, `${made[keep]}.part`), 'half');
      const other = await run(shards, config, { scratch });
      expect(bytesOf(other)).toEqual(bytesOf(reference));
      expect({ ...other.result, verdicts: [] }).toEqual({ ...reference.result, verdicts: [] });
    }
  });

  it('does not take what another configuration or input left, nor files that are not its own', async () => {
    const scratch = join(root, `work-${number++}`);
    await run(shards, { ...config, threshold: 0.95 }, { scratch });
    writeFileSync(join(scratch, 'mine.txt'), 'x');
    const other = await run(shards, config, { scratch });
    expect(bytesOf(other)).toEqual(bytesOf(reference));
    expect(existsSync(join(scratch, 'mine.txt'))).toBe(true);
  });

  it('tells a line that is no JSON, and a sketch that is cut short', async () => {
    const broken = shardsOf([doc('a', 'a')], 1);
    writeFileSync(broken[0], '{"id":"a"\n');
    await expect(run(broken, {})).rejects.toThrow(/JSON/);
    const good = shardsOf([doc('a', 'a')], 1);
    const { scratch } = await run(good, {});
    writeFileSync(join(scratch, 'sketch-00000.bin'), readFileSync(join(scratch, 'sketch-00000.bin')).subarray(0, 30));
    await expect(run(good, {}, { scratch })).rejects.toThrow(/delete the work folder/);
  });
});
