/**
 * The report's page: what it says of a build, that its numbers are those of the report, that no text of a document becomes markup
 * and that its size is bounded. The page is read back with a parser of HTML that is not ours.
 */
import { parseHTML } from 'linkedom';
import { describe, expect, it } from 'vitest';
import { buildReport } from '../../../test/data/build-report.ts';
import { findings, renderReport } from './index.ts';
import type { BuildReport } from './types.ts';

const documentOf = (report: BuildReport) => parseHTML(renderReport(report)).document;
const rowsOf = (report: BuildReport, section: string, nth = 0): string[][] =>
  [...(documentOf(report).querySelectorAll(`#${section} table`)[nth]?.querySelectorAll('tbody tr') ?? [])].map((row) =>
    [...row.children].map((cell) => cell.textContent ?? ''),
  );
const said = (report: BuildReport, level: string) =>
  findings(report)
    .filter((one) => one.level === level)
    .flatMap(({ text, items = [] }) => [text, ...items]);

const HOSTILE = '</td></script><script>alert(1)</script><img src=x onerror=alert(2)>" onmouseover="alert(3)\u202egnp\u0000\x1b[31m\ud800 {{y}}';

describe('what to look at', () => {
  it('names the category that loses over a fifth, by which reason, and the reason that takes most', () => {
    const look = said(buildReport(), 'look');
    // 3,697 poems: 31 % too short (1,146), then 26 equal, 101 near.
    expect(look).toContainEqual(
      expect.stringMatching(/^zh_poetry loses 34\.4 % of its documents and 34\.4 % of its bytes, most by clean\.too-short \(1,146\)$/),
    );
    expect(look).toContainEqual(expect.stringMatching(/^clean\.too-short takes most: 1,246 documents, .* mostly zh_poetry \(1,146\)\.$/));
    expect(look).toContainEqual(expect.stringMatching(/^clean on 2 documents$/));
    expect(look).toContainEqual(expect.stringMatching(/^The scorer quality tells some kinds badly: web AUC 0\.842\.$/));
    expect(look).toContainEqual(expect.stringMatching(/zh_poetry 0\.81 characters a token/));
    expect(look.some((text) => text.includes('en_stories'))).toBe(false);
  });

  it('says that the accounts hold, and where they do not', () => {
    expect(said(buildReport(), 'broken')).toEqual([]);
    expect(said(buildReport(), 'fine')).toContainEqual(expect.stringMatching(/^Every document is accounted for: 7,586 read = /));
    const lost = buildReport((report) => {
      report.drops['clean.too-short'] -= 9;
      report.packing.tokensPacked -= 100;
    });
    expect(said(lost, 'broken')).toEqual([
      expect.stringMatching(/^9 documents vanished without a reason: 7,586 read/),
      expect.stringMatching(/^100 tokens went while packing/),
    ]);
    const twice = buildReport((report) => {
      report.drops['near.duplicate'] += 3;
    });
    expect(said(twice, 'broken')).toEqual([expect.stringMatching(/^3 documents are counted twice/)]);
  });

  it('judges mix and fill by the figures of the project', () => {
    expect(said(buildReport(), 'fine')).toContainEqual(expect.stringMatching(/^All 10 buckets carry the same mix/));
    expect(said(buildReport(), 'fine')).toContainEqual(expect.stringMatching(/full\.$/));
    const off = buildReport((report) => {
      report.buckets[3].mix.zh_law *= 1.5;
      report.packing.fill = 0.93;
    });
    expect(said(off, 'look')).toContainEqual(expect.stringMatching(/^bucket 3 holds .* zh_law, the whole /));
    const lacking = buildReport((report) => {
      delete report.buckets[6].mix.zh_encyclopedia;
    });
    expect(said(lacking, 'look')).toContainEqual(expect.stringMatching(/^bucket 6 holds 0 % zh_encyclopedia, the whole /));
    expect(said(off, 'look')).toContainEqual(expect.stringMatching(/93 % full; [\d,]+ places hold padding/));
  });

  it('says when nothing came in, or all of a category went', () => {
    const empty = buildReport((report) => {
      report.funnel = [];
      report.drops = {};
      report.dropsByCategory = {};
      report.buckets = [];
    });
    expect(said(empty, 'broken')[0]).toMatch(/holds no step/);
    const gone = buildReport((report) => {
      for (const row of report.funnel) if (row.category === 'zh_law' && row.step !== 'read') Object.assign(row, { documents: 0, bytes: 0 });
      report.drops['clean.gone'] = 49;
      report.dropsByCategory.zh_law = { 'clean.gone': 49 };
    });
    expect(said(gone, 'look')).toContainEqual(expect.stringMatching(/^zh_law is gone: none of its 49 documents/));
    expect(said(gone, 'broken')).toEqual([]);
  });
});

