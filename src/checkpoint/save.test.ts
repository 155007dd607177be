/**
 * What a checkpoint holds, which ones are kept, and what loading refuses. Faults of the disk are in test/faults.
 */
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeStore, smallStates, stateBytes, storeAt } from '../../test/faults/fake-store.ts';
import { FaultFiles } from '../../test/faults/fault-files.ts';
import { MemoryFiles } from '../../test/faults/memory-files.ts';
import { ScionError } from '../base/errors.ts';
import { floatToHalf } from '../base/half.ts';
import { assumedFacts } from '../gpu/facts.ts';
import { posixFiles } from '../host/posix.ts';
import type { HostFiles } from '../host/types.ts';
import { momentName, weightName } from '../nn/parameters.ts';
import { States } from '../tensor/states.ts';
import { listCheckpoints, recoverCheckpoints } from './folders.ts';
import { findLatest, loadCheckpoint, loadLatest, openCheckpoint } from './load.ts';
import { assertPlainJson, type CheckpointMeta, formatManifest, hashJson, type Manifest, parseManifest } from './manifest.ts';
import { type SaveOptions, saveCheckpoint } from './save.ts';
import { PIECE_BYTES, type StateStore } from './store.ts';

const states = smallStates();
const meta: CheckpointMeta = { tokens: 12, configHash: hashJson({ b: 1, a: 2 }), version: '0.0.0', adapter: 'none', kernels: {} };

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scion-'));
});
afterEach(() => rm(folder, { recursive: true }));

const save = (step: number, more: Partial<SaveOptions> = {}, files: HostFiles = posixFiles) =>
  saveCheckpoint(files, folder, { session: storeAt(states, step), states, step, trainer: { step }, meta, runId: 'run', ...more });

