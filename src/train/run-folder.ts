/**
 * One run on disk: the lock that keeps a second trainer out, the resolved config, logs, checkpoints. The
 * folder is self-contained: what was asked, on which device, with which kernel choices, and how far it got.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { baseName, joinPath } from '../base/path.ts';
import { listCheckpoints, makeDurableDir, recoverCheckpoints } from '../checkpoint/folders.ts';
import { loadLatest } from '../checkpoint/load.ts';
import { acquireLock, type FolderLock } from '../checkpoint/lock.ts';
import { hashJson, readManifest } from '../checkpoint/manifest.ts';
import { loadLatestOnRanks, saveOnRanks } from '../checkpoint/ranks.ts';
import { type SaveOptions, saveCheckpoint } from '../checkpoint/save.ts';
import type { SplitStates } from '../checkpoint/store.ts';
import type { Transport } from '../comm/types.ts';
import { jsonBytes } from '../formats/json.ts';
import type { Profile } from '../gpu/facts.ts';
import { host } from '../host/index.ts';
import { writeWhole } from '../host/whole-file.ts';
import { onFirst } from '../shard/say.ts';
import { type RunFacts, RunLogs } from './logs.ts';
import { RankStepper } from './rank-stepper.ts';
import { RunReport } from './report/build.ts';
import type { Stepper } from './stepper.ts';
import type { Checkpointer, TrainerState, TrainHooks, TrainResult } from './trainer.ts';

/** The live report's name in the folder. */
export const REPORT_NAME = 'report.html';
/** Share of a run's time that drawing its report may take. */
const REPORT_SHARE = 0.005;
/** Milliseconds between two renewals of the lock. */
const REFRESH_MS = 30_000;

/** What a run folder is opened for. */
export interface RunFolderOptions {
  readonly dir: string;
  /** What must not change between a save and its resume; plain JSON, written to `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly version: string;
  /** Goes on in a folder that already holds checkpoints; otherwise such a folder is refused. */
  readonly resume: boolean;
  readonly keep?: number;
  /** The ranks that open it together: the first one holds the lock and writes logs, all write and read checkpoints. */
  readonly group?: Transport;
}

/** An open run folder. */
export class RunFolder implements Checkpointer {
  readonly dir: string;
  readonly checkpoints: string;
  private readonly options: RunFolderOptions;
  /** Null on ranks other than the first. */
  private readonly lock: FolderLock | null;
  private readonly configHash: string;
  private readonly timer: ReturnType<typeof setInterval>;
  private logs: RunLogs | null = null;
  private readonly report: RunReport;
  /** Milliseconds that the last report took, and when it was done. */
  private drawn = { took: 0, at: Number.NEGATIVE_INFINITY };
  private lockError: unknown = null;
  /** What was odd about the folder when it was opened or loaded: leftovers removed, damaged checkpoints passed over. */
  readonly notes: string[] = [];

  private constructor(options: RunFolderOptions, lock: FolderLock | null) {
    this.options = options;
    this.dir = options.dir;
    this.checkpoints = joinPath(options.dir, 'checkpoints');
    this.lock = lock;
    this.report = new RunReport([{ name: baseName(options.dir), dir: options.dir }]);
    this.configHash = hashJson(options.config);
    this.timer = setInterval(() => {
      lock?.refresh().catch((error: unknown) => {
        this.lockError ??= error;
      });
    }, REFRESH_MS);
    (this.timer as { unref?: () => void }).unref?.();
  }

  /**
   * Locks the folder (made if missing), removes what dead runs left, checks that it may be used.
   * @throws ScionError `locked` naming the holder; `usage` if there are checkpoints and `resume` is off.
   */
  static async open(options: RunFolderOptions): Promise<RunFolder> {
    const { group } = options;
    if (!group || group.size === 1) return RunFolder.openAlone(options);
    let first: RunFolder | null = null;
    await onFirst(group, async () => {
      first = await RunFolder.openAlone(options);
    });
    return first ?? new RunFolder(options, null);
  }

  /** False on a rank that leaves logs, tokenizer and report to the first. */
  get leads(): boolean {
    return this.lock !== null;
  }

  private static async openAlone(options: RunFolderOptions): Promise<RunFolder> {
    const machine = await host();
    const { files } = machine;
    await makeDurableDir(files, options.dir);
    const lock = await acquireLock(machine, options.dir);
    const folder = new RunFolder(options, lock);
    try {
      await makeDurableDir(files, folder.checkpoints);
      for (const removed of await recoverCheckpoints(files, folder.checkpoints)) folder.notes.push(`removed what an interrupted save left: ${removed}`);
      const existing = await listCheckpoints(files, folder.checkpoints);
      if (existing.length > 0 && !options.resume) {
        throw new ScionError(
          'usage',
          `${options.dir} already holds a run (${existing.length} checkpoints); add --resume to go on with it, or choose another --out`,
        );
      }
      await files.write(joinPath(options.dir, 'config.json'), jsonBytes(options.config));
      return folder;
    } catch (error) {
      await folder.close();
      throw error;
    }
  }

