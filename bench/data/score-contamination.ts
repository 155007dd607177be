/**
 * What the decontaminate step finds in `SCION_DATA/corpora` of the sets in `SCION_DATA/eval`, for several lengths of window, and
 * how fast; and how many planted items it finds: every item of every set, put into a document of other text as it
 * stands and with other case, width, spaces and punctuation. Prints JSON; ids and numbers only.
 *
 * `node bench/data/score-contamination.ts [--out FOLDER]`
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildIndex, ContaminationIndex, createDecontaminator, Matcher, touchedRows } from '../../src/curate/decontaminate/index.ts';
import { findEvalFiles, readItems } from '../../src/curate/decontaminate/items.ts';
import { isDrop } from '../../src/curate/step.ts';
import type { Doc } from '../../src/data/doc.ts';
import { host } from '../../src/host/index.ts';

const data = process.env.SCION_DATA;
if (!data) {
  console.error('skipped: no SCION_DATA');
  process.exit(0);
}
const at = process.argv.indexOf('--out');
const out = at < 0 ? join(tmpdir(), 'scion-contamination') : process.argv[at + 1];
mkdirSync(out, { recursive: true });
const machine = await host();
const sets = readdirSync(join(data, 'eval')).map((name) => ({ name, data: [join(data, 'eval', name)] }));
const docs: Doc[] = readdirSync(join(data, 'corpora'))
  .filter((name) => name.endsWith('.jsonl'))
  .flatMap((name) =>
    readFileSync(join(data, 'corpora', name), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Doc),
  );
const megabytes = docs.reduce((sum, d) => sum + Buffer.byteLength(d.target), 0) / 1e6;

const sweep = [];
let reports: Record<string, { items: number; tooShort: number }> = {};
for (const [words, characters] of [
  [8, 12],
  [10, 14],
  [13, 16],
  [13, 18],
  [13, 20],
  [13, 24],
]) {
  const index = join(out, `index-${words}-${characters}`);
  const built = performance.now();
  const report = await buildIndex(machine, { sets, words, characters, minWords: Math.min(words, 8), minCharacters: Math.min(characters, 12) }, index);
  const buildSeconds = (performance.now() - built) / 1000;
  const step = await createDecontaminator({ index }, { files: machine.files });
  const tallies: Record<string, number> = {};
  const tally = {
    count: (name: string, by = 1) => {
      tallies[name] = (tallies[name] ?? 0) + by;
    },
  };
  const byCategory: Record<string, number> = {};
  const notes: string[] = [];
  // Time on the processor: what else the machine does must not count.
  const began = process.cpuUsage();
  for (const doc of docs) {
    const result = step.apply(doc, tally);
    if (!isDrop(result)) continue;
    byCategory[doc.category] = (byCategory[doc.category] ?? 0) + 1;
    notes.push(`${doc.id}: ${result.note}`);
  }
  const used = process.cpuUsage(began);
  const seconds = (used.user + used.system) / 1e6;
  const touched = Object.fromEntries(
    Object.entries(touchedRows(tallies)).map(([set, t]) => [set, { documents: t.documents, rows: Object.keys(t.rows).length }]),
  );
  sweep.push({
    words,
    characters,
    windows: report.windows,
    common: report.common,
    buildSeconds,
    seconds,
    megabytesPerSecond: megabytes / seconds,
    byCategory,
    touched,
  });
  if (words === 13 && characters === 20) {
    reports = report.sets;
    console.error(JSON.stringify(report.sets, null, 1));
    for (const note of notes) console.error(note);
  }
}

// Planting: what is indexed must be found, whole and disguised.
const index = await ContaminationIndex.load(machine.files, join(out, 'index-13-20'));
const matcher = new Matcher(index);
const around = 'Here begins a text of somebody else, 这里是别人的文字。';
const disguise = (text: string): string =>
  text
    .replace(/[a-z]/g, (c) => c.toUpperCase())
    .replace(/(?<![0-9])[,.;:!?，。；：！？]|[,.;:!?，。；：！？](?![0-9])/g, ' ')
    .replace(/\s+/g, ' \n\t')
    .replace(/[A-Z0-9]/g, (c, i: number) => (i % 2 === 0 ? String.fromCharCode(c.charCodeAt(0) + 0xfee0) : c));
const planted: Record<string, { items: number; indexable: number; asIs: number; embedded: number; disguised: number }> = {};
for (const { name, data: patterns } of sets) {
  const { items, tooShort } = reports[name];
  const row = { items: 0, indexable: items - tooShort, asIs: 0, embedded: 0, disguised: 0 };
  planted[name] = row;
  for (const path of await findEvalFiles(machine.files, patterns)) {
    for await (const item of readItems(machine.files, path)) {
      row.items++;
      const text = item.parts.map((p) => p.text).join('\n');
      const labelled = item.parts
        .map((p, i) => (p.option ? `${'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[i - item.parts.findIndex((q) => q.option)]}. ${p.text}` : p.text))
        .join('\n');
      if (matcher.find(text).length > 0 || matcher.find(labelled).length > 0) row.asIs++;
      if (matcher.find(`${around}\n${labelled}\n${around}`).length > 0) row.embedded++;
      if (matcher.find(`${around} ${disguise(labelled)} ${around}`).length > 0) row.disguised++;
    }
  }
}
console.log(JSON.stringify({ documents: docs.length, megabytes, sweep, planted }));