describe('the page', () => {
  it('shows the numbers of the report', () => {
    const report = buildReport();
    const funnel = rowsOf(report, 'funnel');
    expect(funnel.map(([step]) => step)).toEqual(['read', 'clean', 'exact', 'near', 'decontaminate', 'score', 'sample', 'pack']);
    expect(funnel[0][1]).toBe('7,586');
    const clean = report.funnel.filter(({ step }) => step === 'clean').reduce((n, { documents }) => n + documents, 0);
    expect(funnel[1][1]).toBe(clean.toLocaleString('en-US'));
    expect(funnel[1][2]).toBe(`−${(7586 - clean).toLocaleString('en-US')}`);
    expect(funnel[6][6]).toBe(report.packing.tokensPacked.toLocaleString('en-US'));
    const reasons = rowsOf(report, 'reasons').filter(({ length }) => length > 1);
    expect(reasons.length).toBe(Object.keys(report.drops).length);
    expect(reasons[0].slice(0, 2)).toEqual(['clean.too-short', '1,246']);
    expect(rowsOf(report, 'buckets').length).toBe(11);
    expect(rowsOf(report, 'time').find(([step]) => step === 'clean')?.[3]).toBe(
      (report.funnel.filter(({ step }) => step === 'read').reduce((n, { bytes }) => n + bytes, 0) / 41 / 1e6).toFixed(1),
    );
  });

  it('is one file without script, whose own policy forbids loading, and whose links lead somewhere', () => {
    const text = renderReport(buildReport());
    expect(text).not.toMatch(/<script|javascript:|https?:\/\/|@import|url\(| on[a-z]+=/);
    const page = documentOf(buildReport());
    expect(page.querySelector('meta[http-equiv="Content-Security-Policy"]')?.getAttribute('content')).toBe("default-src 'none'; style-src 'unsafe-inline'");
    for (const link of page.querySelectorAll('a'))
      expect(page.getElementById((link.getAttribute('href') ?? '').slice(1)), link.getAttribute('href') ?? '').not.toBe(null);
    for (const svg of page.querySelectorAll('svg')) expect(svg.querySelector('title')?.textContent, svg.outerHTML.slice(0, 80)).toBeTruthy();
    for (const table of page.querySelectorAll('table')) expect(table.querySelectorAll('thead th[scope=col]').length).toBeGreaterThan(1);
    expect(text).not.toContain('NaN');
    expect(text).not.toContain('undefined');
  });

  it('draws no bar wider than its track and parts that fill the whole', () => {
    const page = documentOf(buildReport());
    const widths = [...page.querySelectorAll('svg.bar rect')].map((rect) => Number.parseFloat(rect.getAttribute('width') ?? ''));
    expect(widths.length).toBeGreaterThan(20);
    expect(Math.max(...widths)).toBe(100);
    expect(Math.min(...widths)).toBeGreaterThanOrEqual(0);
    for (const stack of page.querySelectorAll('svg.stack')) {
      const all = [...stack.querySelectorAll('rect')].reduce((sum, rect) => sum + Number.parseFloat(rect.getAttribute('width') ?? ''), 0);
      expect(all).toBeCloseTo(100, 0);
    }
  });

  it('marks what differs in a pair, and gives both texts', () => {
    const pair = documentOf(buildReport()).querySelector('#duplicates .pair');
    const [left, right] = [...(pair?.querySelectorAll('.text') ?? [])];
    const [example] = buildReport().duplicates.examples;
    expect(left.textContent).toBe(example.a.text);
    expect(right.textContent).toBe(example.b.text);
    expect([...left.querySelectorAll('del')].map((one) => one.textContent)).toEqual(['old ', '1904', '.']);
    expect([...right.querySelectorAll('ins')].map((one) => one.textContent)).toEqual(['1905', 'whole ', '!']);
  });

  it('lets no text become markup or control the screen, wherever it stands', () => {
    const bad = (id: string) => ({ id, category: HOSTILE, note: HOSTILE, text: HOSTILE });
    const report = buildReport((it) => {
      it.funnel.push({ step: HOSTILE, category: HOSTILE, documents: 1, bytes: 1, tokens: 1 });
      it.drops[HOSTILE] = 3;
      it.dropsByCategory[HOSTILE] = { [HOSTILE]: 3 };
      it.examples[HOSTILE] = [bad(HOSTILE)];
      it.tallies[HOSTILE] = 1;
      it.histograms.length[HOSTILE] = [1, 2];
      it.histograms.scores[HOSTILE] = { edges: [0, 1, 2], counts: [1, 2], atLeast: 1 };
      it.duplicates.examples.push({ a: bad('a'), b: bad('b'), similarity: null, reason: HOSTILE });
      it.buckets[0].mix[HOSTILE] = 5;
      it.compression = { tokenizer: HOSTILE, charactersPerToken: { [HOSTILE]: 0.5 } };
      it.seconds[HOSTILE] = 100;
      it.scorers = { [HOSTILE]: { auc: { [HOSTILE]: 0.5 } } };
      it.config = { [HOSTILE]: HOSTILE };
    });
    const text = renderReport(report);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that none is left is the point
    expect(text).not.toMatch(/[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|[\ud800-\udbff](?![\udc00-\udfff])/);
    const { document } = parseHTML(text);
    expect(document.querySelectorAll('script, img, iframe, link, object, embed, form, base').length).toBe(0);
    const attributes = new Set([...document.querySelectorAll('*')].flatMap((one) => [...one.attributes].map(({ name }) => name)));
    expect([...attributes].filter((name) => name.startsWith('on') || name === 'src' || name.includes('alert'))).toEqual([]);
    const shown = [...document.querySelectorAll('#reasons .text')].map((one) => one.textContent ?? '');
    expect(shown).toContainEqual(expect.stringContaining('<script>alert(1)</script><img src=x onerror=alert(2)>'));
    expect(shown).toContainEqual(expect.stringContaining('‹U+202E›gnp‹U+0000›‹U+001B›[31m‹U+D800›'));
  });

  it('is not led astray by names that objects have, or by numbers that are none', () => {
    const parsed = JSON.parse(JSON.stringify(buildReport()).replaceAll('"en_web"', '"__proto__"').replaceAll('"zh_law"', '"constructor"')) as BuildReport;
    const page = documentOf(parsed);
    expect(page.querySelector('#funnel')?.textContent).toContain('__proto__');
    const odd = buildReport((report) => {
      report.packing.fill = Number.NaN;
      report.funnel[0].bytes = Number.NaN;
      report.funnel[1].documents = -5;
      report.histograms.scores.quality.counts = [];
      report.histograms.scores.quality.edges = [];
      report.compression.charactersPerToken.en_web = Number.POSITIVE_INFINITY;
      report.peakRssBytes = null;
      Object.assign(report, { config: undefined });
    });
    expect(renderReport(odd)).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('stays readable in size, and says what it cut', () => {
    const report = buildReport((it) => {
      for (let i = 0; i < 3000; i++) {
        it.funnel.push({ step: 'read', category: `c${i}`, documents: 1, bytes: 10, tokens: null });
        it.drops[`clean.r${i}`] = 1;
        it.tallies[`clean.t${i}`] = 1;
        it.histograms.length[`c${i}`] = new Array(70).fill(1);
        it.buckets.push({ bucket: 10 + i, tokens: 1, packs: 1, fill: 1, mix: { [`c${i}`]: 1 } });
        it.examples[`clean.r${i}`] = [{ id: 'x'.repeat(1000), category: 'c', text: 'y'.repeat(5000) }];
        it.duplicates.examples.push({
          a: { id: 'a', category: 'c', text: `${i} `.repeat(5000) },
          b: { id: 'b', category: 'c', text: `${i + 1} `.repeat(5000) },
          similarity: 0.5,
          reason: 'near',
        });
      }
    });
    const text = renderReport(report);
    expect(text.length).toBeLessThan(2e6);
    expect(text).toMatch(/2,9\d\d more reasons not shown; report\.json has them/);
    expect(text).toMatch(/more categories not shown/);
  });

  it('draws a report with nothing in it', () => {
    const page = documentOf({
      version: 1,
      funnel: [],
      drops: {},
      dropsByCategory: {},
      examples: {},
      tallies: {},
      histograms: { length: {}, scores: {} },
      duplicates: { exact: 0, near: 0, clusters: 0, pairsVerified: 0, examples: [] },
      buckets: [],
      packing: { tokensAfterSampling: 0, tokensPacked: 0, packs: 0, fill: 0, T: 0, lengthHistogram: [] },
      compression: { tokenizer: '', charactersPerToken: {} },
      seconds: {},
      peakRssBytes: null,
      config: null,
    });
    expect(page.querySelector('#reasons')?.textContent).toContain('No document was dropped.');
    expect(page.querySelector('#buckets')?.textContent).toContain('Nothing was packed.');
    expect(page.querySelector('.findings')?.textContent).toContain('holds no step');
  });
});
