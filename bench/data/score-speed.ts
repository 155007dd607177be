/**
 * Speed of the parts of the score and decontaminate steps on `SCION_DATA/corpora`, in MB of UTF-8 a second of processor
 * time (so that what else the machine does counts little). Weights are zeros: they change no time.
 *
 * `node bench/data/score-speed.ts [--rounds N]`
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildIndex, ContaminationIndex, Matcher } from '../../src/curate/decontaminate/index.ts';
import { featureCount, featureSchema } from '../../src/curate/score/features.ts';
import { LinearScorer } from '../../src/curate/score/linear.ts';
import { NgramModel, trainNgram } from '../../src/curate/score/ngram-model.ts';
import { readability } from '../../src/curate/score/readability.ts';
import { UnitScanner } from '../../src/curate/score/units.ts';
import { WordMatcher } from '../../src/curate/score/word-lists.ts';
import { host } from '../../src/host/index.ts';

const data = process.env.SCION_DATA;
if (!data) {
  console.error('skipped: no SCION_DATA');
  process.exit(0);
}
const at = process.argv.indexOf('--rounds');
const rounds = at < 0 ? 2 : Number(process.argv[at + 1]);
const machine = await host();
const dir = mkdtempSync(join(tmpdir(), 'scion-score-speed-'));
const read = (name: string): string[] =>
  readFileSync(join(data, 'corpora', name), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { target: string }).target);
const names = readdirSync(join(data, 'corpora')).filter((name) => name.endsWith('.jsonl'));
const texts = { zh: names.filter((n) => n.startsWith('zh')).flatMap(read), en: names.filter((n) => n.startsWith('en')).flatMap(read) };

const features = featureSchema.parse({});
const card = { version: 1 as const, name: 'x', labels: ['a', 'b'], features, training: {} };
const linear = new LinearScorer(card, { weights: new Float32Array(featureCount(features)), bias: new Float32Array(1) });
await trainNgram(machine, { data: [join(data, 'corpora', 'zh_encyclopedia.jsonl')], out: dir });
const ngram = await NgramModel.load(machine.files, dir);
await buildIndex(machine, { sets: readdirSync(join(data, 'eval')).map((name) => ({ name, data: [join(data, 'eval', name)] })) }, join(dir, 'index'));
const matcher = new Matcher(await ContaminationIndex.load(machine.files, join(dir, 'index')));
const lists = new WordMatcher([{ name: 'x', words: ['wrong', 'very bad', '违法', '犯罪行为'] }]);
const scanner = new UnitScanner({ marks: true, digits: 'shape' });

const parts: Record<string, (text: string) => unknown> = {
  scan: (text) => scanner.scan(text),
  'scan + classifier': (text) => linear.score(text, scanner.scan(text)),
  'scan + readability': (text) => readability(text, scanner.scan(text), true),
  'scan + word lists': (text) => lists.count(text, scanner.scan(text)),
  'n-gram perplexity (all bytes)': (text) => ngram.bits(text),
  decontaminate: (text) => matcher.find(text),
};
const table: Record<string, Record<string, number>> = {};
for (const [name, work] of Object.entries(parts)) {
  table[name] = {};
  for (const [language, list] of Object.entries(texts)) {
    const bytes = list.reduce((sum, t) => sum + Buffer.byteLength(t), 0);
    for (const text of list.slice(0, 100)) work(text);
    let best = Number.POSITIVE_INFINITY;
    for (let k = 0; k < rounds; k++) {
      const before = process.cpuUsage();
      for (const text of list) work(text);
      const used = process.cpuUsage(before);
      best = Math.min(best, (used.user + used.system) / 1e6);
    }
    table[name][language] = bytes / 1e6 / best;
  }
}
rmSync(dir, { recursive: true, force: true });
console.log(JSON.stringify({ unit: 'MB/s of one core', table }));
