/** Steps: done ones are skipped, changed ones done anew in an empty place, cut-off ones go on with what they left. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { host } from '../host/index.ts';
import { type Step, StepRunner } from './engine.ts';

const root = mkdtempSync(join(tmpdir(), 'scion-engine-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let dir = '';
let count = 0;
beforeEach(() => {
  dir = join(root, String(count++));
  mkdirSync(dir);
});

/** Appends to a file of its own, so that one sees what it found. */
const step = (inputs: unknown, more: Partial<Step<{ text: string }>> = {}): Step<{ text: string }> => ({
  id: 'one',
  title: 'one',
  inputs: () => inputs,
  owns: ['place'],
  async run() {
    mkdirSync(join(dir, 'place'), { recursive: true });
    const path = join(dir, 'place', 'a');
    writeFileSync(path, `${existsSync(path) ? readFileSync(path, 'utf8') : ''}x`);
    return { text: readFileSync(path, 'utf8') };
  },
  ...more,
});
const runner = async (options: Partial<ConstructorParameters<typeof StepRunner>[2]> = {}) => new StepRunner(await host(), dir, { version: '1', ...options });

describe('steps', () => {
  it('are done once', async () => {
    expect(await (await runner()).run(step({ a: 1 }))).toEqual({ text: 'x' });
    const again = await runner();
    expect(await again.run(step({ a: 1 }))).toEqual({ text: 'x' });
    expect(again.outcomes.map((o) => o.skipped)).toEqual([true]);
  });

  it('are done anew, in an empty place, where inputs or the version differ', async () => {
    await (await runner()).run(step({ a: 1 }));
    const changed = await runner();
    expect(await changed.run(step({ a: 2 }))).toEqual({ text: 'x' });
    expect(changed.outcomes[0].skipped).toBe(false);
    const other = await runner({ version: '2' });
    await other.run(step({ a: 2 }));
    expect(other.outcomes[0].skipped).toBe(false);
  });

  it('go on with what they left where they were cut off', async () => {
    const cut = step(
      { a: 1 },
      {
        async run(progress) {
          await step({ a: 1 }).run(progress, null);
          throw new Error('cut');
        },
      },
    );
    await expect((await runner()).run(cut)).rejects.toThrow('cut');
    expect(await (await runner()).run(step({ a: 1 }))).toEqual({ text: 'xx' });
  });

  it('are done again where what they left is gone', async () => {
    await (await runner()).run(step({ a: 1 }));
    rmSync(join(dir, 'place'), { recursive: true });
    const again = await runner();
    expect(await again.run(step({ a: 1 }, { intact: async () => existsSync(join(dir, 'place', 'a')) }))).toEqual({ text: 'x' });
    expect(again.outcomes[0].skipped).toBe(false);
  });

  it('do not begin after a stop, but what is done is told', async () => {
    await (await runner()).run(step({ a: 1 }));
    const stopped = await runner({ stop: { requested: true } });
    expect(await stopped.run(step({ a: 1 }))).toEqual({ text: 'x' });
    await expect(stopped.run(step({ a: 1 }, { id: 'two' }))).rejects.toMatchObject({ kind: 'interrupted' });
  });

  it('a record that is damaged counts as none', async () => {
    await (await runner()).run(step({ a: 1 }));
    writeFileSync(join(dir, 'steps', 'one.json'), '{"engine": 1, "key"');
    expect(await (await runner()).run(step({ a: 1 }))).toEqual({ text: 'x' });
  });
});
