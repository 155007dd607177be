/**
 * A file system in memory that loses what was not synced, for tests of power loss. Every file has the
 * content that programs see and the content that would survive; every folder likewise has two lists of
 * names. `crash()` gives the tree that a machine might find after the power came back: of each unsynced change,
 * taken alone, the caller's dice say whether it reached the disk. So writes are dropped and reordered, names appear without
 * content, and only fsync of file and folder makes anything sure, which is all that POSIX promises.
 */
import { ScionError } from '../../src/base/errors.ts';
import { baseName, dirName, normalPath } from '../../src/base/path.ts';
import type { FileReader, FileWriter, HostFiles } from '../../src/host/types.ts';

interface FileNode {
  readonly kind: 'file';
  data: Uint8Array<ArrayBuffer>;
  /** What an fsync has made sure. */
  durable: Uint8Array<ArrayBuffer>;
  modified: number;
}

interface FolderNode {
  readonly kind: 'folder';
  readonly names: Map<string, Node>;
  durable: Map<string, Node>;
}

type Node = FileNode | FolderNode;

const EMPTY = new Uint8Array(0);
const newFolder = (): FolderNode => ({ kind: 'folder', names: new Map(), durable: new Map() });

const missing = (doing: string, path: string) => new ScionError('input', `cannot ${doing} ${path}: no such file or folder`, { path, code: 'ENOENT' });
const failed = (doing: string, path: string, code: string) => new ScionError('io', `cannot ${doing} ${path}: ${code}`, { path, code });

/** Says whether one unsynced change survives. */
export type Dice = () => boolean;

/** The file system. Paths are absolute. */
export class MemoryFiles implements HostFiles {
  private readonly root: FolderNode;

  constructor(root: FolderNode = newFolder()) {
    this.root = root;
  }

  /** The tree after a loss of power; this one stays as it is. */
  crash(survives: Dice): MemoryFiles {
    const made = new Map<Node, Node>();
    const after = (node: Node): Node => {
      const known = made.get(node);
      if (known) return known;
      if (node.kind === 'file') {
        const content = survivingContent(node, survives);
        const file: FileNode = { kind: 'file', data: content, durable: content, modified: node.modified };
        made.set(node, file);
        return file;
      }
      const folder = newFolder();
      made.set(node, folder);
      for (const name of new Set([...node.durable.keys(), ...node.names.keys()])) {
        const was = node.durable.get(name);
        const is = node.names.get(name);
        const kept = was === is || !survives() ? was : is;
        if (kept) folder.names.set(name, after(kept));
      }
      folder.durable = new Map(folder.names);
      return folder;
    };
    return new MemoryFiles(after(this.root) as FolderNode);
  }

  private find(path: string): Node | undefined {
    let at: Node | undefined = this.root;
    for (const part of normalPath(path).split('/').filter(Boolean)) at = at?.kind === 'folder' ? at.names.get(part) : undefined;
    return at;
  }

  private folder(path: string, doing: string): FolderNode {
    const node = this.find(path);
    if (node?.kind !== 'folder') throw missing(doing, path);
    return node;
  }

  private file(path: string, doing: string): FileNode {
    const node = this.find(path);
    if (!node) throw missing(doing, path);
    if (node.kind !== 'file') throw failed(doing, path, 'EISDIR');
    return node;
  }

  async read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.file(path, 'read').data.slice();
  }

  async open(path: string): Promise<FileReader> {
    const { data } = this.file(path, 'open');
    return { size: data.length, read: async (offset, length) => data.slice(offset, offset + length), close: async () => {} };
  }

  async create(path: string, options?: { append?: boolean }): Promise<FileWriter> {
    const parent = this.folder(dirName(path), 'create');
    let node = parent.names.get(baseName(path));
    if (node?.kind === 'folder') throw failed('create', path, 'EISDIR');
    if (!node) {
      node = { kind: 'file', data: EMPTY, durable: EMPTY, modified: Date.now() };
      parent.names.set(baseName(path), node);
    }
    const file = node;
    if (!options?.append) file.data = EMPTY;
    return {
      write: async (bytes) => {
        const grown = new Uint8Array(file.data.length + bytes.length);
        grown.set(file.data);
        grown.set(bytes, file.data.length);
        file.data = grown;
        file.modified = Date.now();
      },
      sync: async () => {
        file.durable = file.data;
      },
      close: async () => {},
    };
  }

  async write(path: string, bytes: Uint8Array): Promise<void> {
    const writer = await this.create(path);
    await writer.write(bytes);
  }

  async stat(path: string) {
    const node = this.find(path);
    if (!node) return null;
    return node.kind === 'folder' ? { size: 0, isDirectory: true, modified: 0 } : { size: node.data.length, isDirectory: false, modified: node.modified };
  }

  async list(path: string) {
    const names = this.folder(path, 'list').names;
    return [...names].map(([name, node]) => ({ name, isDirectory: node.kind === 'folder' })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async makeDir(path: string): Promise<void> {
    let at = this.root;
    for (const part of normalPath(path).split('/').filter(Boolean)) {
      const next = at.names.get(part) ?? newFolder();
      if (next.kind === 'file') throw failed('create folder', path, 'ENOTDIR');
      at.names.set(part, next);
      at = next;
    }
  }

  async rename(from: string, to: string): Promise<void> {
    const source = this.folder(dirName(from), 'rename');
    const target = this.folder(dirName(to), 'rename');
    const node = source.names.get(baseName(from));
    if (!node) throw missing('rename', from);
    const there = target.names.get(baseName(to));
    if (there?.kind === 'folder' && there.names.size > 0) throw failed('rename', from, 'ENOTEMPTY');
    source.names.delete(baseName(from));
    target.names.set(baseName(to), node);
  }

  async remove(path: string): Promise<void> {
    const parent = this.find(dirName(path));
    const node = parent?.kind === 'folder' ? parent.names.get(baseName(path)) : undefined;
    if (parent?.kind !== 'folder' || !node) return;
    // A folder goes entry by entry, as on a real disk: a loss of power in between leaves some.
    if (node.kind === 'folder') for (const name of node.names.keys()) await this.remove(`${path}/${name}`);
    parent.names.delete(baseName(path));
  }

  async syncDir(path: string): Promise<void> {
    const folder = this.folder(path, 'fsync');
    folder.durable = new Map(folder.names);
  }

  async free(): Promise<number | null> {
    return null;
  }

  async createExclusive(path: string, bytes: Uint8Array): Promise<boolean> {
    if (this.find(path)) return false;
    const writer = await this.create(path);
    await writer.write(bytes);
    await writer.sync();
    return true;
  }
}

/** Of unsynced content: the old, the new, or the new with some of its 512-byte sectors still zero or cut short. */
function survivingContent(file: FileNode, survives: Dice): Uint8Array<ArrayBuffer> {
  if (file.data === file.durable || !survives()) return file.durable;
  const out = file.data.slice(0, survives() ? file.data.length : Math.floor(file.data.length / 2));
  for (let at = 0; at < out.length; at += 512) if (!survives()) out.fill(0, at, at + 512);
  return out;
}
