/**
 * The log of a stage, read for its report: line by line, going on where the last reading ended, so that a live report costs
 * what is new. Curves are thinned as they grow (neighbours are averaged), so memory and page stay small however long the
 * run. Steps that a resume ran again replace the earlier ones.
 */
import { visible } from '../../base/markup.ts';
import { joinPath } from '../../base/path.ts';
import { readLines } from '../../formats/jsonl.ts';
import { host } from '../../host/index.ts';

/** A step, or the mean of a run of steps. */
export interface StepPoint {
  /** The last step it stands for, counted from 1. */
  readonly step: number;
  /** Steps it is the mean of. */
  readonly steps: number;
  readonly loss: number | null;
  readonly learningRate: number | null;
  readonly gradNorm: number | null;
  readonly tokensPerSecond: number | null;
  readonly peakShare: number | null;
  readonly deviceBytes: number | null;
  readonly residentBytes: number | null;
  readonly seconds: number | null;
  /** Tokens seen up to here in this stage. */
  readonly tokens: number;
}

/** A category's loss over the steps up to `step`. */
export interface TypePoint {
  readonly step: number;
  readonly steps: number;
  readonly loss: number | null;
}

export interface ValidationPoint {
  readonly step: number;
  readonly loss: number | null;
  readonly bitsPerByte: number | null;
  readonly byCategory: ReadonlyMap<string, number>;
  readonly moved: { readonly new: number | null; readonly old: number | null } | null;
  readonly samples: readonly { readonly prompt: string; readonly text: string }[];
}

interface EvaluationScore {
  readonly value: number;
  readonly low: number | null;
  readonly high: number | null;
  readonly n: number | null;
}

/** Shares of questions that were answered rightly, by set. */
export interface EvaluationPoint {
  readonly step: number;
  readonly scores: ReadonlyMap<string, EvaluationScore>;
}

/** A run of steps whose packs came from one bucket. */
export interface BucketSpan {
  readonly epoch: number;
  readonly bucket: number;
  /** Steps (from, to]. */
  from: number;
  to: number;
}

export interface StageEvent {
  readonly kind: string;
  readonly step: number | null;
  readonly message: string;
}

/** Points of a curve at most; beyond, neighbours are averaged. */
const MOST_POINTS = 800;
const MOST_EVENTS = 60;

const number = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);
const record = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {});
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Weighted mean of two values of which either may be missing. */
function mean(a: number | null, b: number | null, na: number, nb: number): number | null {
  if (a === null || b === null) return a ?? b;
  return (a * na + b * nb) / (na + nb);
}

/** Merges neighbours in pairs. */
function halved<P>(points: readonly P[], join: (a: P, b: P) => P): P[] {
  const out: P[] = [];
  for (let i = 0; i < points.length; i += 2) out.push(i + 1 < points.length ? join(points[i], points[i + 1]) : points[i]);
  return out;
}

function joinSteps(a: StepPoint, b: StepPoint): StepPoint {
  const of = (key: Exclude<keyof StepPoint, 'step' | 'steps' | 'tokens'>): number | null => mean(a[key], b[key], a.steps, b.steps);
  return {
    step: b.step,
    steps: a.steps + b.steps,
    tokens: b.tokens,
    loss: of('loss'),
    learningRate: of('learningRate'),
    gradNorm: of('gradNorm'),
    tokensPerSecond: of('tokensPerSecond'),
    peakShare: of('peakShare'),
    deviceBytes: of('deviceBytes'),
    residentBytes: of('residentBytes'),
    seconds: of('seconds'),
  };
}

const joinTypes = (a: TypePoint, b: TypePoint): TypePoint => ({ step: b.step, steps: a.steps + b.steps, loss: mean(a.loss, b.loss, a.steps, b.steps) });

/** One stage as its log tells it. Call `update` to take up what was written since. */
export class StageLog {
  readonly name: string;
  readonly dir: string;
  /** What `begin` said, of the last sitting. */
  facts: Readonly<Record<string, unknown>> = {};
  points: StepPoint[] = [];
  types = new Map<string, TypePoint[]>();
  validations: ValidationPoint[] = [];
  evaluations: EvaluationPoint[] = [];
  buckets: BucketSpan[] = [];
  events: StageEvent[] = [];
  /** Skipped steps, counted from 1; outliers apart. */
  skipped: { readonly step: number; readonly outlier: boolean }[] = [];
  /** How the last sitting ended; null while it goes (or where it was killed). */
  end: Readonly<Record<string, unknown>> | null = null;
  private offset = 0;
  private line = 1;

  constructor(name: string, dir: string) {
    this.name = visible(name);
    this.dir = dir;
  }

  /** The last step done. */
  get steps(): number {
    return Math.max(this.points.at(-1)?.step ?? 0, this.validations.at(-1)?.step ?? 0);
  }

  get tokens(): number {
    return this.points.at(-1)?.tokens ?? 0;
  }

  /** Steps it is planned to have; those done where the log does not say. */
  get planned(): number {
    return Math.max(this.steps, number(this.facts.steps) ?? 0);
  }

