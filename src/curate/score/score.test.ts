/**
 * Scores against what is exact or another system's: n-grams counted in a Map, coefficients from scikit-learn 1.9.1 (C 2,
 * tolerance 1e-12), the plain n-gram model, sentences counted by hand. Then the whole: a classifier trained from
 * files, loaded and applied by the step, on texts whose labels are known because they were made so.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import type { Doc } from '../../data/doc.ts';
import { ByteNgram } from '../../data/ngram.ts';
import { GpuDevice } from '../../gpu/device.ts';
import { host } from '../../host/index.ts';
import type { Host } from '../../host/types.ts';
import { isDrop } from '../step.ts';
import { FeatureExtractor, featureCount, featureSchema, passageStarts, SHAPE_BINS, shareBin } from './features.ts';
import { exactObjective, fitLinear, type SparseRows } from './fit.ts';
import { RowPrograms } from './fit-programs.ts';
import { createScorer } from './index.ts';
import { LinearScorer } from './linear.ts';
import { auc } from './metrics.ts';
import { NgramModel, trainNgram } from './ngram-model.ts';
import { readability, syllables } from './readability.ts';
import { trainScorer } from './train-scorer.ts';
import { UNIT, UnitScanner } from './units.ts';
import { parseWordList, WordMatcher } from './word-lists.ts';

let machine: Host;
let device: GpuDevice;
let dir: string;
beforeAll(async () => {
  machine = await host();
  device = await GpuDevice.open();
  dir = mkdtempSync(join(tmpdir(), 'scion-score-'));
});
afterAll(() => {
  device.destroy();
  rmSync(dir, { recursive: true, force: true });
});

const tally = { count: () => {} };
const scanned = (text: string): UnitScanner => new UnitScanner({ marks: true, digits: 'shape' }).scan(text);
const kinds = (text: string): number[] => {
  const s = scanned(text);
  return Array.from(s.kinds.subarray(0, s.count));
};

describe('units', () => {
  it('are words, numbers, characters and marks, with their places', () => {
    const text = 'Hello, 世界! x2 1,000';
    const s = scanned(text);
    expect(Array.from({ length: s.count }, (_, i) => text.slice(s.starts[i], s.ends[i]))).toEqual(['Hello', ',', '世', '界', '!', 'x2', '1,000']);
    expect(kinds(text)).toEqual([UNIT.word, UNIT.mark, UNIT.character, UNIT.character, UNIT.mark, UNIT.word, UNIT.number]);
    expect(kinds('𠀀𠮷a')).toEqual([UNIT.character, UNIT.character, UNIT.word]);
    expect(kinds('한국어 ไท')).toEqual([UNIT.word, UNIT.character, UNIT.character]);
    for (const nothing of ['', ' \n\t', '\u0000', '\ud800', '\udc00', '\u200b\u0301']) expect(kinds(nothing)).toEqual([]);
  });

  it('grow with the text and start afresh', () => {
    const s = new UnitScanner({ marks: false, digits: 'keep' });
    expect(s.scan('字'.repeat(5000)).count).toBe(5000);
    expect(new Set(s.hashes.subarray(0, 5000)).size).toBe(1);
    expect(s.ends[4999]).toBe(5000);
    expect(s.scan('one two').count).toBe(2);
  });
});

describe('features', () => {
  const config = featureSchema.parse({ shapeWeight: 0, skeletonWeight: 0, maxN: 2, counts: 'log' });
  const values = (text: string, more = {}): Map<number, number> => {
    const x = new FeatureExtractor({ ...config, ...more });
    const found = new Map<number, number>();
    x.each(text, scanned(text), () => {
      for (let k = 0; k < x.count; k++) found.set(x.ids[k], (found.get(x.ids[k]) ?? 0) + x.values[k]);
    });
    return found;
  };

  it('are the logarithms of n-gram counts, of length one', () => {
    const text = 'the cat the dog the cat';
    const counts = new Map<string, number>();
    const words = text.split(' ');
    words.forEach((w, i) => {
      for (const gram of i > 0 ? [w, `${words[i - 1]} ${w}`] : [w]) counts.set(gram, (counts.get(gram) ?? 0) + 1);
    });
    const expected = [...counts.values()].map((c) => 1 + Math.log(c));
    const length = Math.hypot(...expected);
    const found = [...values(text).values()].sort();
    expect(found).toHaveLength(counts.size);
    expected
      .map((x) => x / length)
      .sort()
      .forEach((x, i) => {
        expect(found[i]).toBeCloseTo(x, 6);
      });
    expect(Math.hypot(...values(text, { counts: 'raw' }).values())).toBeCloseTo(1, 6);
    expect(new Set(values(text, { counts: 'binary' }).values()).size).toBe(1);
  });

  it('tell word order, and not case or width', () => {
    expect(values('a b c d')).not.toEqual(values('d c b a'));
    expect(values('Ａ b, C d')).toEqual(values('a B, c D'));
    expect(values('a b c d', { maxN: 1 })).toEqual(new Map([...values('d c b a', { maxN: 1 })]));
  });

  it('do not depend on what was read before; a passage stands for itself', () => {
    const full = featureSchema.parse({ passageUnits: 16 });
    const read = (x: FeatureExtractor, text: string): [number[], number[]][] => {
      const out: [number[], number[]][] = [];
      x.each(text, scanned(text), () => out.push([Array.from(x.ids.subarray(0, x.count)), Array.from(x.values.subarray(0, x.count))]));
      return out;
    };
    const a = 'one two three. four five six, seven 中文字一二三 eight '.repeat(4);
    const used = new FeatureExtractor(full);
    read(used, '别的文字 entirely other text. '.repeat(30));
    expect(read(used, a)).toEqual(read(new FeatureExtractor(full), a));
    for (const [ids, v] of read(used, a)) {
      expect(Math.max(...ids)).toBeLessThan(featureCount(full));
      expect(v.every((x) => Number.isFinite(x) && x >= 0)).toBe(true);
    }
    expect(read(used, '')).toEqual([[[], []]]);
    expect(read(used, 'x').length).toBe(1);
  });

  it('passages cover the text; bins cover shares', () => {
    expect(passageStarts(0, 16)).toEqual([0]);
    expect(passageStarts(23, 16)).toEqual([0]);
    expect(passageStarts(24, 16)).toEqual([0, 16]);
    expect(passageStarts(64, 16)).toEqual([0, 16, 32, 48]);
    expect([1, 0.6, 0.3, 0.1, 0].map(shareBin)).toEqual([0, 0, 1, 3, SHAPE_BINS - 1]);
  });
});

describe('AUC', () => {
  it('is the share of pairs in order, ties half', () => {
    const random = new Random(3);
    const scores = Array.from({ length: 90 }, () => random.below(20));
    const positive = scores.map(() => random.below(3) === 0);
    let pairs = 0;
    let right = 0;
    scores.forEach((a, i) => {
      scores.forEach((b, j) => {
        if (!positive[i] || positive[j]) return;
        pairs++;
        right += a > b ? 1 : a === b ? 0.5 : 0;
      });
    });
    expect(auc(scores, positive)).toBeCloseTo(right / pairs, 12);
    expect(auc([1, 2], [true, true])).toBeNaN();
  });
});

/** The numbers that the peer's script made too, by the same generator. */
function knownRows(classes: number): SparseRows {
  let s = 12345n;
  const next = (): number => {
    s = (s * 1103515245n + 12345n) % 2147483648n;
    return Number(s >> 8n);
  };
  const starts = [0];
  const ids: number[] = [];
  const values: number[] = [];
  const labels: number[] = [];
  for (let i = 0; i < 40; i++) {
    const row = Array.from({ length: 6 }, () => {
      const v = next() % 7;
      return v < 4 ? v / 4 : 0;
    });
    row.forEach((v, j) => {
      if (v === 0) return;
      ids.push(j);
      values.push(v);
    });
    starts.push(ids.length);
    labels.push((row[0] * 4 + row[1] * 4 + (next() % 3)) % classes);
  }
  return {
    starts: Uint32Array.from(starts),
    ids: Uint32Array.from(ids),
    values: Float32Array.from(values),
    labels: Int32Array.from(labels),
    width: 6,
    classes,
  };
}

