/**
 * `scion init` on a disk that fails: at every operation that changes it the process dies, or the disk reports an error or is full. The target is then
 * absent or whole, the base is as it was, and a process that lives leaves nothing beside it.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { growModel } from '../../src/checkpoint/grow/grow.ts';
import { verifyFolder } from '../../src/checkpoint/grow/verify.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { baseModel, grownModel, writeModelFolder, writeTokenizer } from '../vocab/synthetic.ts';
import { type Fault, FaultFiles, Killed } from './fault-files.ts';

let root = '';
const base = (): string => join(root, 'base');

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'scion-init-faults-'));
  const model = baseModel(400, 20);
  const shardOf = (name: string): number => (name.startsWith('model.embed') ? 0 : name.startsWith('lm_head') ? 2 : 1);
  const config = makeConfig({ vocabSize: 400, hiddenSize: 8, intermediateSize: 16, numLayers: 1, numHeads: 1 });
  await writeModelFolder(posixFiles, base(), config, { dtype: 'F16', seed: 1, shardOf });
  await writeTokenizer(posixFiles, base(), model);
  await writeTokenizer(posixFiles, join(root, 'words'), grownModel(model, 30, 20, 2));
});
afterAll(() => rm(root, { recursive: true }));

/** Contents of a folder, by name. */
async function digest(dir: string): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const name of (await readdir(dir)).sort())
    out[name] = createHash('sha256')
      .update(await readFile(join(dir, name)))
      .digest('hex');
  return out;
}

describe.each([
  { kind: 'die' as const, copy: false },
  { kind: 'die' as const, copy: true },
  { kind: 'io' as const, copy: false },
  { kind: 'space' as const, copy: true },
])('$kind, files copied $copy', ({ kind, copy }) => {
  it('leaves the target absent or whole, and the base alone', async () => {
    const before = await digest(base());
    const out = join(root, 'below', `${kind}-${copy}`);
    let struck = 0;
    for (let at = 1; ; at++) {
      const fault: Fault = { at, kind };
      const over = new FaultFiles(posixFiles, fault);
      let error: unknown = null;
      try {
        await growModel(over, { base: base(), tokenizer: join(root, 'words'), out, method: 'mean', copy });
      } catch (caught) {
        error = caught;
      }
      expect(await digest(base())).toEqual(before);
      const there = (await posixFiles.stat(out)) !== null;
      if (there) expect((await verifyFolder(posixFiles, out, { base: base() })).findings.filter((f) => f.level === 'wrong')).toEqual([]);
      if (!over.struck) {
        expect([error, there]).toEqual([null, true]);
        break;
      }
      struck++;
      const left = (await posixFiles.stat(join(root, 'below'))) === null ? [] : (await readdir(join(root, 'below'))).filter((name) => name.includes('.tmp-'));
      if (kind === 'die') expect(error).toBeInstanceOf(Killed);
      else {
        // The last sync comes after the rename: an error there is told, the folder is whole.
        expect(error).toMatchObject({ kind });
        expect(left).toEqual([]);
      }
      await rm(join(root, 'below'), { recursive: true, force: true });
    }
    // Folder, three shards, index, four or more small files, each created, written, synced and closed.
    expect(struck).toBeGreaterThan(30);
  });
});
