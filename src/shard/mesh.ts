/**
 * The grid of ranks: which of them share a batch, a layer's matrices, a sequence, a stretch of layers. Neighbouring ranks
 * differ in tp first, then sp, pp, dp, since that is the order of how much the axes have to say to each other.
 */
import { ScionError } from '../base/errors.ts';
import type { Transport } from '../comm/types.ts';

/** Axes, outermost first: data parallel, pipeline, sequence, tensor parallel. */
export const AXES = ['dp', 'pp', 'sp', 'tp'] as const;
export type Axis = (typeof AXES)[number];

/** How many ranks each axis has. */
export type MeshShape = Readonly<Record<Axis, number>>;

/** A mesh of one rank. */
export const ONE_RANK: MeshShape = { dp: 1, pp: 1, sp: 1, tp: 1 };

/**
 * Reads `dp=2,tp=2`; axes that are not named have one rank.
 * @throws ScionError `usage` naming the part that cannot be read.
 */
export function parseMesh(text: string): MeshShape {
  const shape: Record<Axis, number> = { ...ONE_RANK };
  const seen = new Set<string>();
  for (const part of text.split(',')) {
    const [, name, ranks] = /^\s*([a-z]+)\s*=\s*(\d+)\s*$/.exec(part) ?? [];
    const axis = AXES.find((a) => a === name);
    if (!axis || Number(ranks) < 1 || seen.has(name)) {
      const why = seen.has(name) ? 'names an axis twice' : 'is no axis with a number of ranks';
      throw new ScionError('usage', `mesh "${text}": "${part}" ${why}; write for example dp=2,tp=2 (axes ${AXES.join(', ')}, each from 1)`, { text });
    }
    seen.add(name);
    shape[axis] = Number(ranks);
  }
  return shape;
}

/** Ranks of a mesh. */
export const meshSize = (shape: MeshShape): number => AXES.reduce((n, axis) => n * shape[axis], 1);

/** `dp=2,tp=2`: the axes that have more than one rank; `dp=1` where none has. */
export function meshName(shape: MeshShape): string {
  const named = AXES.filter((axis) => shape[axis] > 1).map((axis) => `${axis}=${shape[axis]}`);
  return named.length > 0 ? named.join(',') : 'dp=1';
}

/** Where a rank stands on each axis. */
export function coordinatesOf(shape: MeshShape, rank: number): Record<Axis, number> {
  const at: Record<Axis, number> = { dp: 0, pp: 0, sp: 0, tp: 0 };
  let left = rank;
  for (const axis of [...AXES].reverse()) {
    at[axis] = left % shape[axis];
    left = Math.floor(left / shape[axis]);
  }
  return at;
}

/** The rank at these coordinates. */
export function rankAt(shape: MeshShape, at: Readonly<Record<Axis, number>>): number {
  return AXES.reduce((rank, axis) => rank * shape[axis] + at[axis], 0);
}

/** The mesh as one of its ranks sees it. */
export interface Mesh {
  readonly shape: MeshShape;
  readonly at: Readonly<Record<Axis, number>>;
  /** All ranks. */
  readonly world: Transport;
  /** The ranks that differ from this one on one axis alone, in the order of their coordinates there. */
  readonly along: Readonly<Record<Axis, Transport>>;
  /** The ranks that have different data (packs, or tokens of them) and the same parameters: dp and sp together, dp outermost. */
  readonly data: Transport;
}

/**
 * Cuts a transport into the groups of a mesh. Collective.
 * @throws ScionError `usage` where the ranks started are not those of the mesh.
 */
export async function openMesh(shape: MeshShape, world: Transport): Promise<Mesh> {
  if (meshSize(shape) !== world.size) {
    throw new ScionError('usage', `the mesh ${meshName(shape)} has ${meshSize(shape)} ranks, ${world.size} were started; change the mesh or start as many`, {
      mesh: meshName(shape),
      started: world.size,
    });
  }
  const at = coordinatesOf(shape, world.rank);
  const along = {} as Record<Axis, Transport>;
  // One after the other: a split is a collective of the whole world.
  for (const axis of AXES) along[axis] = await world.split(rankAt(shape, { ...at, [axis]: 0 }), at[axis]);
  let data = shape.sp === 1 ? along.dp : along.sp;
  if (shape.dp > 1 && shape.sp > 1) data = await world.split(rankAt(shape, { ...at, dp: 0, sp: 0 }), at.dp * shape.sp + at.sp);
  return { shape, at, world, along, data };
}
