/** What ranks are refused for, and that all of them hear the same. */
import { describe, expect, it } from 'vitest';
import { agree, gatherText, type Setting } from './agree.ts';
import { localRanks } from './local.ts';

async function refusals(settings: readonly { readonly [name: string]: Setting }[]): Promise<string[]> {
  const all = await Promise.allSettled(localRanks(settings.length).map((t) => agree(t, settings[t.rank])));
  return all.map((one) => (one.status === 'fulfilled' ? '' : (one.reason as Error).message));
}

describe('agree', () => {
  const base = { version: '1', seed: 3, optimizer: { peak: 0.01, decay: [0.9, 0.95] }, data: ['a', 'b'], tied: false, limit: null };

  it('lets equal settings pass, in any order of names', async () => {
    const { seed, ...rest } = base;
    expect(await refusals([base, { ...rest, seed }, structuredClone(base)])).toEqual(['', '', '']);
    expect(await refusals([{}])).toEqual(['']);
  });

  it.each([
    ['seed', { ...base, seed: 4 }, 'seed is 3 on rank 0, rank 1 has 4'],
    ['a nested number', { ...base, optimizer: { peak: 0.01, decay: [0.9, 0.96] } }, 'optimizer.decay.1 is 0.95 on rank 0, rank 1 has 0.96'],
    ['a missing one', { ...base, tied: undefined }, 'tied is false on rank 0, rank 1 has nothing'],
    ['one more', { ...base, extra: 'x' }, 'extra is nothing on rank 0, rank 1 has "x"'],
    ['text for a number', { ...base, version: 1 }, 'version is "1" on rank 0, rank 1 has 1'],
    ['an empty list', { ...base, data: [] }, 'data is nothing on rank 0, rank 1 has []'],
    ['null for a number', { ...base, limit: 0 }, 'limit is null on rank 0, rank 1 has 0'],
  ])('names %s on every rank', async (_, other, message) => {
    const heard = await refusals([base, other, base]);
    for (const text of heard) expect(text).toContain(message);
  });

  it('names all ranks that differ from the first', async () => {
    const [text] = await refusals([base, { ...base, seed: 5 }, base, { ...base, seed: 6 }]);
    expect(text).toContain('seed is 3 on rank 0, ranks 1, 3 differ, rank 1 has 5');
  });

  it('gathers texts of any length', async () => {
    const texts = ['', 'ä', 'x'.repeat(1000)];
    expect(await Promise.all(localRanks(3).map((t) => gatherText(t, texts[t.rank])))).toEqual([texts, texts, texts]);
  });
});
