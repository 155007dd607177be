/**
 * What a command is, and what it may use of the terminal: a status line and progress on standard
 * error, results on standard output, one JSON object as the last line of it when asked.
 */
import type { HostTerminal } from '../host/types.ts';
import type { FlagSpecs, Flags } from './flags.ts';
import type { StatusLine } from './status.ts';

/** What a command works with. */
export interface Context {
  readonly flags: Flags;
  readonly terminal: HostTerminal;
  readonly status: StatusLine;
  /** A line of result; in JSON mode it goes to standard error. */
  print(text: string): void;
  /** The command's result, printed as one line by `--json`. */
  result(value: Readonly<Record<string, unknown>>): void;
  /** `requested` turns true on the first SIGINT or SIGTERM. */
  readonly stop: { requested: boolean };
}

/** A verb of the command line. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** What may follow the verb besides flags, for example `FILE|DIR`. */
  readonly words?: string;
  readonly flags: FlagSpecs;
  readonly examples: readonly string[];
  /** Throws ScionError; `interrupted` after a clean save. */
  run(context: Context): Promise<void>;
}
