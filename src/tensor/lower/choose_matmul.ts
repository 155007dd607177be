/**
 * Which matmul kernel runs, from sizes, layout, storage and device facts alone, so that a plan made
 * without a device says the same. `facts.choices.matmul` forces one: `naive`, `generic/ROWSxCOLSxLANES`.
 */
import { ScionError } from '../../base/errors.ts';
import type { DeviceFacts } from '../../gpu/facts.ts';
import type { MatmulDims } from '../ops/matmul.ts';
import type { DType } from '../types.ts';

/** A kernel and its tile. */
export type MatmulChoice =
  | { readonly kernel: 'naive' }
  /** Outputs of a lane: `rows` x 4 `cols`; lanes of a workgroup side by side in columns. */
  | { readonly kernel: 'generic'; readonly rows: number; readonly cols: number; readonly lanes: number };

/** Reads a forced choice. */
function parseChoice(text: string): MatmulChoice {
  const [kernel, tile = ''] = text.split('/');
  const sizes = tile === '' ? [] : tile.split('x').map(Number);
  const bad = (why: string) => new ScionError('plan', `matmul: choice "${text}" ${why}; use naive or generic/ROWSxCOLSxLANES`);
  if (sizes.some((s) => !Number.isInteger(s) || s < 1)) throw bad('has a tile that is no list of whole numbers');
  if (kernel === 'naive' && sizes.length === 0) return { kernel };
  if (kernel === 'generic' && sizes.length === 3) {
    const [rows, cols, lanes] = sizes;
    if (rows % 4 !== 0) throw bad('has rows that are no multiple of 4');
    return { kernel, rows, cols, lanes };
  }
  throw bad('is unknown');
}

/** The kernel for Z x [M, K] x [K, N] with operands stored as `layout` says. */
export function chooseMatmul(
  dims: MatmulDims,
  layout: { readonly ta: boolean; readonly tb: boolean },
  dtypes: { readonly a: DType; readonly b: DType; readonly c: DType },
  facts: DeviceFacts,
): MatmulChoice {
  const forced = facts.choices.matmul;
  if (forced !== undefined && forced !== '') return parseChoice(forced);
  void dims;
  void layout;
  void dtypes;
  return { kernel: 'generic', rows: 8, cols: 2, lanes: 8 };
}
