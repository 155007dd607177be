/**
 * The tensor files of a checkpoint as states: a file a kind from one device, a file a kind and rank from a mesh, whose ranks each
 * wrote the elements that are theirs. A state is then found in pieces; who reads asks for the state and never sees who wrote it.
 */
import { ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { readExactly, shown } from '../formats/bytes.ts';
import { decodeF32, type FileDtype } from '../formats/dtypes.ts';
import { openSafetensors, type SafetensorsFile } from '../formats/safetensors.ts';
import type { FileReader, HostFiles } from '../host/types.ts';
import type { StateKind, StateSpec } from '../tensor/states.ts';
import { sizeOf, typeName } from '../tensor/types.ts';
import { FILE_DTYPE, kindFile } from './store.ts';

/** The file of a kind that one of so many ranks wrote. */
export const rankFile = (kind: StateKind, rank: number, ranks: number): string => `${kind}-${rank}-of-${ranks}.safetensors`;

/** The name of a state's elements from `from` on in a rank's file; it carries the whole state's shape. */
export const pieceName = (state: string, from: number, shape: readonly number[]): string => `${state}#${from}:${shape.join('x')}`;

const PIECE = /^(.+)#(\d+):([\dx]*)$/;

/** A file of tensors, and the way to pieces of them. */
interface OpenPart {
  readonly header: SafetensorsFile;
  readonly reader: FileReader;
  readonly path: string;
}

/** Elements of a state that lie together in a file. */
export interface FoundPiece {
  /** First element, and how many. */
  readonly from: number;
  readonly count: number;
  /** Reads bytes of the piece, counted from its first. */
  read(offset: number, bytes: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A state as the files hold it. */
export interface FoundState {
  readonly dtype: FileDtype;
  readonly shape: readonly number[];
  readonly pieces: readonly FoundPiece[];
}

async function openPart(files: HostFiles, path: string): Promise<OpenPart> {
  const reader = await files.open(path);
  try {
    return { header: await openSafetensors(reader, path), reader, path };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** The states of one kind. */
export class KindParts {
  readonly states: ReadonlyMap<string, FoundState>;
  /** Names of its files. */
  readonly files: readonly string[];
  private readonly parts: readonly OpenPart[];

  private constructor(names: readonly string[], parts: readonly OpenPart[]) {
    this.files = names;
    this.parts = parts;
    const states = new Map<string, { dtype: FileDtype; shape: readonly number[]; pieces: FoundPiece[] }>();
    for (const { header, reader, path } of parts) {
      for (const [name, info] of header.tensors) {
        const piece = PIECE.exec(name);
        const state = piece?.[1] ?? name;
        const shape = piece ? (piece[3] === '' ? [] : piece[3].split('x').map(Number)) : info.shape;
        const found = states.get(state) ?? { dtype: info.dtype, shape, pieces: [] };
        if (found.dtype !== info.dtype || found.shape.join() !== shape.join()) {
          throw new ScionError(
            'format',
            `${path}: ${shown(state)} is ${info.dtype} [${shape.join(', ')}] here and ${found.dtype} [${found.shape.join(', ')}] elsewhere`,
            { path },
          );
        }
        states.set(state, found);
        const read = (offset: number, bytes: number) => readExactly(reader, info.offset + offset, bytes, path);
        found.pieces.push({ from: piece ? Number(piece[2]) : 0, count: sizeOf(info.shape), read });
      }
    }
    for (const [name, { shape, pieces }] of states) {
      pieces.sort((a, b) => a.from - b.from);
      let at = 0;
      for (const { from, count } of pieces) at = from === at ? at + count : Number.NaN;
      if (at !== sizeOf(shape))
        throw new ScionError('format', `${parts[0].path}: the pieces of ${shown(name)} do not make ${sizeOf(shape)} elements`, { name });
    }
    this.states = states;
  }

  /** Opens the files of a kind among those listed; null if there are none. */
  static async open(files: HostFiles, folder: string, kind: StateKind, listed: Iterable<string>): Promise<KindParts | null> {
    const all = [...listed];
    const ranks = new RegExp(`^${kind}-\\d+-of-\\d+\\.safetensors$`);
    const names = all.includes(kindFile(kind)) ? [kindFile(kind)] : all.filter((name) => ranks.test(name));
    if (names.length === 0) return null;
    const parts: OpenPart[] = [];
    try {
      for (const name of names) parts.push(await openPart(files, joinPath(folder, name)));
      return new KindParts(names, parts);
    } catch (error) {
      await Promise.all(parts.map(({ reader }) => reader.close()));
      throw error;
    }
  }

  /** How these states differ from those wanted. */
  differences(specs: readonly StateSpec[]): string[] {
    const out: string[] = [];
    const names = new Set(specs.map((s) => s.name));
    for (const spec of specs) {
      const found = this.states.get(spec.name);
      if (!found) out.push(`${shown(spec.name)} is missing`);
      else if (found.dtype !== FILE_DTYPE[spec.dtype] || found.shape.length !== spec.shape.length || found.shape.some((n, i) => n !== spec.shape[i])) {
        out.push(`${shown(spec.name)} is ${found.dtype} [${found.shape.join(', ')}], this run needs ${typeName(spec)}`);
      }
    }
    for (const name of this.states.keys()) if (!names.has(name)) out.push(`${shown(name)} has no place here`);
    return out;
  }

  /** The state of a name. @throws ScionError `input` naming what the file has not. */
  state(name: string): FoundState {
    const found = this.states.get(name);
    // The file's own words for what it lacks.
    if (!found) this.parts[0].header.info(name);
    return found as FoundState;
  }

  /** All bytes of a state. */
  async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const { shape, pieces } = this.state(name);
    const size = sizeOf(shape);
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for (const { count, read } of pieces) parts.push(await read(0, count * elementBytes(this.state(name).dtype)));
    if (parts.length === 1) return parts[0];
    const out = new Uint8Array(size * elementBytes(this.state(name).dtype));
    let at = 0;
    for (const part of parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }

  /** f32 values of a state. */
  async readF32(name: string): Promise<Float32Array<ArrayBuffer>> {
    const { dtype } = this.state(name);
    return decodeF32(await this.read(name), dtype, name);
  }

  async close(): Promise<void> {
    await Promise.all(this.parts.map(({ reader }) => reader.close()));
  }
}

/** Bytes an element of what scion writes. */
export const elementBytes = (dtype: FileDtype): number => (dtype === 'F16' || dtype === 'BF16' ? 2 : 4);