/** Rows of none to 200 places, so of several programs, some with the same place twice. */
function manyRows(classes: number): SparseRows {
  const random = new Random(17);
  const width = 97;
  const starts = [0];
  for (let i = 0; i < 53; i++) starts.push(starts[i] + (i === 5 ? 0 : i % 7 === 0 ? 150 + random.below(50) : 1 + random.below(60)));
  return {
    starts: Uint32Array.from(starts),
    ids: Uint32Array.from({ length: starts[53] }, () => random.below(width)),
    values: Float32Array.from({ length: starts[53] }, () => random.normal()),
    labels: Int32Array.from({ length: 53 }, () => random.below(classes)),
    width,
    classes,
  };
}

/** Mean loss and gradient in float64, dense: the weights of one output after the other, then the biases. */
function definition(rows: SparseRows, x: Float64Array, O: number): { loss: number; gradient: Float64Array } {
  const { width, labels } = rows;
  const gradient = new Float64Array(x.length);
  let loss = 0;
  labels.forEach((label, i) => {
    const row = new Float64Array(width);
    for (let k = rows.starts[i]; k < rows.starts[i + 1]; k++) row[rows.ids[k]] += rows.values[k];
    const z = Array.from({ length: O }, (_, o) => row.reduce((sum, v, j) => sum + v * x[o * width + j], x[O * width + o]));
    const exponents = (O === 1 ? [0, ...z] : z).map(Math.exp);
    const total = exponents.reduce((a, b) => a + b);
    loss -= Math.log(exponents[label] / total);
    for (let o = 0; o < O; o++) {
      const c = O === 1 ? 1 : o;
      const d = exponents[c] / total - (c === label ? 1 : 0);
      row.forEach((v, j) => {
        gradient[o * width + j] += (d * v) / labels.length;
      });
      gradient[O * width + o] += d / labels.length;
    }
  });
  return { loss: loss / labels.length, gradient };
}

