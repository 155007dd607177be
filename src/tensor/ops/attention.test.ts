/**
 * Attention without a device: memory over the context length as the planner counts it, launches a
 * pass, the host's ranges against a mask written out, and what is refused. Numbers on devices are held
 * to float64 by test/runtime/cases/attention.ts.
 */
import { describe, expect, test } from 'vitest';
import { assumedFacts } from '../../gpu/facts.ts';
import { differentiate } from '../autodiff.ts';
import { Graph, type Value } from '../graph.ts';
import { type Plan, planGraph } from '../plan.ts';
import { attention, attentionCached, attentionRanges } from './attention.ts';
import { matmul } from './matmul.ts';

const big = { limits: { maxBufferSize: 2 ** 36, maxStorageBufferBindingSize: 2 ** 36 } };
const layout = { heads: 8, kvHeads: 2, headSize: 64 };
const width = (layout.heads + 2 * layout.kvHeads) * layout.headSize;

/** One projected attention with its backward pass. */
function planAt(T: number, profile: 'generic' | 'specialised', dtype: 'f32' | 'f16'): Plan {
  const g = new Graph();
  const x = g.data('x', [1, T, 64], dtype);
  const w = g.data('w', [64, width], dtype);
  const { out } = attention(matmul(x, w), g.data('ranges', [1, T, 4], 'u32'), layout);
  const seed = g.data('seed', out.shape, dtype);
  const [dx] = differentiate(g, [{ value: out, adjoint: seed }], [{ by: x, into: null }]);
  return planGraph(g, { facts: assumedFacts({ ...big, profile }), outputs: { out, dx: dx as Value } });
}

const arenaBytes = (plan: Plan): number => plan.arena.reduce((sum, bytes) => sum + bytes, 0);

describe('memory and launches', () => {
  for (const profile of ['generic', 'specialised'] as const) {
    for (const dtype of ['f32', 'f16'] as const) {
      test(`${profile} ${dtype}: bytes grow linearly from T = 1,024 to 16,384`, () => {
        const lengths = [1024, 2048, 4096, 8192, 16384];
        const bytes = lengths.map((T) => arenaBytes(planAt(T, profile, dtype)));
        for (let i = 1; i < lengths.length; i++) {
          expect(Math.log2(bytes[i] / bytes[i - 1])).toBeLessThanOrEqual(1.05);
          expect(bytes[i]).toBeGreaterThan(bytes[i - 1]);
        }
        // One score a pair would alone be 8 heads x 16,384 squared x 4 bytes = 8 GiB.
        expect(bytes[bytes.length - 1]).toBeLessThan(2 ** 28);
      });
    }
    test(`${profile}: one launch forward, three backward`, () => {
      const commands = planAt(1024, profile, 'f32').commands.filter((c) => c.kind === 'dispatch');
      expect(commands.filter((c) => c.node === 'attention')).toHaveLength(1);
      expect(commands.filter((c) => c.node === 'attention_grad')).toHaveLength(3);
    });
  }
});

/** What a mask says in words: the same document, not after the query, within the window. */
function allowed(lengths: readonly number[], window: number, query: number, key: number): boolean {
  const documentOf = (t: number): number => {
    let end = 0;
    for (const [i, n] of lengths.entries()) {
      end += n;
      if (t < end) return i;
    }
    return -1;
  };
  const document = documentOf(query);
  return document >= 0 && document === documentOf(key) && key <= query && (window === 0 || query - key < window);
}

describe('attentionRanges', () => {
  for (const [lengths, window] of [
    [[12], 0],
    [[12], 3],
    [[5, 1, 4], 0],
    [[5, 4], 2],
    [[], 0],
  ] as const) {
    test(`documents ${JSON.stringify(lengths)}, window ${window}: both descriptions are the mask`, () => {
      const T = 12;
      const ranges = attentionRanges(T, lengths, window);
      for (let i = 0; i < T; i++) {
        for (let j = 0; j < T; j++) {
          const mask = allowed(lengths, window, i, j);
          expect(ranges[i * 4] <= j && j < ranges[i * 4 + 1]).toBe(mask);
          expect(ranges[j * 4 + 2] <= i && i < ranges[j * 4 + 3]).toBe(mask);
        }
      }
    });
  }

  test('documents longer than the row are refused with their lengths', () => {
    expect(() => attentionRanges(8, [5, 4])).toThrow(/fit in 8 tokens; got lengths 5, 4/);
  });
});

describe('refusals', () => {
  const build = (sizes: { heads: number; kvHeads: number; headSize: number }, last: number) => () => {
    const g = new Graph();
    return attention(g.data('qkv', [2, 3, last], 'f32'), g.data('ranges', [2, 3, 4], 'u32'), sizes);
  };
  test('head sizes outside 8 to 256', () => {
    expect(build({ heads: 2, kvHeads: 1, headSize: 4 }, 16)).toThrow(/head size must lie within 8 to 256, got 4/);
    expect(build({ heads: 2, kvHeads: 1, headSize: 260 }, 1040)).toThrow(/got 260/);
  });
  test('heads that are no multiple of kvHeads, rows of another width', () => {
    expect(build({ heads: 3, kvHeads: 2, headSize: 8 }, 56)).toThrow(/multiple of kvHeads/);
    expect(build({ heads: 4, kvHeads: 2, headSize: 8 }, 56)).toThrow(/\[B, T, 64\] for 4 \+ 2 x 2 heads of 8/);
  });
  test('a cache of another batch', () => {
    const g = new Graph();
    const cache = g.data('cache', [1, 9, 16], 'f32');
    const qkv = g.data('qkv', [2, 3, 32], 'f32');
    expect(() => attentionCached(qkv, cache, g.data('ranges', [2, 3, 4], 'u32'), { heads: 2, kvHeads: 1, headSize: 8 })).toThrow(/cache must be \[2, C, 16\]/);
  });
  test('kernels that do not exist', () => {
    const g = new Graph();
    const { out } = attention(g.data('qkv', [1, 3, 32], 'f32'), g.data('ranges', [1, 3, 4], 'u32'), { heads: 2, kvHeads: 1, headSize: 8 });
    const facts = assumedFacts({ choices: { attention: 'wide' } });
    expect(() => planGraph(g, { facts, outputs: { out } })).toThrow(/no kernels "wide"; there are naive, rows, tile/);
  });
});
