/**
 * A run's logs: one JSON line an event in `log.jsonl`, and TensorBoard scalars that every viewer reads.
 * After a resume both go on; steps that were lost with a crash or a device appear again, as they were run again
 * (viewers are told to drop the earlier ones).
 */
import { joinPath } from '../base/path.ts';
import { JsonlWriter } from '../formats/jsonl.ts';
import { type EventWriter, eventFileName, openEventWriter } from '../formats/tensorboard.ts';
import type { HostFiles } from '../host/types.ts';
import type { EvaluationReport, StepReport, ValidationReport } from './trainer.ts';

/** What a run is, for its report. */
export interface RunFacts {
  /** First step of this sitting, and the last of the run. */
  readonly step: number;
  readonly steps: number;
  readonly device: string;
  readonly runtime: string;
  readonly parameters: number;
  readonly precision: string;
  readonly plannedBytes: number;
  /** FLOP/s of a matrix product on this device, where known. */
  readonly peakFlops: number | null;
  /** Buckets of the data, where it has such. */
  readonly buckets: number | null;
}

/** Open logs of one run folder. */
export class RunLogs {
  private readonly jsonl: JsonlWriter;
  private readonly events: EventWriter;
  private readonly file: { sync(): Promise<void>; close(): Promise<void> };
  /** Writes are chained, so that lines never interleave; the first failure is kept for `close`. */
  private chain: Promise<void> = Promise.resolve();
  private failure: unknown = null;

  private constructor(jsonl: JsonlWriter, file: RunLogs['file'], events: EventWriter) {
    this.jsonl = jsonl;
    this.file = file;
    this.events = events;
  }

  /** Opens or continues the logs in `dir`. `step` above 0 tells viewers that what follows replaces later points. */
  static async open(files: HostFiles, dir: string, step: number): Promise<RunLogs> {
    await files.makeDir(dir);
    const file = await files.create(joinPath(dir, 'log.jsonl'), { append: true });
    const seconds = Math.floor(Date.now() / 1000);
    const events = await openEventWriter(files, joinPath(dir, eventFileName(seconds, 'scion')));
    const logs = new RunLogs(new JsonlWriter(file), file, events);
    if (step > 0) await events.restart(step);
    return logs;
  }

  private enqueue(work: () => Promise<void>): void {
    this.chain = this.chain.then(work).catch((error: unknown) => {
      this.failure ??= error;
    });
  }

  /** What the run is, once it goes: facts that the report tells. */
  begin(facts: RunFacts): void {
    this.event('begin', { ...facts });
  }

  /** One step: loss, rate, norm, speed; memory where the host can tell. */
  step(r: StepReport, memory: { readonly planned: number; readonly resident: number | null }): void {
    this.enqueue(async () => {
      await this.jsonl.write({
        event: 'step',
        step: r.step,
        loss: r.loss,
        learningRate: r.learningRate,
        gradNorm: r.gradNorm,
        lossScale: r.lossScale,
        skipped: r.skipped,
        ...(r.outlier && { outlier: true }),
        labels: r.tokens,
        tokensSeen: r.tokensSeen,
        tokensPerSecond: r.tokensPerSecond,
        flopsPerSecond: r.flopsPerSecond,
        seconds: r.seconds,
        peakShare: r.peakShare,
        epoch: r.epoch,
        ...(r.bucket !== null && { bucket: r.bucket }),
        ...(r.byType && { byType: r.byType }),
        deviceBytes: r.deviceBytes,
        residentBytes: memory.resident,
      });
      await this.events.scalars(r.step, {
        'train/loss': r.loss,
        ...Object.fromEntries(Object.entries(r.byType ?? {}).map(([name, { loss }]) => [`train/loss/${name}`, loss])),
        'train/skipped': r.skipped ? 1 : 0,
        'train/learning_rate': r.learningRate,
        'train/grad_norm': r.gradNorm,
        'speed/tokens_per_second': r.tokensPerSecond,
        'speed/flops_per_second': r.flopsPerSecond,
        ...(r.peakShare !== null && { 'speed/peak_share': r.peakShare }),
        'memory/planned_bytes': memory.planned,
        'memory/device_bytes': r.deviceBytes,
        ...(memory.resident !== null && { 'memory/resident_bytes': memory.resident }),
      });
    });
  }

  validation(v: ValidationReport): void {
    this.enqueue(async () => {
      await this.jsonl.write({ event: 'validation', ...v });
      const scalars: Record<string, number> = { 'validation/loss': v.loss, 'validation/bits_per_byte': v.bitsPerByte };
      for (const [name, { loss, bitsPerByte }] of Object.entries(v.byCategory)) {
        scalars[`validation/${name}/loss`] = loss;
        scalars[`validation/${name}/bits_per_byte`] = bitsPerByte;
      }
      for (const side of ['new', 'old'] as const) {
        const moved = v.drift?.[side] ?? null;
        if (moved !== null) scalars[`rows/${side}_moved`] = moved;
      }
      await this.events.scalars(v.step, scalars);
      for (const [i, { prompt, text }] of v.samples.entries()) await this.events.text(v.step, `samples/${i + 1}`, `**${prompt}**${text}`);
    });
  }

  evaluation(v: EvaluationReport): void {
    this.enqueue(async () => {
      await this.jsonl.write({ event: 'evaluation', ...v });
      await this.events.scalars(v.step, Object.fromEntries(Object.entries(v.scores).map(([name, { value }]) => [`eval/${name}`, value])));
    });
  }

  /** What follows takes the place of points from `step` on: they were lost with a device and are run again. */
  restart(step: number): void {
    this.enqueue(() => this.events.restart(step));
  }

  /** Anything else worth a line: a save, a skipped step, a lost device. */
  event(kind: string, values: Readonly<Record<string, unknown>>): void {
    this.enqueue(() => this.jsonl.write({ event: kind, ...values }));
  }

  /** Hands everything to the files. */
  async flush(): Promise<void> {
    this.enqueue(async () => {
      await this.jsonl.flush();
      await this.events.sync();
    });
    await this.chain;
  }

  /** Flushes and closes; throws the first error a write met. */
  async close(): Promise<void> {
    await this.flush();
    await this.file.sync();
    await this.file.close();
    await this.events.close();
    if (this.failure) throw this.failure;
  }
}
