/** The record of proofs: kept whole, shown by its newest rows, refused where a row is broken; the committed page is fresh. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { addProof, proofPage, readProof } from './proof.mjs';

const DOCS = resolve(import.meta.dirname, '../../docs');

it('docs/proof.md is what its record says', () => {
  expect(readFileSync(join(DOCS, 'proof.md'), 'utf8'), 'run: node tools/lib/proof.mjs').toBe(proofPage(readProof()));
});

it('keeps every row and shows the newest of each name', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'scion-proof-'));
  try {
    const row = { name: 'a | b', command: 'node x', figure: '1 s', device: 'd' };
    await addProof([row, { ...row, name: 'c' }], folder);
    await addProof([{ ...row, figure: '2 s' }], folder);
    expect(readProof(folder).map((r) => r.figure)).toEqual(['1 s', '1 s', '2 s']);
    const page = readFileSync(join(folder, 'proof.md'), 'utf8');
    expect(page).toMatch(/^\| a \\\| b \| `node x` \| 2 s \| \S+ \| d \| \d{4}-\d\d-\d\d \| 2 \|$/m);
    expect(page).not.toMatch(/^\| a.*1 s/m);
    writeFileSync(join(folder, 'proof.jsonl'), '{"name":"a","date":"2026-01-01"}\n');
    expect(() => readProof(folder)).toThrow(/proof.jsonl:1 lacks command, figure, commit, device/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