  /**
   * The kernel choices that the newest readable manifest was made with, as options to open a device with: another choice
   * is another order of sums, so other bits. Null in a fresh folder.
   */
  async kernels(): Promise<{ readonly profile?: Profile; readonly choices: Readonly<Record<string, string>> } | null> {
    const { files } = await host();
    for (const { path } of await listCheckpoints(files, this.checkpoints)) {
      try {
        const { profile, ...choices } = (await readManifest(files, path)).kernels;
        return { choices, ...(profile === 'generic' || profile === 'specialised' ? { profile } : {}) };
      } catch (error) {
        // Loading says what is wrong with it and takes the one before.
        if (!isScionError(error)) throw error;
      }
    }
    return null;
  }

  async save(stepper: Stepper, state: TrainerState): Promise<string> {
    if (this.lockError) throw this.lockError;
    const { files } = await host();
    const { group } = this.options;
    const options: SaveOptions = {
      session: stepper.session,
      states: stepper.plans.states,
      step: state.step,
      trainer: state,
      keep: this.options.keep,
      runId: this.lock?.runId,
      guard: async () => this.lock?.check(),
      meta: {
        tokens: Math.round(state.tokens),
        configHash: this.configHash,
        version: this.options.version,
        adapter: stepper.device.facts.name,
        kernels: { profile: stepper.device.facts.profile, ...stepper.device.facts.choices },
      },
    };
    const result = group
      ? await saveOnRanks(files, this.checkpoints, options, group, splitOf(stepper))
      : await saveCheckpoint(files, this.checkpoints, options);
    this.logs?.event('save', { step: state.step, path: result.path, bytes: result.bytes, warnings: result.warnings });
    await this.logs?.flush();
    return result.path;
  }

  async load(stepper: Stepper): Promise<TrainerState | null> {
    const { files } = await host();
    const { group } = this.options;
    const options = { session: stepper.session, states: stepper.plans.states, configHash: this.configHash, split: splitOf(stepper) };
    const found = group ? await loadLatestOnRanks(files, this.checkpoints, options, group) : await loadLatest(files, this.checkpoints, options);
    for (const skipped of found?.skipped ?? []) this.notes.push(`passed over ${skipped.path}: ${skipped.problem}`);
    return (found?.trainer as TrainerState | undefined) ?? null;
  }

  /** Hooks that write the logs; combine with those that show. */
  async openLogs(facts: RunFacts): Promise<TrainHooks> {
    const machine = await host();
    const logs = await RunLogs.open(machine.files, this.dir, facts.step);
    this.logs = logs;
    logs.begin(facts);
    return {
      onStep: (r) => logs.step(r, { planned: facts.plannedBytes, resident: machine.residentBytes() }),
      onValidate: async (v) => {
        logs.validation(v);
        const { took, at } = this.drawn;
        if (machine.now() - at >= took / REPORT_SHARE) await this.drawReport();
      },
      onEvaluate: async (v) => {
        logs.evaluation(v);
        const { took, at } = this.drawn;
        if (machine.now() - at >= took / REPORT_SHARE) await this.drawReport();
      },
      onEvent: (e) => {
        if (e.kind === 'resumed') logs.restart(e.step);
        logs.event(e.kind, { step: e.step, message: e.message });
      },
    };
  }

  /** Writes down how the run ended, and the report for the last time. */
  async finish(end: Pick<TrainResult, 'steps' | 'tokens' | 'interrupted' | 'skippedSteps' | 'seconds'> | { readonly failed: string }): Promise<void> {
    if (!this.logs) return;
    this.logs.event('end', { ...end });
    await this.drawReport();
  }

  /** The report as it stands. A page that cannot be written is no reason to stop training; the log says so. */
  private async drawReport(): Promise<void> {
    const machine = await host();
    const began = machine.now();
    try {
      await this.logs?.flush();
      await writeWhole(machine.files, joinPath(this.dir, REPORT_NAME), new TextEncoder().encode(await this.report.html()));
    } catch (error) {
      if (!isScionError(error)) throw error;
      this.logs?.event('report-failed', { message: error.message });
    }
    this.drawn = { took: machine.now() - began, at: machine.now() };
  }

  /** Closes logs and gives the lock up. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    try {
      await this.logs?.close();
    } finally {
      await this.lock?.release();
    }
  }
}

/** Tensors of which a rank has parts, if any. */
const splitOf = (stepper: Stepper): SplitStates | undefined => (stepper instanceof RankStepper && stepper.mesh.shape.tp > 1 ? stepper : undefined);

/** Calls the same hooks of several watchers in order. */
export function joinHooks(...all: readonly TrainHooks[]): TrainHooks {
  return {
    onStep: (r) => {
      for (const h of all) h.onStep?.(r);
    },
    onValidate: async (v) => {
      for (const h of all) await h.onValidate?.(v);
    },
    onEvaluate: async (v) => {
      for (const h of all) await h.onEvaluate?.(v);
    },
    onSave: (path, step) => {
      for (const h of all) h.onSave?.(path, step);
    },
    onEvent: (e) => {
      for (const h of all) h.onEvent?.(e);
    },
  };
}
