/** A run's stages laid one behind the other on one axis of steps, as lines for charts. */
import type { RunView, StepPoint } from '../protocol.ts';
import type { Border, Line } from '../ui/chart.tsx';

export type Metric = 'loss' | 'rate' | 'norm' | 'tokensPerSecond';
/** What can be drawn of every step. */
export const METRICS: Readonly<Record<Metric, { readonly label: string; readonly digits: number }>> = {
  loss: { label: 'loss, nats a token', digits: 3 },
  rate: { label: 'learning rate', digits: 2 },
  norm: { label: 'gradient norm', digits: 2 },
  tokensPerSecond: { label: 'tokens a second', digits: 0 },
};

/** Colours of categories, in order. */
const COLOURS = ['--held', '--train', '--c3', '--c4', '--c5', '--c6'];

export interface Curves {
  readonly borders: readonly Border[];
  readonly end: number;
  readonly x: readonly number[];
  readonly trained: readonly Line[];
  readonly heldX: readonly number[];
  readonly held: readonly Line[];
}

/** Lines of a run: one metric of its steps, and bits per byte of held-out text by category. */
export function curvesOf(run: Pick<RunView, 'stages'>, metric: Metric): Curves {
  const borders: Border[] = [];
  const x: number[] = [];
  const values: (number | null)[] = [];
  const heldX: number[] = [];
  const categories = [...new Set(run.stages.flatMap(({ validations }) => validations.flatMap(({ byCategory }) => Object.keys(byCategory))))];
  const held = categories.map((): (number | null)[] => []);
  let offset = 0;
  for (const { name, steps, points, validations } of run.stages) {
    borders.push({ at: offset, label: name });
    for (const point of points) {
      x.push(offset + point.step);
      values.push(finite(point, metric));
    }
    for (const { step, byCategory } of validations) {
      heldX.push(offset + step);
      categories.forEach((category, i) => {
        held[i].push(byCategory[category] ?? null);
      });
    }
    offset += Math.max(steps, (points.at(-1)?.step ?? -1) + 1);
  }
  return {
    borders,
    end: offset,
    x,
    trained: [{ label: METRICS[metric].label, colour: '--train', values }],
    heldX,
    held: categories.map((label, i) => ({ label, colour: COLOURS[i % COLOURS.length], values: held[i], points: true })),
  };
}

function finite(point: StepPoint, metric: Metric): number | null {
  const value = point[metric];
  return Number.isFinite(value) ? value : null;
}
