/**
 * Uniform structs and grids of a launch: packs named values into the field order that the kernel's
 * text declares, evaluating those that come from step scalars.
 */
import { ScionError } from '../base/errors.ts';
import type { ParamField } from './expand.ts';

type Scalars = Readonly<Record<string, number>>;
type ParamValue = number | ((step: Scalars) => number);

/**
 * Writes a Params struct. With `scalars` null only constant fields are written.
 * @throws ScionError if a value is no number or does not fit its field.
 */
export function writeParams(
  words: DataView,
  offset: number,
  fields: readonly ParamField[],
  values: Readonly<Record<string, ParamValue>>,
  scalars: Scalars | null,
): void {
  fields.forEach((field, i) => {
    const given = values[field.name];
    if (typeof given === 'function' && !scalars) return;
    const value = typeof given === 'function' ? given(scalars as Scalars) : given;
    if (typeof value !== 'number' || Number.isNaN(value)) throw new ScionError('internal', `param "${field.name}" is ${String(value)}`);
    const at = offset + i * 4;
    if (field.type === 'f32') words.setFloat32(at, value, true);
    else {
      const low = field.type === 'u32' ? 0 : -0x80000000;
      const high = field.type === 'u32' ? 0xffffffff : 0x7fffffff;
      if (!Number.isInteger(value) || value < low || value > high)
        throw new ScionError('internal', `param "${field.name}" must be a ${field.type}, got ${value}`);
      if (field.type === 'u32') words.setUint32(at, value, true);
      else words.setInt32(at, value, true);
    }
  });
}

/** The workgroup counts of a launch in this run. */
export function resolveGrid(
  grid: readonly [number, number, number] | ((step: Scalars) => readonly [number, number, number]),
  scalars: Scalars,
): readonly [number, number, number] {
  return typeof grid === 'function' ? grid(scalars) : grid;
}
