/** Rotary tables against transformers' in float64 (test/golden/llama/rope), and what is refused. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSafetensors } from '../../formats/safetensors.ts';
import { type RopeScaling, ropeFrequencies, ropeTable } from './rope.ts';

const folder = join(import.meta.dirname, '../../../test/golden/llama/rope');

interface Kind {
  readonly name: string;
  readonly config: {
    readonly max_position_embeddings: number;
    readonly rope_theta: number;
    readonly rope_scaling: Readonly<Record<string, number | string>> | null;
  };
  readonly attentionFactor: number;
}

const golden = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { headDim: number; positions: number; kinds: Kind[] };

function scalingOf({ rope_scaling: s, max_position_embeddings: max }: Kind['config']): RopeScaling {
  if (!s) return { type: 'default' };
  const factor = Number(s.factor);
  const originalMaxPositionEmbeddings = Number(s.original_max_position_embeddings ?? max);
  switch (s.rope_type) {
    case 'linear':
      return { type: 'linear', factor };
    case 'dynamic':
      return { type: 'dynamic', factor, originalMaxPositionEmbeddings };
    case 'llama3':
      return { type: 'llama3', factor, originalMaxPositionEmbeddings, lowFreqFactor: Number(s.low_freq_factor), highFreqFactor: Number(s.high_freq_factor) };
    case 'yarn':
      return { type: 'yarn', factor, originalMaxPositionEmbeddings, betaFast: Number(s.beta_fast), betaSlow: Number(s.beta_slow) };
    default:
      throw new Error(`unknown kind ${s.rope_type}`);
  }
}

describe('tables against transformers', () => {
  test('all five kinds are in the fixture', () => {
    expect(golden.kinds.map((k) => k.name)).toEqual(['default', 'linear', 'dynamic', 'llama3', 'yarn']);
  });
  for (const kind of golden.kinds) {
    test(kind.name, async () => {
      const file = await openSafetensors(new Uint8Array(readFileSync(join(folder, 'tables.safetensors'))), 'tables.safetensors');
      const [cos, sin] = [await file.readF32(`${kind.name}.cos.f64`), await file.readF32(`${kind.name}.sin.f64`)];
      const spec = { headSize: golden.headDim, theta: kind.config.rope_theta, scaling: scalingOf(kind.config), capacity: golden.positions };
      const table = ropeTable(spec);
      expect(table.length).toBe(cos.length * 2);
      let worst = 0;
      for (let i = 0; i < cos.length; i++) worst = Math.max(worst, Math.abs(table[2 * i] - cos[i]), Math.abs(table[2 * i + 1] - sin[i]));
      // Both are float64 rounded once to float32: at most one unit in the last place of values up to 1.14.
      expect(worst).toBeLessThanOrEqual(2 ** -23);
      expect(ropeFrequencies(spec).factor).toBeCloseTo(kind.attentionFactor, 12);
    });
  }
});

describe('refusals', () => {
  const base = { headSize: 8, theta: 10000, capacity: 4 };
  test('each names the value', () => {
    expect(() => ropeTable({ ...base, headSize: 7 })).toThrow(/even, got 7/);
    expect(() => ropeTable({ ...base, theta: 1 })).toThrow(/theta must be above 1, got 1/);
    expect(() => ropeTable({ ...base, capacity: 0 })).toThrow(/got 0/);
    expect(() => ropeTable({ ...base, scaling: { type: 'linear', factor: 0.5 } })).toThrow(/factor of at least 1, got 0.5/);
    const llama3 = { type: 'llama3', factor: 8, lowFreqFactor: 4, highFreqFactor: 4, originalMaxPositionEmbeddings: 32 } as const;
    expect(() => ropeTable({ ...base, scaling: llama3 })).toThrow(/got 4 and 4/);
  });
});
