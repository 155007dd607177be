/** A run's stages on one axis: where each begins, and what is missing where nothing was measured. */
import { describe, expect, it } from 'vitest';
import type { StageView } from '../protocol.ts';
import { curvesOf } from './curves.ts';

const point = (step: number, loss: number) => ({ step, loss, rate: 0.1, norm: 1, tokensPerSecond: 10 });
const look = (step: number, byCategory: Record<string, number>) => ({ step, bits: 1, byCategory, samples: [] });
const stage = (name: string, steps: number, points: StageView['points'], validations: StageView['validations'] = []): StageView => ({
  name,
  steps,
  points,
  validations,
});

describe('curves of a run', () => {
  it('lay stages one behind the other', () => {
    const made = curvesOf(
      {
        stages: [
          stage('base', 3, [point(0, 5), point(1, Number.NaN), point(2, 3)], [look(0, { en: 4 }), look(3, { en: 3 })]),
          stage('inject', 2, [point(0, 9)], [look(0, { en: 3.5, zh: 7 })]),
        ],
      },
      'loss',
    );
    expect(made.borders).toEqual([
      { at: 0, label: 'base' },
      { at: 3, label: 'inject' },
    ]);
    expect(made.end).toBe(5);
    expect(made.x).toEqual([0, 1, 2, 3]);
    // What is no number is a gap.
    expect(made.trained[0].values).toEqual([5, null, 3, 9]);
    expect(made.heldX).toEqual([0, 3, 3]);
    expect(made.held.map(({ label, values }) => [label, values])).toEqual([
      ['en', [4, 3, 3.5]],
      ['zh', [null, null, 7]],
    ]);
  });

  it('take a stage for as long as it was where nobody knows how long it will be', () => {
    expect(curvesOf({ stages: [stage('a', 0, [point(0, 1), point(1, 1)]), stage('b', 0, [])] }, 'norm')).toMatchObject({
      end: 2,
      borders: [{ at: 0 }, { at: 2 }],
    });
  });
});
