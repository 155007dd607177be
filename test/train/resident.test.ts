/**
 * The plan's bytes against what the operating system says: resident memory of a process of its own on lavapipe, whose
 * device memory is the process's. One plan that is mostly states, one that is mostly activations.
 */
import { expect, test } from 'vitest';
import { child, NODE, need } from '../runtime/expect.ts';

/** The bound. Seen: +1.6 % (states) and +3.3 % (activations); pages of JavaScript's heap come and go beside it. */
const WITHIN = 0.1;

test.each(['states', 'activations'])('resident memory of a plan of %s is the planned memory', { timeout: 120_000 }, async (name) => {
  const ran = await child(need(NODE, 'SCION_NODE'), ['--expose-gc', 'test/train/resident.ts', name], { seconds: 110 });
  expect(ran.code, ran.err).toBe(0);
  const { planned, held } = JSON.parse(ran.out.trimEnd().split('\n').at(-1) ?? '') as { planned: number; held: number };
  process.stdout.write(`resident memory of ${name}: ${(held / 1e6).toFixed(0)} MB held, ${(planned / 1e6).toFixed(0)} MB planned\n`);
  expect(planned).toBeGreaterThan(200e6);
  expect(Math.abs(held / planned - 1), `${held} bytes held, ${planned} planned`).toBeLessThanOrEqual(WITHIN);
});