describe('saveCheckpoint', () => {
  it('writes one file a kind, the trainer and the manifest', async () => {
    const { path, manifest, bytes, removed, warnings } = await save(1234);
    expect(path).toBe(join(folder, 'step-00001234'));
    expect((await readdir(path)).sort()).toEqual([
      'manifest.json',
      'moment1.safetensors',
      'moment2.safetensors',
      'param.safetensors',
      'step.safetensors',
      'trainer.json',
    ]);
    expect(manifest).toMatchObject({ ...meta, schema: 1, step: 1234 });
    expect(JSON.parse(await readFile(join(path, 'manifest.json'), 'utf8'))).toMatchObject(manifest);
    expect(bytes).toBeGreaterThan(stateBytes(states));
    expect([removed, warnings]).toEqual([[], []]);
  });

  it('is read by the rules of safetensors, by parameter name, without a device', async () => {
    const { path } = await save(3);
    const open = await openCheckpoint(posixFiles, path);
    const store = storeAt(states, 3);
    expect(open.trainer).toEqual({ step: 3 });
    expect(new Uint8Array((await open.read('layers.1.qkv')).buffer)).toEqual(store.bytes('layers.1.qkv'));
    await open.close();
  });

  it('keeps the newest two, or as many as asked for', async () => {
    for (const step of [1, 2, 3]) await save(step);
    expect(await readdir(folder)).toEqual(['step-00000002', 'step-00000003']);
    expect((await save(4, { keep: 1 })).removed).toEqual([join(folder, 'step-00000003'), join(folder, 'step-00000002')]);
    for (const step of [5, 6, 7]) await save(step, { keep: 9 });
    expect(await readdir(folder)).toHaveLength(4);
    await expect(save(8, { keep: 0 })).rejects.toMatchObject({ kind: 'usage' });
  });

  it('goes on where an old checkpoint cannot be deleted, and tries again later', async () => {
    for (const step of [1, 2]) await save(step);
    const stuck: HostFiles = {
      ...posixFiles,
      rename: (from, to) =>
        from.endsWith('step-00000001') ? Promise.reject(new ScionError('io', `cannot rename ${from}: EROFS`)) : posixFiles.rename(from, to),
    };
    const { removed, warnings } = await save(3, {}, stuck);
    expect(removed).toEqual([]);
    expect(warnings).toEqual([expect.stringMatching(/cannot delete .*step-00000001: .*EROFS/)]);
    expect((await save(4)).removed).toHaveLength(2);
    expect(await readdir(folder)).toEqual(['step-00000003', 'step-00000004']);
  });

  it('sets a sound checkpoint of a later step aside, deletes a damaged one', async () => {
    for (const step of [10, 20, 30, 40]) await save(step, { keep: 9 });
    await writeFile(join(folder, 'step-00000040', 'trainer.json'), '{}');
    const { warnings } = await save(25, { keep: 2 });
    expect(warnings).toEqual([
      expect.stringMatching(/damaged checkpoint of the later step 40: .*trainer\.json/),
      expect.stringMatching(/step 30 is later than step 25/),
    ]);
    expect(await readdir(folder)).toEqual(['step-00000020', 'step-00000025', 'step-00000030.aside-run']);
    expect((await findLatest(posixFiles, folder))?.manifest.step).toBe(25);
    expect(await recoverCheckpoints(posixFiles, folder)).toEqual([]);
  });

  it('asks the guard right before the commit, and commits nothing if it throws', async () => {
    await save(1);
    const guard = async () => {
      expect(await readdir(folder)).toEqual(['step-00000001', 'step-00000002.tmp-run']);
      throw new ScionError('locked', 'lost');
    };
    await expect(save(2, { guard })).rejects.toMatchObject({ kind: 'locked', message: 'the checkpoint of step 2 was not saved: lost' });
    expect(await readdir(folder)).toEqual(['step-00000001']);
  });

  it('notices a disk that stores something else than it was given', async () => {
    const bad: HostFiles = {
      ...posixFiles,
      syncDir: async (path) => {
        if (path.includes('.tmp-')) await writeFile(join(path, 'step.safetensors'), 'rotten');
        await posixFiles.syncDir(path);
      },
    };
    await save(1);
    await expect(save(2, { keep: 1 }, bad)).rejects.toMatchObject({ kind: 'format', message: expect.stringContaining('step.safetensors has 6 bytes') });
    expect(await readdir(folder)).toEqual(['step-00000001']);
  });

  it('takes a tensor larger than a piece in pieces, with its 16-bit copy, and sizes that fill no word', async () => {
    const size = (2 * PIECE_BYTES) / 4 + 3;
    const large = new States();
    large.declare('big', 'param', 'decay', [size]);
    large.declare(weightName('big'), 'weight', 'decay', [size], 'f16');
    large.declare('odd', 'other', 'plain', [5], 'f16');
    large.freeze(assumedFacts());
    const values = Float32Array.from({ length: size }, (_, i) => i / 7);
    const store = new FakeStore(large);
    store.put('big', new Uint8Array(values.buffer));
    const pieces: number[] = [];
    const session: StateStore = {
      readBytes: (key, offset, length) => {
        pieces.push(length);
        return store.readBytes(key, offset, length);
      },
      writeBytes: () => {},
      clearKind: () => {},
    };
    const { path } = await saveCheckpoint(posixFiles, folder, { session, states: large, step: 0, trainer: null, meta });
    expect(pieces).toEqual([PIECE_BYTES, PIECE_BYTES, 12, 10]);
    const fresh = new FakeStore(large);
    await loadCheckpoint(posixFiles, path, { session: fresh, states: large });
    expect(Buffer.compare(fresh.bytes('big'), store.bytes('big'))).toBe(0);
    const halves = new Uint8Array(floatToHalf(values).buffer);
    expect(Buffer.compare(fresh.bytes(weightName('big')).subarray(0, halves.length), halves)).toBe(0);
    expect(fresh.bytes('odd').subarray(0, 10)).toEqual(store.bytes('odd').subarray(0, 10));
  });
});