describe('fitting on the device', () => {
  it.each([
    [2, [0.66907, -0.356627, 0.040371, -0.289645, 0.084227, -0.287813], [0.259778]],
    [
      3,
      [
        [-0.092277, -0.675879, 0.442903, -0.113564, 0.919021, 1.249249],
        [0.224431, -0.314662, 0.286398, -0.804594, -0.166729, -0.495912],
        [-0.132153, 0.990541, -0.729302, 0.918158, -0.752292, -0.753336],
      ],
      [0.059693, 0.661197, -0.72089],
    ],
  ])('%i classes: the minimum that scikit-learn finds', async (classes, coefficients, bias) => {
    const rows = knownRows(classes);
    const fit = await fitLinear(device, rows, { C: 2, tolerance: 1e-7 });
    const O = bias.length;
    const theirs = (classes === 2 ? [coefficients] : coefficients) as number[][];
    for (let o = 0; o < O; o++) for (let j = 0; j < 6; j++) expect(fit.weights[j * O + o], `${o},${j}`).toBeCloseTo(theirs[o][j], 4);
    // A softmax does not see a bias common to all: compare differences.
    for (let o = 0; o < O; o++) expect(fit.bias[o] - (O > 1 ? fit.bias[0] : 0)).toBeCloseTo(bias[o] - (O > 1 ? bias[0] : 0), 4);
    // The gradient that it stops by is that of the objective: central differences.
    const decay = 1 / (2 * 40);
    const start = { weights: new Float32Array(6 * O).fill(0.25), bias: new Float32Array(O) };
    const at = (w0: number): number => {
      const weights = start.weights.slice();
      weights[0] = w0;
      return exactObjective(rows, { ...start, weights }, decay).objective;
    };
    const slope = Math.abs(at(0.25 + 2 ** -10) - at(0.25 - 2 ** -10)) * 2 ** 9;
    expect(exactObjective(rows, start, decay).gradient).toBeGreaterThanOrEqual(slope - 1e-6);
    expect(at(0.25)).toBeGreaterThan(fit.objective);
  });

  it('again gives the same bits', async () => {
    const a = await fitLinear(device, knownRows(2), { maxSteps: 7 });
    const b = await fitLinear(device, knownRows(2), { maxSteps: 7 });
    expect(b).toEqual(a);
  });

  it.each([2, 3])('%i classes: loss and gradient of several programs are those of the definition', async (classes) => {
    const rows = manyRows(classes);
    const O = classes === 2 ? 1 : classes;
    const random = new Random(classes);
    const x = Float64Array.from({ length: (rows.width + 1) * O }, () => Math.fround(random.normal()));
    const programs = new RowPrograms(device, rows, O);
    const { loss, gradient } = await programs.evaluate(x);
    const again = await programs.evaluate(x);
    programs.destroy();
    const expected = definition(rows, x, O);
    // f32 on the device: sums of some hundred products and a logarithm.
    expect(Math.abs(loss - expected.loss)).toBeLessThan(1e-6 * expected.loss);
    const error = Math.hypot(...gradient.map((g, i) => g - expected.gradient[i])) / Math.hypot(...expected.gradient);
    expect(error).toBeLessThan(1e-6);
    // Nothing is left of the evaluation before.
    expect(again.gradient).toEqual(gradient);
  });

  it('a class without rows is told', async () => {
    const rows = knownRows(2);
    await expect(fitLinear(device, { ...rows, labels: rows.labels.map(() => 1) })).rejects.toThrow(/examples of each class/);
  });
});

