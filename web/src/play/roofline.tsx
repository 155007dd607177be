/** The roofline of this device, measured: what a kernel of so many operations a byte could reach at most, and where those of this visit stand. Drawn as SVG, both axes logarithmic. */
import { entries, roofs } from './bench.ts';
import { giga } from './result.tsx';

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [640, 300, 58, 40, 12, 14];

/** A point brought along by a link. */
export interface ForeignPoint {
  readonly flops: number;
  readonly bytes: number;
  readonly device: string;
}

const log = Math.log10;
const tick = (power: number): string => (power >= 0 && power < 5 ? String(10 ** power) : `1e${power}`);

export function Roofline({ foreign }: { readonly foreign: ForeignPoint | null }) {
  const measured = roofs.value;
  if (!measured) return null;
  const timed = entries.value.filter(({ report }) => report.time);
  const points = timed.flatMap(({ report: { time }, draft }, i) => {
    if (!time || time.flops === 0 || time.bytes === 0) return [];
    return [{ label: String(i + 1), name: draft.kernel.split('/')[1], x: time.flops / time.bytes, y: time.flops / time.median, foreign: false }];
  });
  // A roof is the most that was seen here: a run of the visit may beat the product and the copy that were measured.
  const roof = {
    device: measured.device,
    flops: Math.max(measured.flops, ...points.map((p) => p.y)),
    bytesPerSecond: Math.max(measured.bytesPerSecond, ...points.map((p) => p.y / p.x)),
  };
  const all = foreign
    ? [...points, { label: 'link', name: `the link's, on ${foreign.device}`, x: foreign.flops / foreign.bytes, y: foreign.flops, foreign: true }]
    : points;
  const ridge = roof.flops / roof.bytesPerSecond;
  const x0 = Math.floor(Math.min(-1, log(ridge) - 1, ...all.map((p) => log(p.x))));
  const x1 = Math.ceil(Math.max(log(ridge) + 1, ...all.map((p) => log(p.x))) + 0.01);
  const y0 = Math.floor(Math.min(log(roof.flops) - 2, ...all.map((p) => log(p.y))));
  const y1 = Math.ceil(Math.max(log(roof.flops), ...all.map((p) => log(p.y))) + 0.01);
  const x = (value: number): number => LEFT + ((log(value) - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number => HEIGHT - BOTTOM - ((Math.max(y0, log(value)) - y0) / (y1 - y0)) * (HEIGHT - BOTTOM - TOP);
  const bound = (intensity: number): number => Math.min(roof.flops, intensity * roof.bytesPerSecond);
  const powers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const last = points.at(-1);
  const words = `Roofline of ${roof.device}, the most seen here: ${giga(roof.flops)} GFLOP/s, ${giga(roof.bytesPerSecond)} GB/s.${last ? ` Last run: ${last.name}, ${giga(last.y)} GFLOP/s at ${last.x.toPrecision(3)} operations a byte, ${Math.round((100 * last.y) / bound(last.x))} % of the roof.` : ''}`;
  return (
    <figure id="roofline">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={words}>
        {powers(x0, x1).map((p) => (
          <g key={`x${p}`}>
            <line class="grid" x1={x(10 ** p)} x2={x(10 ** p)} y1={TOP} y2={HEIGHT - BOTTOM} />
            <text x={x(10 ** p)} y={HEIGHT - BOTTOM + 16} text-anchor="middle">
              {tick(p)}
            </text>
          </g>
        ))}
        {powers(y0, y1).map((p) => (
          <g key={`y${p}`}>
            <line class="grid" x1={LEFT} x2={WIDTH - RIGHT} y1={y(10 ** p)} y2={y(10 ** p)} />
            <text x={LEFT - 6} y={y(10 ** p) + 4} text-anchor="end">
              {tick(p - 9)}
            </text>
          </g>
        ))}
        <text x={(LEFT + WIDTH) / 2} y={HEIGHT - 6} text-anchor="middle">
          operations a byte
        </text>
        <text transform={`translate(13 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`} text-anchor="middle">
          GFLOP/s
        </text>
        <polyline class="roof" points={[10 ** x0, ridge, 10 ** x1].map((at) => `${x(at)},${y(bound(at))}`).join(' ')} />
        {all.map((p) => (
          <g key={p.label} class={p.foreign ? 'point foreign' : p === last ? 'point last' : 'point'}>
            <circle cx={x(p.x)} cy={y(p.y)} r={p === last ? 6 : 4.5}>
              <title>{`${p.name}: ${giga(p.y)} GFLOP/s`}</title>
            </circle>
            <text x={x(p.x) + 9} y={y(p.y) + 4}>
              {p.label}
            </text>
          </g>
        ))}
      </svg>
      <figcaption>{words} Numbers are rows of the table.</figcaption>
    </figure>
  );
}
