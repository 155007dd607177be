/** What the op suite must hold before any device runs it: every case file indexed, names unique, skips real. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { F16_TOLERANCE, F32_TOLERANCE } from './case.ts';
import { caseFiles } from './cases/index.ts';
import { ROOT } from './expect.ts';
import { cells, missingFrom, NUMERICS } from './report.ts';
import { SKIPS } from './skips.ts';
import { allCases } from './suite.ts';

describe('op cases', () => {
  it('the index lists every case file and is fresh', () => {
    const stems = readdirSync(join(ROOT, 'test/runtime/cases'))
      .filter((name) => name.endsWith('.ts') && name !== 'index.ts' && !name.endsWith('.test.ts'))
      .map((name) => name.slice(0, -3));
    expect(Object.keys(caseFiles).sort()).toEqual(stems.sort());
    execFileSync(process.execPath, [join(ROOT, 'tools/cases.mjs'), '--check']);
  });

  it('every file has cases, and names are unique (a name seeds its numbers)', () => {
    for (const [file, cases] of Object.entries(caseFiles)) expect(cases.length, file).toBeGreaterThan(0);
    const names = allCases().map(({ c }) => c.name);
    expect(names.filter((n, i) => names.indexOf(n) !== i)).toEqual([]);
  });

  it('a tolerance is looser than the default only with a reason', () => {
    for (const { c } of allCases()) {
      const usual = c.dtype === 'f16' ? F16_TOLERANCE : F32_TOLERANCE;
      if (c.tolerance && c.tolerance.value > usual) expect(c.tolerance.reason.trim().split(/\s+/).length, c.name).toBeGreaterThan(2);
    }
  });

  it('every case that a skip names exists, and every skip has a reason', () => {
    const names = new Set(allCases().map(({ c }) => c.name));
    for (const skip of SKIPS) {
      expect(skip.reason.length).toBeGreaterThan(10);
      if ('cases' in skip) expect(skip.cases.filter((n) => !names.has(n))).toEqual([]);
    }
  });
});

describe('docs/numerics.md', () => {
  it('has a row for every op and dtype and a reason for every looser tolerance', () => {
    expect(missingFrom(readFileSync(NUMERICS, 'utf8')), 'run: npm test -- test/runtime && node test/runtime/report.ts').toEqual([]);
  });

  it('an op without a row, or a row without its hosts, would be noticed', () => {
    const text = readFileSync(NUMERICS, 'utf8');
    const { op, dtype } = cells()[0];
    const without = text
      .split('\n')
      .filter((line) => !line.startsWith(`| ${op} | ${dtype} |`))
      .join('\n');
    expect(missingFrom(without)).toContain(`a row for ${op} ${dtype}`);
    expect(missingFrom('').length).toBeGreaterThanOrEqual(cells().length);
  });
});