describe('n-gram model', () => {
  it('gives the bits of the plain model from its file', async () => {
    const texts = ['the cat sat on the mat and the dog sat too', '天地玄黄，宇宙洪荒。天地之间', 'the mat'];
    const data = join(dir, 'texts.jsonl');
    writeFileSync(data, texts.map((text) => JSON.stringify({ text })).join('\n'));
    const { ngrams } = await trainNgram(machine, { data: [data], out: join(dir, 'ngram'), order: 4 });
    const plain = ByteNgram.train(texts, 4);
    expect(ngrams).toBe(plain.size);
    const model = await NgramModel.load(machine.files, join(dir, 'ngram'));
    for (const text of ['the dog sat on the cat', '天地洪荒', 'q', 'zzz \u0000 \ud800']) {
      const { bits, bytes } = plain.bitsPerByte([text], { end: false });
      expect(model.bits(text).bytes).toBe(bytes);
      expect(model.bits(text).bits).toBeCloseTo(bits, 4);
      expect(model.perplexity(text)).toBeCloseTo(2 ** (bits / bytes), 3);
    }
    expect(model.bits('the dog', 4)).toEqual(model.bits('the '));
    await expect(NgramModel.load(machine.files, dir)).rejects.toThrow(/holds no ngram\.safetensors/);
  });
});

describe('readability', () => {
  const of = (text: string, english = true) => readability(text, scanned(text), english);
  it('is counted as by hand', () => {
    expect(['the', 'table', 'making', 'seven', 'I', 'rhythm', 'apple', 'cafe', 'free'].map((w) => syllables(w, 0, w.length))).toEqual([
      1, 2, 2, 2, 1, 1, 2, 1, 1,
    ]);
    const text = 'The cat sat down. It was 3.5 metres long!';
    const found = of(text);
    // Ten units (the number's two halves are two); two sentences; eight words of 28 letters.
    expect(found?.sentence).toBeCloseTo(10 / 2);
    expect(found?.word).toBeCloseTo(28 / 8);
    // the cat sat down it was long: one each; metres: two.
    expect(found?.flesch).toBeCloseTo(206.835 - 1.015 * (8 / 2) - 84.6 * (9 / 8));
    expect(found?.rare).toBeUndefined();
    const zh = of('我们在这里。龘靐！');
    expect(zh).toEqual({ sentence: 3.5, rare: 2 / 7 });
    expect(of(text, false)?.flesch).toBeUndefined();
    for (const nothing of ['', '...', '\u0000', '\ud800']) expect(of(nothing)).toBeNull();
  });
});

describe('word lists', () => {
  it('find whole words and phrases, whatever their case, and characters anywhere', () => {
    const matcher = new WordMatcher([parseWordList('a', '# remark\nbad\n\nvery bad thing\n'), { name: 'b', words: ['坏事', '8964'] }]);
    const count = (text: string): number[] => Array.from(matcher.count(text, scanned(text)));
    expect(count('Not BAD, badly: a very—bad thing. ｂａｄ')).toEqual([4, 0]);
    expect(count('做坏事的坏 事，坏人')).toEqual([0, 2]);
    // Digits are one shape to the scanner, and yet only the number itself counts.
    expect(count('1234 8964')).toEqual([0, 1]);
    expect(count('')).toEqual([0, 0]);
    expect(() => new WordMatcher([{ name: 'x', words: ['!!!'] }])).toThrow(/has 0 words/);
  });
});

