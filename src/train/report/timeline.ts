/**
 * Several stages on one axis: steps count on from stage to stage, and so do tokens. Every chart of a report takes its x
 * from here, so that a border or a step stands at the same place in all of them.
 */
import { si } from '../../base/format.ts';
import type { StageLog, StepPoint } from './read-log.ts';

/** A stage's place on the axis. */
export interface Placed {
  readonly log: StageLog;
  /** Steps and tokens before it. */
  readonly from: number;
  readonly tokensFrom: number;
  /** Index, from 0. */
  readonly index: number;
}

/** A line over all stages, as a chart's series takes it. */
export interface Curve {
  readonly x: number[];
  readonly values: number[];
  readonly breaks: number[];
}

/** Stages in order. */
export class Timeline {
  readonly stages: readonly Placed[];
  private readonly known: readonly { readonly x: number; readonly tokens: number }[];

  constructor(logs: readonly StageLog[]) {
    let from = 0;
    let tokensFrom = 0;
    const begun = logs.filter((log) => log.steps > 0 || log.validations.length > 0);
    this.stages = begun.map((log, index) => {
      const placed = { log, from, tokensFrom, index };
      from += log.steps;
      tokensFrom += log.tokens;
      return placed;
    });
    this.known = [{ x: 0, tokens: 0 }, ...this.stages.flatMap((s) => s.log.points.map((p) => ({ x: s.from + p.step, tokens: s.tokensFrom + p.tokens })))];
  }

  /** Steps of all stages. */
  get steps(): number {
    return this.stages.reduce((sum, { log }) => sum + log.steps, 0);
  }

  get tokens(): number {
    return this.stages.reduce((sum, { log }) => sum + log.tokens, 0);
  }

  /** Tokens seen after step `x`, between known points in proportion. */
  tokensAt(x: number): number {
    const at = this.known.findIndex((k) => k.x >= x);
    if (at < 0) return this.tokens;
    if (at === 0) return 0;
    const [a, b] = [this.known[at - 1], this.known[at]];
    return a.tokens + ((b.tokens - a.tokens) * (x - a.x)) / (b.x - a.x || 1);
  }

  /** What every chart over steps has in common. */
  axis(): {
    readonly x: readonly number[];
    readonly xName: string;
    readonly unit: string;
    readonly second: { readonly name: string; readonly at: (x: number) => string };
    readonly parts: readonly { readonly x: number; readonly text: string }[];
  } {
    return {
      x: [0, this.steps],
      xName: 'steps',
      unit: 'steps',
      second: { name: 'tokens', at: (x) => si(Number(this.tokensAt(x).toPrecision(3))) },
      parts: this.borders(({ from }) => from),
    };
  }

  /** Where stages begin, if there are several. */
  borders(at: (stage: Placed) => number): { x: number; text: string }[] {
    return this.stages.length > 1 ? this.stages.map((stage) => ({ x: at(stage), text: stage.log.name })) : [];
  }

  /** A curve over all stages: x and y of each point that has the value, and where stages begin in it. */
  curve(value: (point: StepPoint) => number | null): Curve {
    return this.join(({ log }) => log.points.map((point) => ({ step: point.step, y: value(point) })));
  }

  /** As `curve`, of any points that a stage has, by their step in it. */
  join(pointsOf: (stage: Placed) => readonly { readonly step: number; readonly y: number | null }[]): Curve {
    const curve: Curve = { x: [], values: [], breaks: [] };
    for (const stage of this.stages) {
      curve.breaks.push(curve.x.length);
      for (const { step, y } of pointsOf(stage)) {
        if (y === null) continue;
        curve.x.push(stage.from + step);
        curve.values.push(y);
      }
    }
    return curve;
  }
}
