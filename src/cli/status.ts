/**
 * One status line on standard error for long work: overwritten on a terminal, a plain line now and then
 * elsewhere (logs of CI stay readable). Also the number formats and the sparkline that all commands share.
 */
import type { HostTerminal } from '../host/types.ts';

export { bytes, duration, si } from '../base/format.ts';

/** Milliseconds between two lines where there is no terminal to overwrite. */
const PLAIN_INTERVAL_MS = 10_000;

/** A line that changes in place. */
export class StatusLine {
  private readonly terminal: HostTerminal;
  private readonly now: () => number;
  private shown = 0;
  private lastPlain = Number.NEGATIVE_INFINITY;

  constructor(terminal: HostTerminal, now: () => number) {
    this.terminal = terminal;
    this.now = now;
  }

  /** Replaces the line. */
  set(text: string): void {
    if (!this.terminal.isTerminal) {
      if (this.now() - this.lastPlain < PLAIN_INTERVAL_MS) return;
      this.lastPlain = this.now();
      this.terminal.err(`${text}\n`);
      return;
    }
    const line = [...text].slice(0, Math.max(20, this.terminal.columns - 1)).join('');
    this.terminal.err(`\r${line}${' '.repeat(Math.max(0, this.shown - line.length))}`);
    this.shown = line.length;
  }

  /** A line that stays; the status line moves below it. */
  note(text: string): void {
    this.clear();
    this.terminal.err(`${text}\n`);
  }

  /** Removes the line. */
  clear(): void {
    if (this.terminal.isTerminal && this.shown > 0) this.terminal.err(`\r${' '.repeat(this.shown)}\r`);
    this.shown = 0;
  }
}

const BARS = '▁▂▃▄▅▆▇█';

/** A curve as one line of blocks, averaged to `width` columns. */
export function sparkline(values: readonly number[], width = 48): string {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return '';
  const columns = Math.min(width, finite.length);
  const means = Array.from({ length: columns }, (_, c) => {
    const part = finite.slice(Math.floor((c * finite.length) / columns), Math.max(1, Math.floor(((c + 1) * finite.length) / columns)));
    return part.reduce((a, b) => a + b, 0) / part.length;
  });
  const low = Math.min(...means);
  const span = Math.max(...means) - low || 1;
  return means.map((m) => BARS[Math.min(BARS.length - 1, Math.floor(((m - low) / span) * BARS.length))]).join('');
}
