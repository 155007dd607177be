/**
 * The loss curve: training and held-out bits per byte over steps, and the n-gram model as a level to get below. Points
 * may come at any rate; it draws once a frame. Colours come from the page's styles, so the theme is followed.
 */
import uPlot from 'uplot';
import type { Point } from './protocol.ts';

/** Elements that the chart needs of the page. */
export interface ChartParts {
  readonly box: HTMLElement;
  /** Holds one swatch a series, of the class named here, in the series' colour. */
  readonly legend: HTMLElement;
  readonly outputs: Readonly<Record<Series, HTMLElement>>;
}

type Series = 'train' | 'held' | 'ngram';
const SERIES: readonly Series[] = ['train', 'held', 'ngram'];

const shown = (value: number | null | undefined): string => (value === null || value === undefined ? '–' : value.toFixed(3));

/** A live chart. */
export class LossChart {
  private readonly parts: ChartParts;
  private readonly plot: uPlot;
  private steps = 1;
  /** By step, from 0 to `steps`. */
  private values: Record<Series, (number | null)[]> = { train: [null, null], held: [null, null], ngram: [null, null] };
  private drawing = false;

  constructor(parts: ChartParts) {
    this.parts = parts;
    this.plot = new uPlot(this.options(), this.data(), parts.box);
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(parts.box);
  }

  /** Empties the chart for a run of so many steps. */
  reset(steps: number, ngram: number | null): void {
    this.steps = steps;
    const empty = (): (number | null)[] => new Array<number | null>(steps + 1).fill(null);
    this.values = { train: empty(), held: empty(), ngram: empty().fill(ngram) };
    this.draw();
  }

  add(series: 'train' | 'held', points: readonly Point[]): void {
    for (const [step, bits] of points) if (step <= this.steps && Number.isFinite(bits)) this.values[series][step] = bits;
    this.draw();
  }

  /** Draws again in the next frame; call after a change of theme. */
  draw(): void {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.plot.setData(this.data());
      this.tell(null);
    });
  }

  private data(): uPlot.AlignedData {
    const { train, held, ngram } = this.values;
    return [Array.from({ length: this.steps + 1 }, (_, i) => i), train, held, ngram];
  }

  private size(): { width: number; height: number } {
    const { clientWidth, clientHeight } = this.parts.box;
    return { width: Math.max(200, clientWidth), height: Math.max(150, clientHeight) };
  }

  /** Values under the pointer, or the latest, beside the names; and the whole in words for those who cannot see it. */
  private tell(index: number | null | undefined): void {
    const latest = (series: Series): number | null => this.values[series].findLast((v) => v !== null) ?? null;
    for (const series of SERIES) {
      const at = index === null || index === undefined ? latest(series) : this.values[series][index];
      this.parts.outputs[series].textContent = shown(at);
    }
    const step = this.values.train.findLastIndex((v) => v !== null);
    this.parts.box.setAttribute(
      'aria-label',
      step < 0
        ? 'Loss curve: no steps yet'
        : `Loss curve up to step ${step + 1}: training ${shown(latest('train'))}, held-out ${shown(latest('held'))}, n-gram model ${shown(latest('ngram'))} bits per byte`,
    );
  }

  private options(): uPlot.Options {
    const { box, legend } = this.parts;
    const colour = (series: Series) => () => {
      const swatch = legend.querySelector(`.${series}`);
      return swatch ? getComputedStyle(swatch).color : 'gray';
    };
    const ink = () => getComputedStyle(box).color;
    const grid = { stroke: () => getComputedStyle(box).borderTopColor, width: 1 };
    const axis = { stroke: ink, grid, ticks: grid, font: '12px system-ui, sans-serif' };
    return {
      ...this.size(),
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      padding: [8, 12, 0, 0],
      scales: {
        x: { time: false, range: () => [0, this.steps] },
        // Room above and below, so that a level line never lies on the edge.
        y: { range: (_, low, high) => (low === null || high === null || !Number.isFinite(low) ? [0, 4] : [Math.max(0, low - 0.15), high + 0.15]) },
      },
      axes: [
        { ...axis, label: 'step', labelFont: axis.font, labelSize: 22, size: 36 },
        { ...axis, size: 48 },
      ],
      series: [
        {},
        { label: 'training', stroke: colour('train'), width: 1.5, spanGaps: true, points: { show: false } },
        { label: 'held-out', stroke: colour('held'), width: 2.5, spanGaps: true, points: { show: true, size: 7, fill: colour('held') } },
        { label: 'n-gram', stroke: colour('ngram'), width: 1.5, dash: [6, 5], points: { show: false } },
      ],
      hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx)] },
    };
  }
}
