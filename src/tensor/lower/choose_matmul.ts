/**
 * Which matmul kernel runs, from sizes, layout, storage and device facts alone, so that a plan made
 * without a device says the same. `facts.choices.matmul` forces one wherever it is legal: `naive`,
 * `generic[/ROWSxCOLSxLANES[xHIGH]]`, `lanes[/ROWSxCOLSxWIDTH]`, `matvec/SPLIT`, `tiled/TMxTNxKT` or `tiled/TMxTNxKTxPARTS`, `subgroup_matrix/TILE`
 * (tensor cores are never taken unasked: no adapter at hand could run them).
 */
import { ScionError } from '../../base/errors.ts';
import type { DeviceFacts } from '../../gpu/facts.ts';
import type { DType } from '../types.ts';

/** A kernel and its tile. */
export type MatmulChoice =
  | { readonly kernel: 'naive' }
  /** Outputs of a lane: `rows` x 4 `cols`; lanes of a workgroup stand `high` by `lanes / high`. */
  | { readonly kernel: 'generic'; readonly rows: number; readonly cols: number; readonly lanes: number; readonly high: number }
  /** One subgroup of `width` lanes: `rows` x 4 `cols` x `width` outputs. */
  | { readonly kernel: 'lanes'; readonly rows: number; readonly cols: number; readonly width: number }
  /** Few rows against [N, K] weights; `split` lanes share an output. */
  | { readonly kernel: 'matvec'; readonly split: number }
  /** Shared-memory tiles; K in `parts` that a second pass adds up. */
  | { readonly kernel: 'tiled'; readonly tm: number; readonly tn: number; readonly kt: number; readonly parts: number }
  /** Tensor cores, tiles of `tile` x `tile`. */
  | { readonly kernel: 'subgroup_matrix'; readonly tile: number };

/** What the choice depends on besides the device. */
export interface MatmulProblem {
  readonly z: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly ta: boolean;
  readonly tb: boolean;
  readonly dtypes: { readonly a: DType; readonly b: DType; readonly c: DType };
  /** B is block quantised, its rows padded. */
  readonly quant?: boolean;
  /** Rows along K start at multiples of four elements in both operands. */
  readonly alignedK: boolean;
  /** The result is one run of memory whose size and start are multiples of four elements. */
  readonly flatC: boolean;
}

/** Subgroup widths that the lanes kernel is written for. */
const LANE_WIDTHS: readonly number[] = [4, 8, 16];
/** Most rows that the matvec kernel takes. */
export const MATVEC_ROWS = 4;
/** The same where B is quantised, on GPUs (CPU adapters load A lane by lane, and are faster with tiles from five rows on). */
export const MATVEC_QUANT_ROWS = 8;
/** Most parts that K is split into. */
const MAX_PARTS = 64;
/** Workgroups that keep a large GPU busy. */
const BUSY = 256;

/** Reads a forced choice; a kernel of CPU adapters without a tile takes its usual one. */
function parseChoice(text: string, p: MatmulProblem, facts: DeviceFacts): MatmulChoice {
  const [kernel, tile = ''] = text.split('/');
  const sizes = tile === '' ? [] : tile.split('x').map(Number);
  const [x, y, w, v = 1] = sizes;
  const fits = (count: number) => sizes.length === count && sizes.every((s) => Number.isInteger(s) && s >= 1);
  if (kernel === 'naive' && fits(0)) return { kernel };
  if (kernel === 'generic' && fits(0)) return usualGeneric(p);
  if (kernel === 'lanes' && fits(0)) return usualLanes(p, facts) ?? usualGeneric(p);
  if (kernel === 'subgroup_matrix' && fits(1) && (x === 64 || x === 128)) return { kernel, tile: x };
  if (kernel === 'generic' && (fits(3) || fits(4)) && x % 4 === 0 && w % v === 0) return { kernel, rows: x, cols: y, lanes: w, high: v };
  if (kernel === 'lanes' && fits(3) && LANE_WIDTHS.includes(w) && x % w === 0) return { kernel, rows: x, cols: y, width: w };
  if (kernel === 'matvec' && fits(1) && x <= 64 && (x & (x - 1)) === 0) return { kernel, split: x };
  const tiles = [64, 128];
  if (kernel === 'tiled' && (fits(3) || fits(4)) && tiles.includes(x) && tiles.includes(y) && (w === 8 || w === 16) && v <= MAX_PARTS)
    return { kernel, tm: x, tn: y, kt: w, parts: v };
  throw new ScionError(
    'plan',
    `matmul: there is no kernel "${text}"; use naive, generic[/ROWSxCOLSxLANES[xHIGH]] (rows a multiple of 4, lanes of high), lanes[/ROWSxCOLSxWIDTH] (width 4, 8 or 16, rows a multiple of it), matvec/SPLIT (a power of two up to 64), tiled/TMxTNxKT[xPARTS] (64 or 128, 64 or 128, 8 or 16), subgroup_matrix/TILE (64 or 128)`,
  );
}