describe('loadLatest', () => {
  it('gives null where nothing was ever saved', async () => {
    const session = new FakeStore(states);
    expect(await loadLatest(posixFiles, folder, { session, states })).toBeNull();
    expect(await loadLatest(posixFiles, join(folder, 'none'), { session, states })).toBeNull();
    await save(1);
    await rename(join(folder, 'step-00000001'), join(folder, 'step-00000001.tmp-dead'));
    expect(await loadLatest(posixFiles, folder, { session, states })).toBeNull();
  });

  it('fills every state: zero gradients, 16-bit weights from their masters', async () => {
    await save(5);
    const session = new FakeStore(states);
    const result = await loadLatest(posixFiles, folder, { session, states, configHash: meta.configHash });
    expect(result).toMatchObject({ path: join(folder, 'step-00000005'), trainer: { step: 5 }, skipped: [] });
    expect(session.image()).toBe(storeAt(states, 5).image());
    expect(session.bytes(weightName('embed')).some((b) => b !== 0)).toBe(true);
    expect(session.bytes('grad:embed').every((b) => b === 0)).toBe(true);
  });

  it('keeps gradients where they were saved', async () => {
    const store = storeAt(states, 6);
    store.put('grad:norm', new Uint8Array(new Float32Array(10).fill(0.5).buffer));
    await save(6, { session: store, gradients: true });
    const session = new FakeStore(states);
    await loadLatest(posixFiles, folder, { session, states });
    expect(session.image()).toBe(store.image());
  });

  it('goes back a checkpoint for a missing file or manifest, and says so', async () => {
    for (const step of [1, 2]) await save(step);
    await rm(join(folder, 'step-00000002', 'moment1.safetensors'));
    const session = new FakeStore(states);
    const result = await loadLatest(posixFiles, folder, { session, states });
    expect(result?.manifest.step).toBe(1);
    expect(result?.skipped).toEqual([{ path: join(folder, 'step-00000002'), step: 2, problem: expect.stringContaining('moment1.safetensors is missing') }]);
    await rm(join(folder, 'step-00000002', 'manifest.json'));
    expect((await loadLatest(posixFiles, folder, { session, states }))?.skipped[0].problem).toContain('has no manifest.json');
  });

  it('distrusts a renamed folder', async () => {
    const { path } = await save(2);
    await rename(path, join(folder, 'step-00000009'));
    await expect(findLatest(posixFiles, folder)).rejects.toThrow('its manifest is of step 2');
  });

  it('refuses another config or model instead of going back', async () => {
    for (const step of [1, 2]) await save(step);
    const session = new FakeStore(states);
    await expect(loadLatest(posixFiles, folder, { session, states, configHash: 'other' })).rejects.toMatchObject({
      kind: 'input',
      message: expect.stringContaining('config hash'),
    });
    const wide = smallStates({ width: 12 });
    await expect(loadLatest(posixFiles, folder, { session: new FakeStore(wide), states: wide })).rejects.toThrow(
      /"embed" is F32 \[31, 10\], this run needs f32.*12.* and \d+ more/,
    );
    const sgd = smallStates({ moments: 1 });
    await expect(loadLatest(posixFiles, folder, { session: new FakeStore(sgd), states: sgd })).rejects.toThrow(
      'it has moment2.safetensors, which this run does not use',
    );
    await saveCheckpoint(posixFiles, folder, { session: storeAt(sgd, 3), states: sgd, step: 3, trainer: null, meta });
    await expect(loadLatest(posixFiles, folder, { session, states })).rejects.toThrow('it has no moment2.safetensors');
  });

  it('takes f32 and mixed runs for each other: 16-bit weights are derived', async () => {
    await save(1);
    const plain = smallStates({ precision: 'f32' });
    const session = new FakeStore(plain);
    await loadLatest(posixFiles, folder, { session, states: plain });
    expect(session.bytes(momentName(1, 'embed'))).toEqual(storeAt(states, 1).bytes(momentName(1, 'embed')));
  });

  it('loads under other buffer limits than it was saved under', async () => {
    await save(1);
    const cut = smallStates({ maxBufferSize: 4096 });
    expect(cut.buffers().length).toBeGreaterThan(states.buffers().length);
    const session = new FakeStore(cut);
    await loadLatest(posixFiles, folder, { session, states: cut });
    expect(session.image()).toBe(storeAt(states, 1).image());
  });

  it('refuses a newer schema instead of going back', async () => {
    await save(1);
    const { path, manifest } = await save(2);
    await writeFile(join(path, 'manifest.json'), formatManifest({ ...manifest, schema: 2 }));
    await expect(loadLatest(posixFiles, folder, { session: new FakeStore(states), states })).rejects.toMatchObject({
      kind: 'format',
      message: expect.stringContaining('checkpoint schema 2'),
    });
  });
});

