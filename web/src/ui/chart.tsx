/**
 * A live line chart over the steps of a run, with its stages marked. Points may come at any rate; it draws once a frame. Colours are
 * names of the page's styles, so that the theme is followed; for those who cannot see it the latest values stand in its label and legend.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { theme } from './theme.tsx';

export interface Line {
  readonly label: string;
  /** A custom property of the page's styles, for example `--train`. */
  readonly colour: string;
  readonly values: readonly (number | null)[];
  /** Marks single points too: few and far between. */
  readonly points?: boolean;
}

/** Where a stage begins and what it is called. */
export interface Border {
  readonly at: number;
  readonly label: string;
}

export interface ChartProps {
  readonly id: string;
  /** What is shown, in words. */
  readonly title: string;
  readonly x: readonly number[];
  readonly lines: readonly Line[];
  readonly borders: readonly Border[];
  /** The last step of the run. */
  readonly end: number;
  /** Digits behind the point. */
  readonly digits?: number;
  /** A logarithmic axis. */
  readonly log?: boolean;
}

const colourOf = (box: Element, name: string): string => getComputedStyle(box).getPropertyValue(name).trim() || 'gray';
/** A colour of `light-dark()` is only resolved where it is used. */
function resolved(box: HTMLElement, name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  box.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour || colourOf(box, name);
}

const LATEST = -1;

export function Chart({ id, title, x, lines, borders, end, digits = 3, log = false }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const now = useRef({ borders, end });
  const frame = useRef(0);
  const [at, setAt] = useState(LATEST);
  now.current = { borders, end };
  const names = lines.map(({ label, colour }) => `${label}\n${colour}`).join('\n');
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const ink = resolved(element, '--soft');
    const rule = resolved(element, '--line');
    const colours = lines.map(({ colour }) => resolved(element, colour));
    const grid = { stroke: rule, width: 1 };
    const axis = { stroke: ink, grid, ticks: grid, font: '12px system-ui, sans-serif' };
    const size = (): { width: number; height: number } => ({ width: Math.max(200, element.clientWidth), height: Math.max(150, element.clientHeight) });
    const made = new uPlot(
      {
        ...size(),
        legend: { show: false },
        cursor: { drag: { x: false, y: false } },
        padding: [18, 12, 0, 0],
        scales: {
          x: { time: false, range: () => [0, Math.max(1, now.current.end)] },
          y: log
            ? { distr: 3 }
            : {
                // Room above and below, so that a level line never lies on the edge.
                range: (_, low, high) => {
                  if (low === null || high === null || !Number.isFinite(low)) return [0, 1];
                  const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
                  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
                },
              },
        },
        axes: [
          { ...axis, label: 'step', labelFont: axis.font, labelSize: 22, size: 36 },
          { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => (tick === null ? '' : shortNumber(tick))) },
        ],
        series: [
          {},
          ...lines.map(({ label, points = false }, i) => ({
            label,
            stroke: colours[i],
            width: points ? 2 : 1.5,
            spanGaps: true,
            points: { show: points, size: 7, fill: colours[i] },
          })),
        ],
        hooks: {
          setCursor: [(u) => setAt(u.cursor.idx ?? LATEST)],
          drawClear: [
            (u) => {
              const { ctx, bbox } = u;
              ctx.save();
              ctx.strokeStyle = rule;
              ctx.fillStyle = ink;
              ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
              ctx.lineWidth = devicePixelRatio;
              for (const border of now.current.borders) {
                const left = u.valToPos(border.at, 'x', true);
                ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
                ctx.beginPath();
                ctx.moveTo(left, bbox.top);
                ctx.lineTo(left, bbox.top + bbox.height);
                ctx.stroke();
                ctx.fillText(border.label, left + 4 * devicePixelRatio, bbox.top - 5 * devicePixelRatio);
              }
              ctx.restore();
            },
          ],
        },
      },
      [[], ...lines.map(() => [])],
      element,
    );
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize(size()));
    watch.observe(element);
    return () => {
      watch.disconnect();
      cancelAnimationFrame(frame.current);
      made.destroy();
      plot.current = null;
    };
  }, [names, theme.value, log]);

  useEffect(() => {
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(() => plot.current?.setData([x as number[], ...lines.map(({ values }) => values as (number | null)[])]));
  });

  const shown = ({ values }: Line): string => {
    const value = (at === LATEST ? undefined : values[at]) ?? values.findLast((v) => v !== null && Number.isFinite(v)) ?? null;
    return value === null ? '–' : digits === 0 ? String(Math.round(value)) : value.toPrecision(digits + 1);
  };
  const last = x.at(-1);
  return (
    <>
      <ul class="legend" id={`${id}-legend`}>
        {lines.map((line) => (
          <li key={line.label}>
            <span class="swatch" style={{ color: `var(${line.colour})` }} />
            {line.label} <output>{shown(line)}</output>
          </li>
        ))}
      </ul>
      <div
        id={id}
        ref={box}
        class="plot"
        role="img"
        aria-label={
          last === undefined ? `${title}: no steps yet` : `${title}, up to step ${last}: ${lines.map((line) => `${line.label} ${shown(line)}`).join(', ')}`
        }
      />
    </>
  );
}

/** A tick's number, short. */
function shortNumber(x: number): string {
  const size = Math.abs(x);
  if (size >= 1e6) return `${+(x / 1e6).toPrecision(3)}M`;
  if (size >= 1e4) return `${+(x / 1e3).toPrecision(3)}k`;
  return size > 0 && size < 1e-3 ? x.toExponential(0) : String(+x.toPrecision(4));
}
