/**
 * How far rows of the embedding have moved since the run began, new rows and old ones apart: the mean of
 * |W_now - W_start| / |W_start|. It shows whether new pieces learn and old ones stay. At most about a megabyte of
 * each side is read; of larger tables, blocks of rows spread evenly over the side.
 */

import { fromHalfBits } from '../base/half.ts';
import type { ReadParameter } from '../checkpoint/source.ts';
import { initialValues, listParameters, weightName } from '../nn/parameters.ts';
import { dtypeBytes } from '../tensor/types.ts';
import type { Stepper } from './stepper.ts';

/** Mean relative movement of rows; null where a side has none. */
export interface RowDrift {
  readonly new: number | null;
  readonly old: number | null;
}

const SIDE_BYTES = 1 << 20;
const BLOCKS = 8;
const TABLE = 'embed';

interface Block {
  readonly side: 'new' | 'old';
  readonly row: number;
  readonly rows: number;
}

/** Blocks of rows [first, last) of which about `most` rows are looked at. */
function blocksOf(side: 'new' | 'old', first: number, last: number, most: number): Block[] {
  const all = last - first;
  if (all <= 0) return [];
  if (all <= most) return [{ side, row: first, rows: all }];
  const rows = Math.max(1, Math.floor(most / BLOCKS));
  return Array.from({ length: BLOCKS }, (_, i) => ({ side, row: first + Math.floor((i * (all - rows)) / (BLOCKS - 1)), rows }));
}

/** Watches a run's embedding from its first weights on. */
export class RowWatch {
  private readonly width: number;
  private readonly blocks: readonly { readonly block: Block; readonly start: Float32Array }[];

  private constructor(width: number, blocks: RowWatch['blocks']) {
    this.width = width;
    this.blocks = blocks;
  }

  /** Takes the weights that the run began with; `firstRow` is the first new row. Null where the stepper holds no plain embedding. */
  static async open(stepper: Stepper, initial: { readonly seed: number } | { readonly read: ReadParameter }, firstRow: number): Promise<RowWatch | null> {
    const parameter = listParameters(stepper.setup.model).find(({ name }) => name === TABLE);
    if (!parameter || tableOf(stepper) === null) return null;
    const [rows, width] = parameter.shape;
    const start = 'seed' in initial ? initialValues(parameter, initial.seed) : await initial.read(TABLE);
    const most = Math.max(BLOCKS, Math.floor(SIDE_BYTES / (4 * width)));
    const border = Math.min(rows, Math.max(0, firstRow));
    const blocks = [...blocksOf('old', 0, border, most), ...blocksOf('new', border, rows, most)];
    return new RowWatch(
      width,
      blocks.map((block) => ({ block, start: Float32Array.from(start.subarray(block.row * width, (block.row + block.rows) * width)) })),
    );
  }

  /** The movement up to now. */
  async measure(stepper: Stepper): Promise<RowDrift> {
    const table = tableOf(stepper);
    const sums = { new: 0, old: 0 };
    const counts = { new: 0, old: 0 };
    if (table === null) return { new: null, old: null };
    const { width } = this;
    const size = dtypeBytes(table.dtype);
    const place = stepper.plans.states.place(table.name);
    for (const { block, start } of this.blocks) {
      const bytes = await stepper.session.readBytes(place.buffer, place.offset + block.row * width * size, block.rows * width * size);
      const now = size === 4 ? new Float32Array(bytes.buffer) : Float32Array.from(new Uint16Array(bytes.buffer), fromHalfBits);
      for (let r = 0; r < block.rows; r++) {
        let moved = 0;
        let norm = 0;
        for (let i = r * width; i < (r + 1) * width; i++) {
          moved += (now[i] - start[i]) ** 2;
          norm += start[i] ** 2;
        }
        // A row of zeros (padding) has no length to compare with.
        if (norm === 0) continue;
        sums[block.side] += Math.sqrt(moved / norm);
        counts[block.side]++;
      }
    }
    const mean = (side: 'new' | 'old'): number | null => (counts[side] > 0 ? sums[side] / counts[side] : null);
    return { new: mean('new'), old: mean('old') };
  }
}

/** The state that holds the embedding: the f32 master, else the 16-bit weight. */
function tableOf(stepper: Stepper): { readonly name: string; readonly dtype: 'f32' | 'f16' } | null {
  const { states } = stepper.plans;
  for (const name of [TABLE, weightName(TABLE)]) {
    const spec = states.get(name);
    // What is cut or split over ranks is on none of them whole.
    const rows = listParameters(stepper.setup.model).find((p) => p.name === TABLE)?.shape[0];
    const whole = spec && spec.shape[0] === rows && !states.buffer(states.place(name).buffer)?.sharded;
    if (whole && (spec.dtype === 'f32' || spec.dtype === 'f16')) return { name, dtype: spec.dtype };
  }
  return null;
}
