/** States that are cut over ranks, read whole: each rank's part through host memory, in the order of the ranks. Collective. */
import { invariant } from '../base/errors.ts';
import { fromHalfBits } from '../base/half.ts';
import type { Transport } from '../comm/types.ts';
import type { Session } from '../tensor/session.ts';
import { sizeOf } from '../tensor/types.ts';
import { cutOf } from './place.ts';

/** @param group the ranks that the state is cut over. @returns f32 values of the whole state, on every rank. */
export async function readSharded(session: Session, group: Transport, name: string): Promise<Float32Array<ArrayBuffer>> {
  const { states } = session;
  const spec = states?.get(name);
  invariant(states && spec, `state ${name} exists`);
  const { buffer, at, runs } = cutOf(states, name, group.size);
  const size = spec.dtype === 'f16' ? 2 : 4;
  const elements = sizeOf(spec.shape);
  const bytes = new Uint8Array(Math.ceil((elements * size) / 4) * 4);
  const parts = Array.from({ length: group.size }, (_, rank) => {
    const run = runs.find((r) => r.rank === rank);
    return run ? bytes.subarray(run.from * size, run.to * size) : bytes.subarray(0, 0);
  });
  const own = runs.find((r) => r.rank === group.rank);
  const mine = own ? await session.readBytes(buffer.key, (at + own.from) * size, (own.to - own.from) * size) : new Uint8Array(0);
  await group.allGather(mine, parts);
  if (spec.dtype !== 'f16') return new Float32Array(bytes.buffer, 0, elements);
  return Float32Array.from(new Uint16Array(bytes.buffer, 0, elements), fromHalfBits);
}
