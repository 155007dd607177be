/**
 * Exports read back: Parquet by our reader (a decoder of other hands), JSON Lines by JSON.parse; both hold the packs as stored.
 * Where PYTHON names an interpreter with pyarrow and safetensors, it opens the files too, and so does Hugging Face `datasets` if it is there.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { byteTokenizer } from '../../../test/data/byte-tokenizer.ts';
import { openParquet } from '../../formats/parquet.ts';
import { host as realHost } from '../../host/index.ts';
import type { Host } from '../../host/types.ts';
import { sampleSplits } from '../sample/index.ts';
import { exportJsonl, exportParquet, hfLabels, openPacked, type PackedFolder, packShards } from './index.ts';

const T = 256;
let machine: Host;
let dir = '';
let folder: PackedFolder;
let expected: { input_ids: number[]; labels: number[]; position_ids: number[]; segment_ids: number[] }[][];

beforeAll(async () => {
  machine = await realHost();
  dir = mkdtempSync(join(tmpdir(), 'scion-export-'));
  const docs = sampleSplits({ documents: 300 }).train.map((d) => ({ id: d.id, category: d.category, source: 'Q: ', target: d.target }));
  writeFileSync(join(dir, 'a.jsonl'), docs.map((d) => `${JSON.stringify(d)}\n`).join(''));
  const options = { shards: [join(dir, 'a.jsonl')], tokenizer: byteTokenizer(), T, buckets: 3, scratch: join(dir, 'work'), out: join(dir, 'out') };
  await packShards(machine, options);
  folder = await openPacked(machine.files, join(dir, 'out'));
  expected = [];
  for (let k = 0; k < 3; k++) {
    const bucket = await folder.bucket(k);
    expected.push(
      (await bucket.read(0, bucket.packs)).map((pack) => ({
        input_ids: [...pack.tokens].slice(0, pack.used),
        labels: [...hfLabels(pack)].slice(0, pack.used),
        position_ids: pack.segments.flatMap(({ length }) => Array.from({ length }, (_, t) => t)),
        segment_ids: pack.segments.flatMap(({ length }, i) => new Array<number>(length).fill(i + 1)),
      })),
    );
    await bucket.close();
  }
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it('Parquet holds every pack', async () => {
  const written = await exportParquet(machine, folder, join(dir, 'parquet'));
  expect(written.length).toBe(3);
  for (const [k, { path }] of written.entries()) {
    const reader = await machine.files.open(path);
    const table = await openParquet(reader, { name: path });
    expect(table.columns).toEqual(['input_ids', 'labels', 'position_ids', 'segment_ids']);
    const rows: unknown[] = [];
    for await (const row of table.rows(table.columns)) rows.push(row);
    await reader.close();
    expect(rows).toEqual(expected[k]);
  }
  const [first] = await exportParquet(machine, folder, join(dir, 'parquet-2'), { positions: false, segments: false });
  const reader = await machine.files.open(first.path);
  expect((await openParquet(reader, { name: first.path })).columns).toEqual(['input_ids', 'labels']);
  await reader.close();
});

it('JSON Lines hold every pack', async () => {
  for (const [k, { path }] of (await exportJsonl(machine, folder, join(dir, 'jsonl'))).entries()) {
    const rows = readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows).toEqual(expected[k].map(({ input_ids, labels }) => ({ input_ids, labels })));
  }
});

const python = process.env.PYTHON;
if (!python) console.log('skipped: no PYTHON with pyarrow');
it.skipIf(!python)('pyarrow and safetensors for Python read the same numbers', async () => {
  await exportParquet(machine, folder, join(dir, 'parquet'));
  const script = `
import json, sys
import pyarrow.parquet as pq
from safetensors import safe_open
table = pq.read_table(sys.argv[1])
with safe_open(sys.argv[2], framework="numpy") as f:
    tokens = f.get_slice("tokens")[0:3]
try:
    import datasets
    found = datasets.load_dataset("parquet", data_files=sys.argv[1], split="train", cache_dir=sys.argv[3])
    same = list(found.to_list()) == table.to_pylist()
except ImportError:
    same = None
print(json.dumps({"datasets": same, "rows": table.to_pylist(), "types": [str(t) for t in table.schema.types], "tokens": tokens.tolist()}))
`;
  const out = execFileSync(python ?? '', ['-c', script, join(dir, 'parquet', 'bucket-01.parquet'), folder.pathOf(1), join(dir, 'cache')], {
    maxBuffer: 1 << 28,
  }).toString();
  const read = JSON.parse(out) as { datasets: boolean | null; rows: unknown; types: string[]; tokens: number[][] };
  expect(read.rows).toEqual(expected[1]);
  if (read.datasets === null) console.log('skipped: no datasets beside pyarrow');
  else expect(read.datasets).toBe(true);
  expect(read.types.every((type) => type.startsWith('list<'))).toBe(true);
  expect(read.tokens.map((row, p) => row.slice(0, expected[1][p].input_ids.length))).toEqual(expected[1].slice(0, 3).map(({ input_ids }) => input_ids));
});