describe('a trained scorer', () => {
  const random = new Random(11);
  const good = 'the of and in a river mountain city people history water light year world name house'.split(' ');
  const bad = 'buy now cheap click here free offer win prize deal sale shop best price order fast'.split(' ');
  const text = (words: readonly string[]): string => Array.from({ length: 40 }, () => words[random.below(words.length)]).join(' ');
  const file = (name: string, texts: readonly string[]): string => {
    const path = join(dir, name);
    writeFileSync(path, texts.map((t, i) => JSON.stringify({ id: `${name}${i}`, text: t })).join('\n'));
    return path;
  };
  const doc = (target: string): Doc => ({ id: 'd', category: 'web', target });
  let out: string;

  beforeAll(async () => {
    const positives = file(
      'good.jsonl',
      Array.from({ length: 60 }, () => text(good)),
    );
    const negatives = file(
      'bad.jsonl',
      Array.from({ length: 60 }, () => text(bad)),
    );
    out = join(dir, 'quality');
    const result = await trainScorer(machine, { positives: [positives], negatives: [negatives], out, device, features: { buckets: 4096 }, validation: 0.3 });
    expect(result).toMatchObject({ name: 'quality', labels: ['negative', 'positive'], converged: true, documents: { positive: 60, negative: 60 } });
    expect(result.validationAuc.positive).toBe(1);
    expect(result.rows + result.validationDocuments).toBe(120);
  });

  it('scores, tags and drops in the step, alike in every worker', async () => {
    const config = {
      classifiers: [{ path: out, tagAt: 0.9 }],
      safety: [{ name: 'shop', words: ['free offer'], minHits: 1 }],
      drop: { quality: { below: 0.5 }, absent: { below: 1 } },
    };
    const [one, two] = [await createScorer(config, machine), await createScorer(JSON.parse(JSON.stringify(config)), machine)];
    const kept = one.apply(doc(text(good)), tally) as Doc;
    expect(kept.scores?.quality).toBeGreaterThan(0.9);
    expect(kept.tags).toEqual(['quality:positive']);
    const spam = doc(`${text(bad)} free offer`);
    const dropped = one.apply(spam, tally);
    expect(isDrop(dropped) && dropped.reason).toBe('score.below-quality');
    expect(isDrop(dropped) && dropped.note).toMatch(/^quality 0\.0\d+ of at least 0\.5$/);
    expect(spam.tags).toContain('safety:shop');
    const same = doc(text(good));
    expect(two.apply(structuredClone(same), tally)).toEqual(one.apply(structuredClone(same), tally));
    // Scores of earlier steps stay; hostile texts get a score like any other.
    expect((one.apply({ ...same, scores: { dedup: 1 } }, tally) as Doc).scores?.dedup).toBe(1);
    const soft = await createScorer({ ...config, drop: {} }, machine);
    for (const ugly of ['', 'x', '\u0000', '\ud800', '字'.repeat(20000), '!'.repeat(3000)]) {
      const result = soft.apply(doc(ugly), tally) as Doc;
      expect(result.scores?.quality).toBeGreaterThan(0);
      expect(result.scores?.quality).toBeLessThan(1);
      expect(JSON.parse(JSON.stringify(result))).toEqual(result);
    }
  });

  it('topics: the likeliest label is the tag', async () => {
    const third = '山川日月天地人和水火木金土春夏秋冬'.split('');
    const topic = join(dir, 'topic');
    const classes = {
      river: [
        file(
          'river.jsonl',
          Array.from({ length: 40 }, () => text(good)),
        ),
      ],
      shop: [
        file(
          'shop.jsonl',
          Array.from({ length: 40 }, () => text(bad)),
        ),
      ],
      classic: [
        file(
          'classic.jsonl',
          Array.from({ length: 40 }, () => text(third)),
        ),
      ],
    };
    const result = await trainScorer(machine, { classes, out: topic, device, features: { buckets: 4096 } });
    expect(result).toMatchObject({ name: 'topic', labels: ['river', 'shop', 'classic'] });
    const step = await createScorer({ classifiers: [{ path: topic, name: 'subject' }], readability: false }, machine);
    for (const [label, words] of [
      ['river', good],
      ['shop', bad],
      ['classic', third],
    ] as const) {
      const scored = step.apply(doc(text(words)), tally) as Doc;
      expect(scored.tags).toEqual([`subject:${label}`]);
      expect(scored.scores?.subject).toBeGreaterThan(0.5);
    }
  });

  it('what is wrong is told', async () => {
    const some = [join(dir, 'good.jsonl')];
    await expect(trainScorer(machine, { positives: some, out, device })).rejects.toThrow(/both positives and negatives/);
    await expect(trainScorer(machine, { classes: { a: some }, out, device })).rejects.toThrow(/at least two labels/);
    await expect(createScorer({ classifiers: [{ path: dir }] }, machine)).rejects.toThrow(/holds no scorer\.json/);
    await expect(createScorer({ speed: 1 }, machine)).rejects.toThrow(/speed/);
    await expect(createScorer({ drop: { quality: {} } }, machine)).rejects.toThrow(/below, above/);
    writeFileSync(join(dir, 'scorer.json'), '{"version": 2}');
    await expect(LinearScorer.load(machine.files, dir)).rejects.toThrow(/scorer\.json/);
    rmSync(join(dir, 'scorer.json'));
    expect(existsSync(join(out, 'scorer.safetensors.part'))).toBe(false);
  });
});