describe('folders', () => {
  it('lists complete checkpoints newest first, by number, and no other names', async () => {
    const files = new MemoryFiles();
    for (const name of [
      'step-00000002',
      'step-100000000',
      'step-00000030',
      'step-00000031.tmp-a',
      'step-00000032.aside-a',
      'step-00000029.old-a',
      'step-00000030.old-a',
      'step-3',
      'best',
    ]) {
      await files.makeDir(`/d/${name}`);
    }
    await files.write('/d/step-00000033', new Uint8Array(1));
    expect((await listCheckpoints(files, '/d')).map((c) => [c.step, c.displaced])).toEqual([
      [100_000_000, false],
      [30, false],
      [29, true],
      [2, false],
    ]);
    expect(await recoverCheckpoints(files, '/d')).toEqual(['step-00000029.old-a', 'step-00000030.old-a', 'step-00000031.tmp-a']);
    expect((await listCheckpoints(files, '/d')).map((c) => c.step)).toEqual([100_000_000, 30, 29, 2]);
  });

  it('makes a run folder durable up to the first parent that was there', async () => {
    const files = new FaultFiles(new MemoryFiles());
    await saveCheckpoint(files, '/runs/a/b', { session: storeAt(states, 1), states, step: 1, trainer: null, meta, runId: 'r' });
    expect(files.operations.filter((o) => o.startsWith('syncDir'))).toEqual([
      'syncDir /runs/a',
      'syncDir /runs',
      'syncDir /',
      'syncDir /runs/a/b/step-00000001.tmp-r',
      'syncDir /runs/a/b',
    ]);
  });
});

describe('manifest', () => {
  const manifest: Manifest = { schema: 1, step: 3, ...meta, files: [{ name: 'param.safetensors', bytes: 8, sha256: 'a'.repeat(64) }] };
  const text = formatManifest(manifest);

  it('comes back as it went out', () => {
    expect(parseManifest(text, 'm')).toEqual(manifest);
  });

  it('catches every flipped bit and every cut', () => {
    const bytes = new TextEncoder().encode(text);
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const bad = bytes.slice();
      bad[bit >> 3] ^= 1 << (bit & 7);
      expect(() => parseManifest(new TextDecoder().decode(bad), 'm'), `bit ${bit}`).toThrow(ScionError);
    }
    for (let n = 0; n < text.length; n++) expect(() => parseManifest(text.slice(0, n), 'm'), `${n} characters`).toThrow(ScionError);
  });

  it.each([
    ['a path as a file name', { files: [{ name: '../../etc/passwd', bytes: 1, sha256: 'a'.repeat(64) }] }, 'files.0.name'],
    ['a negative step', { step: -1 }, 'step'],
    ['a short hash', { files: [{ name: 'x', bytes: 1, sha256: 'ab' }] }, 'files.0.sha256'],
    ['a missing field', { adapter: undefined }, 'adapter'],
  ])('refuses %s even with a right seal', (_, edit, field) => {
    const sealed = formatManifest({ ...manifest, ...edit } as Manifest);
    expect(() => parseManifest(sealed, 'm')).toThrow(field);
  });

  it('hashes JSON whatever the order of its keys', () => {
    expect(hashJson({ a: 2, b: 1, c: [{ y: 1, x: undefined }] })).toBe(hashJson({ c: [{ y: 1 }], b: 1, a: 2 }));
    expect(hashJson({ a: [1, 2] })).not.toBe(hashJson({ a: [2, 1] }));
  });

  it.each([
    [{ a: [1, Number.NaN] }, 'trainer.a[1] is NaN'],
    [{ a: new Map() }, 'trainer.a is a Map'],
    [{ a: () => 1 }, 'trainer.a is a function'],
    [{ a: new Float32Array(2) }, 'trainer.a is a Float32Array'],
    [{ a: 1n }, 'trainer.a is a bigint'],
    ['\ud800', 'lone surrogate'],
  ])('refuses trainer state that JSON would change (%#)', (value, message) => {
    expect(() => assertPlainJson(value)).toThrow(message);
    expect(() => assertPlainJson({ a: 1, b: [null, true, 'x', { c: 1.5 }], d: undefined })).not.toThrow();
  });
});
