/**
 * The error types of the house. Every error says what was asked, what was found and what to do;
 * the kind decides the exit code at the command line, so library code never exits or prints.
 */

/** `usage`/`input`: exit 2 · `device`: exit 3 · `interrupted`: exit 130 · everything else: exit 1. */
export type ErrorKind =
  | 'usage'
  | 'input'
  | 'format'
  | 'device'
  | 'lost'
  | 'memory'
  | 'io'
  | 'space'
  | 'plan'
  | 'numeric'
  | 'locked'
  | 'interrupted'
  | 'internal';

/** An error whose `kind` callers may branch on and whose `details` carry the values of its message. */
export class ScionError extends Error {
  readonly kind: ErrorKind;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(kind: ErrorKind, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ScionError';
    this.kind = kind;
    this.details = details;
  }
}

/** True for a ScionError, of the given kind if one is named. */
export function isScionError(error: unknown, kind?: ErrorKind): error is ScionError {
  return error instanceof ScionError && (kind === undefined || error.kind === kind);
}

/** An internal invariant: its failure is a bug of scion, never of the user's input. */
export function invariant(condition: unknown, message: string, details: Record<string, unknown> = {}): asserts condition {
  if (!condition) throw new ScionError('internal', `invariant broken: ${message}`, details);
}

/** The exit code of the command line for an error (design section 6). */
export function exitCodeOf(error: unknown): number {
  if (!isScionError(error)) return 1;
  switch (error.kind) {
    case 'usage':
    case 'input':
    case 'format':
      return 2;
    case 'device':
      return 3;
    case 'interrupted':
      return 130;
    default:
      return 1;
  }
}