/** Bytes of workgroup memory of a tile. */
function tileBytes(tm: number, tn: number, kt: number): number {
  return kt * (tm + tn + 8) * 4;
}

/** True where a kernel can do the problem on the device. */
function legal(c: MatmulChoice, p: MatmulProblem, facts: DeviceFacts): boolean {
  switch (c.kernel) {
    case 'naive':
    case 'generic':
      return true;
    case 'lanes':
      return facts.subgroups?.min === c.width && facts.subgroups.max === c.width;
    case 'matvec':
      return !p.ta && p.tb && p.m <= (p.quant ? MATVEC_QUANT_ROWS : MATVEC_ROWS) && p.alignedK;
    case 'tiled':
      if (tileBytes(c.tm, c.tn, c.kt) > facts.limits.maxComputeWorkgroupStorageSize) return false;
      return c.parts === 1 || (p.z === 1 && p.flatC && c.parts * p.m * p.n * 4 <= facts.limits.maxStorageBufferBindingSize);
    case 'subgroup_matrix':
      return (
        ['chromium-experimental-subgroup-matrix', 'shader-f16', 'subgroups', 'subgroup-size-control'].every((f) => facts.features.includes(f)) &&
        facts.limits.maxComputeWorkgroupStorageSize >= c.tile * (2 * 40 * 2 + 64)
      );
  }
}

/**
 * Lanes of the generic kernel: 64 columns a workgroup, as fast as wider ones in the committed sweep and one variant for most sizes;
 * twelve lanes where they leave fewer columns idle (N = 96 fills them, and wastes a quarter of two workgroups of 64).
 */
function genericLanes(n: number, high: number): number {
  const covered = (lanes: number) => Math.ceil((n * high) / (8 * lanes)) * lanes;
  const usual = 8 * high;
  return covered(12) < covered(usual) ? 12 : usual;
}

/** The generic kernel's tile. */
function usualGeneric(p: MatmulProblem): MatmulChoice {
  // Lanes side by side in columns read as many rows of a transposed B, which thrash the cache where they lie a power of two apart.
  const high = p.tb && p.m > 8 ? 2 : 1;
  return { kernel: 'generic', rows: 8, cols: 2, lanes: genericLanes(p.n, high), high };
}

/** The lanes kernel's tile, or null where subgroups are not of one width it is written for. 24 rows: as many accumulators as pay. */
function usualLanes(p: MatmulProblem, { subgroups }: DeviceFacts): MatmulChoice | null {
  if (!subgroups || subgroups.min !== subgroups.max || !LANE_WIDTHS.includes(subgroups.max)) return null;
  const width = subgroups.max;
  return { kernel: 'lanes', rows: p.m <= width ? width : width === 16 ? 32 : 24, cols: 1, width };
}

/** The kernel for Z x [M, K] x [K, N] with operands stored as the problem says. */
export function chooseMatmul(p: MatmulProblem, facts: DeviceFacts): MatmulChoice {
  const forced = facts.choices.matmul;
  if (forced !== undefined && forced !== '') {
    const choice = parseChoice(forced, p, facts);
    if (legal(choice, p, facts)) return choice;
    // A tile whose K cannot be split here is still that tile.
    if (choice.kernel === 'tiled' && legal({ ...choice, parts: 1 }, p, facts)) return { ...choice, parts: 1 };
  }
  const matvec: MatmulChoice = { kernel: 'matvec', split: facts.profile === 'generic' ? 1 : 32 };
  if (legal(matvec, p, facts) && (p.m <= MATVEC_ROWS || facts.profile === 'specialised')) return matvec;
  if (facts.profile === 'generic') return usualLanes(p, facts) ?? usualGeneric(p);
  const tiles = (size: number) => p.z * Math.ceil(p.m / size) * Math.ceil(p.n / size);
  // The large tile halves traffic, but only where it leaves work for every part of the device.
  const size = tiles(128) >= BUSY / 2 ? 128 : 64;
  const kt = tileBytes(size, size, 16) <= facts.limits.maxComputeWorkgroupStorageSize ? 16 : 8;
  const parts = Math.max(1, Math.min(MAX_PARTS, Math.floor(BUSY / tiles(size)), Math.floor(p.k / 512)));
  const split: MatmulChoice = { kernel: 'tiled', tm: size, tn: size, kt, parts };
  return legal(split, p, facts) ? split : { ...split, parts: 1 };
}