  /** Reads what is new. A log that is not there yet is an empty one; the unfinished last line of a writer at work is left for the next time. */
  async update(): Promise<void> {
    const { files } = await host();
    const path = joinPath(this.dir, 'log.jsonl');
    if ((await files.stat(path)) === null) return;
    const reader = await files.open(path);
    try {
      // Another run began in this folder.
      if (reader.size < this.offset) this.forget();
      for await (const line of readLines(reader, { name: path, offset: this.offset, line: this.line, keepBad: true })) {
        let value: unknown = null;
        try {
          if (line.text.trim() !== '') value = JSON.parse(line.text);
        } catch {
          if (line.next >= reader.size) return;
        }
        this.offset = line.next;
        this.line = line.line + 1;
        if (value !== null) this.take(record(value));
      }
    } finally {
      await reader.close();
    }
  }

  private forget(): void {
    this.facts = {};
    this.points = [];
    this.types = new Map();
    this.validations = [];
    this.evaluations = [];
    this.buckets = [];
    this.events = [];
    this.skipped = [];
    this.end = null;
    this.offset = 0;
    this.line = 1;
  }

  private take(e: Record<string, unknown>): void {
    const step = number(e.step);
    if (e.event === 'step' && step !== null) this.takeStep(step + 1, e);
    else if (e.event === 'validation' && step !== null) this.takeValidation(step, e);
    else if (e.event === 'evaluation' && step !== null) this.takeEvaluation(step, e);
    else if (e.event === 'begin') {
      this.facts = e;
      this.end = null;
    } else if (e.event === 'end') this.end = e;
    else if (text(e.message) !== '' && e.event !== 'skipped') {
      this.events.push({ kind: text(e.event), step, message: text(e.message) });
      if (this.events.length > MOST_EVENTS) this.events.shift();
    }
  }

  /** Forgets what was known of `step` and later: it is run again. */
  private rewind(step: number): void {
    if ((this.points.at(-1)?.step ?? 0) < step) return;
    this.points = this.points.filter((p) => p.step < step);
    for (const [name, points] of this.types) {
      this.types.set(
        name,
        points.filter((p) => p.step < step),
      );
    }
    this.validations = this.validations.filter((v) => v.step < step);
    this.evaluations = this.evaluations.filter((v) => v.step < step);
    this.skipped = this.skipped.filter((s) => s.step < step);
    this.buckets = this.buckets.filter((b) => b.from < step - 1).map((b) => ({ ...b, to: Math.min(b.to, step - 1) }));
  }

  private takeStep(step: number, e: Record<string, unknown>): void {
    this.rewind(step);
    const skipped = e.skipped === true;
    this.points.push({
      step,
      steps: 1,
      loss: skipped ? null : number(e.loss),
      learningRate: number(e.learningRate),
      gradNorm: skipped && e.outlier !== true ? null : number(e.gradNorm),
      tokensPerSecond: number(e.tokensPerSecond),
      peakShare: number(e.peakShare),
      deviceBytes: number(e.deviceBytes),
      residentBytes: number(e.residentBytes),
      seconds: number(e.seconds),
      tokens: number(e.tokensSeen) ?? this.tokens,
    });
    if (this.points.length > MOST_POINTS) this.points = halved(this.points, joinSteps);
    if (skipped) this.skipped.push({ step, outlier: e.outlier === true });
    for (const [given, value] of Object.entries(record(e.byType))) {
      const name = visible(given);
      const points = this.types.get(name) ?? [];
      points.push({ step, steps: 1, loss: number(record(value).loss) });
      this.types.set(name, points.length > MOST_POINTS ? halved(points, joinTypes) : points);
    }
    const bucket = number(e.bucket);
    if (bucket === null) return;
    const epoch = number(e.epoch) ?? 0;
    const last = this.buckets.at(-1);
    if (last?.bucket === bucket && last.epoch === epoch) last.to = step;
    else this.buckets.push({ epoch, bucket, from: last?.to ?? step - 1, to: step });
  }

  private takeValidation(step: number, e: Record<string, unknown>): void {
    this.validations = this.validations.filter((v) => v.step < step);
    const byCategory = new Map<string, number>();
    for (const [name, value] of Object.entries(record(e.byCategory))) {
      const bits = number(record(value).bitsPerByte);
      if (bits !== null) byCategory.set(visible(name), bits);
    }
    const moved = e.drift ? { new: number(record(e.drift).new), old: number(record(e.drift).old) } : null;
    const samples = (Array.isArray(e.samples) ? e.samples : []).flatMap((s) =>
      text(record(s).prompt) === '' ? [] : [{ prompt: text(record(s).prompt), text: text(record(s).text) }],
    );
    this.validations.push({ step, loss: number(e.loss), bitsPerByte: number(e.bitsPerByte), byCategory, moved, samples });
  }

  private takeEvaluation(step: number, e: Record<string, unknown>): void {
    this.evaluations = this.evaluations.filter((v) => v.step < step);
    const scores = new Map<string, EvaluationScore>();
    for (const [name, score] of Object.entries(record(e.scores))) {
      const { value, low, high, n } = record(score);
      const share = number(value);
      if (share !== null) scores.set(visible(name), { value: share, low: number(low), high: number(high), n: number(n) });
    }
    this.evaluations.push({ step, scores });
  }
}
