/**
 * Steps with keys: what is done stays done, what changed is done anew, what was cut off goes on. A step's key is a hash of its
 * configuration and of what the steps before it gave; beside it lies its result as plain JSON. A step that is run again
 * under the same key finds its own folder as it left it; under another key it finds an empty one.
 */
import { ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { hashJson } from '../host/hashing.ts';
import type { Host } from '../host/types.ts';
import { writeWhole } from '../host/whole-file.ts';

/** Raised when what a step writes changes its meaning: all steps are then done again. */
const ENGINE_VERSION = 1;

/** What is shown of a step under way. */
export type StepProgress = (message: string) => void;

/** A piece of the run. `R` is plain JSON. */
export interface Step<R> {
  /** Names its record; letters, digits, `-`, `_` and `.`. */
  readonly id: string;
  /** In words, for status lines and the plan. */
  readonly title: string;
  /** All that its result depends on: configuration, and keys and results of steps before. Asked when those are done. */
  inputs(): unknown | Promise<unknown>;
  /** Folders and files below the run that are this step's alone; emptied when its key changes. */
  readonly owns: readonly string[];
  /** Does it, or goes on with it. `previous` is the result of a finished run under the same key that is no longer intact. */
  run(progress: StepProgress, previous: R | null): Promise<R>;
  /** Whether what a finished run left is still there. */
  intact?(result: R): Promise<boolean>;
}

/** What is on record of a step. */
interface Entry {
  readonly engine: number;
  readonly key: string;
  readonly done: boolean;
  readonly seconds?: number;
  readonly result?: unknown;
}

/** How a step came to its result. */
export interface StepOutcome {
  readonly id: string;
  readonly title: string;
  readonly key: string;
  readonly skipped: boolean;
  /** Of the run that finished it. */
  readonly seconds: number;
}

/** Runs steps of one run folder in order. */
export class StepRunner {
  readonly outcomes: StepOutcome[] = [];
  private readonly host: Host;
  private readonly dir: string;
  private readonly options: {
    readonly version: string;
    readonly stop?: { readonly requested: boolean };
    readonly onStep?: (event: { readonly id: string; readonly title: string; readonly state: 'skipped' | 'begins' | 'done'; readonly seconds: number }) => void;
    readonly onProgress?: StepProgress;
  };

  constructor(host: Host, dir: string, options: StepRunner['options']) {
    this.host = host;
    this.dir = dir;
    this.options = options;
  }

  private record(id: string): string {
    return joinPath(this.dir, 'steps', `${id}.json`);
  }

  private async read(id: string): Promise<Entry | null> {
    const { files } = this.host;
    const path = this.record(id);
    if ((await files.stat(path)) === null) return null;
    try {
      return JSON.parse(new TextDecoder().decode(await files.read(path))) as Entry;
    } catch {
      // Cut off or not ours: as good as none.
      return null;
    }
  }

  private async write(id: string, entry: Entry): Promise<void> {
    await this.host.files.makeDir(joinPath(this.dir, 'steps'));
    await writeWhole(this.host.files, this.record(id), new TextEncoder().encode(`${JSON.stringify(entry, null, 1)}\n`));
  }

  /** The result of a step: the one on record if its key is still the same and all of it is there, else of a run now. */
  async run<R>(step: Step<R>): Promise<R> {
    const { files } = this.host;
    const { onStep, onProgress = () => {}, stop, version } = this.options;
    const key = await hashJson(() => this.host.sha256(), { engine: ENGINE_VERSION, version, id: step.id, inputs: (await step.inputs()) ?? null });
    const found = await this.read(step.id);
    const same = found?.engine === ENGINE_VERSION && found.key === key;
    const about = { id: step.id, title: step.title };
    if (same && found.done && ((await step.intact?.(found.result as R)) ?? true)) {
      const seconds = found.seconds ?? 0;
      this.outcomes.push({ ...about, key, skipped: true, seconds });
      onStep?.({ ...about, state: 'skipped', seconds });
      return found.result as R;
    }
    if (stop?.requested) throw new ScionError('interrupted', `stopped before "${step.title}"; the same command goes on from here`);
    if (!same) {
      // The record goes first: a folder half emptied belongs to no key.
      await files.remove(this.record(step.id));
      for (const path of step.owns) await files.remove(joinPath(this.dir, path));
      await this.write(step.id, { engine: ENGINE_VERSION, key, done: false });
    }
    onStep?.({ ...about, state: 'begins', seconds: 0 });
    const began = this.host.now();
    const result = await step.run(onProgress, same && found.done ? (found.result as R) : null);
    const seconds = (this.host.now() - began) / 1000;
    await this.write(step.id, { engine: ENGINE_VERSION, key, done: true, seconds, result });
    this.outcomes.push({ ...about, key, skipped: false, seconds });
    onStep?.({ ...about, state: 'done', seconds });
    return result;
  }

  /** The key of a step that has run; what later steps depend on. */
  keyOf(id: string): string {
    const found = this.outcomes.find((outcome) => outcome.id === id);
    if (!found) throw new ScionError('internal', `step "${id}" has not run`);
    return found.key;
  }
}
