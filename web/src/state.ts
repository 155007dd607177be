/** What the page knows, as signals: views read them and are drawn anew when they change. Who changes them is `actions.ts`. */
import { signal } from '@preact/signals';
import type { DeviceView, Failure, RunEntry, RunView, StorageView } from './protocol.ts';

/** The error that is shown on top; null for none. */
export const failure = signal<Failure | null>(null);
/** The device; null until it is known, `none` where there is none. */
export const device = signal<DeviceView | 'none' | null>(null);
/** Null until known, `none` where the browser keeps no files. */
export const storage = signal<StorageView | 'none' | null>(null);
/** Null until read. */
export const runs = signal<readonly RunEntry[] | null>(null);
/** The run that is looked at. */
export const run = signal<RunView | null>(null);
/** Rises when points came to `run`, whose arrays grow in place. */
export const revision = signal(0);

/** The run that this tab trains. */
export interface Active {
  readonly name: string;
  readonly phase: 'running' | 'paused' | 'stopping';
  /** What is being done, in words. */
  readonly work: string;
  readonly detail: string;
  readonly stage: string | null;
  readonly step: number;
  readonly steps: number;
  readonly secondsLeft: number | null;
  readonly plannedBytes: number | null;
  readonly deviceBytes: number | null;
  readonly saved: string | null;
  readonly notes: readonly string[];
}
export const active = signal<Active | null>(null);

/** The edited kernel that the trainer took in this visit; null for the shipped ones. */
export const editedKernel = signal<string | null>(null);

/** How the last run of this tab ended, in words; told once. */
export const ended = signal<{ readonly name: string; readonly text: string } | null>(null);
