/**
 * What every step of a build works with: the host, the pool, the configuration, the folders, and an account of where time went.
 * Nothing here knows which steps there are.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import type { Host } from '../../host/types.ts';
import type { SectionLead } from '../dedup/section-ranks.ts';
import type { BuildConfig } from './config.ts';
import type { Counts } from './counts.ts';
import type { TaskPool } from './pool.ts';

/** Shards of a step from which on workers are made anew behind it. */
const RENEW_TASKS = 32;

export interface BuildProgress {
  readonly step: string;
  readonly done: number;
  readonly total: number;
}

/** Whom a build tells how far it is, and who may stop it. */
export interface BuildListener {
  readonly onProgress?: (progress: BuildProgress) => void;
  readonly stop?: { readonly requested: boolean };
}

/** One build under way. */
export class BuildEnv {
  readonly host: Host;
  readonly config: BuildConfig;
  /** The output folder. */
  readonly out: string;
  readonly pool: TaskPool;
  /** Wall time by step. */
  readonly seconds = new Map<string, number>();
  /** Other ranks of the build, where there are any. */
  readonly sections: SectionLead | undefined;
  readonly #listener: BuildListener;

  constructor(host: Host, config: BuildConfig, out: string, pool: TaskPool, listener: BuildListener & { readonly sections?: SectionLead }) {
    this.host = host;
    this.config = config;
    this.out = out;
    this.pool = pool;
    this.sections = listener.sections;
    this.#listener = listener;
  }

  work(name: string): string {
    return joinPath(this.out, 'work', name);
  }

  drops(step: string): string {
    return joinPath(this.out, 'drops', step);
  }

  /** Tells how far a step is, and stops here if that was asked for. */
  readonly progress = (step: string, done: number, total: number): void => {
    this.#listener.onProgress?.({ step, done, total });
    if (this.#listener.stop?.requested) throw new ScionError('interrupted', 'stopped; the same command goes on from here');
  };

  readonly timed = async <T>(step: string, work: () => Promise<T>): Promise<T> => {
    const began = this.host.now();
    const result = await work();
    this.seconds.set(step, (this.seconds.get(step) ?? 0) + (this.host.now() - began) / 1000);
    return result;
  };

  /** After much work of one kind the workers are made anew; after little it would cost more than it gives. */
  readonly rest = async (tasks: number): Promise<void> => {
    if (tasks >= RENEW_TASKS) await this.pool.renew();
  };

  /** Wall time of a group of fused steps, shared out by the work of each. */
  share(group: string, counts: Counts): void {
    const wall = this.seconds.get(group) ?? 0;
    this.seconds.delete(group);
    let work = 0;
    for (const seconds of counts.seconds.values()) work += seconds;
    for (const [step, seconds] of counts.seconds) this.seconds.set(step, (this.seconds.get(step) ?? 0) + (work > 0 ? (wall * seconds) / work : 0));
  }
}
