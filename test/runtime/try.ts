/**
 * Runs op cases by hand on this host while working on a kernel:
 * `node test/runtime/try.ts matmul [--profile generic|specialised] [-v] [--only substring]`. Not a test file.
 */

import { GpuDevice } from '../../src/gpu/device.ts';
import { host, terminal } from '../../src/host/index.ts';
import { type OpCase, runCase } from './case.ts';

const term = await terminal();
const machine = await host();
const value = (flag: string): string | undefined => (term.args.includes(flag) ? term.args[term.args.indexOf(flag) + 1] : undefined);
const profile = value('--profile') as 'generic' | 'specialised' | undefined;
const only = value('--only') ?? '';
const device = await GpuDevice.open({ profile });
let bad = 0;
let count = 0;
const worst: Record<string, number> = { f32: 0, f16: 0 };
const start = machine.now();
for (const file of term.args.filter((a, i) => /^[a-z_]+$/.test(a) && !(term.args[i - 1] ?? '').startsWith('--'))) {
  const { cases } = (await import(`./cases/${file}.ts`)) as { cases: OpCase[] };
  for (const c of cases.filter((x) => x.name.includes(only))) {
    const at = machine.now();
    const r = await runCase(device, c);
    count++;
    if (!r.ok) bad++;
    const error = Math.max(0, ...Object.values(r.errors));
    if (!c.tolerance) worst[c.dtype] = Math.max(worst[c.dtype], error);
    if (!r.ok || term.args.includes('-v'))
      term.out(`${r.ok ? (r.skipped ?? 'ok') : 'BAD'} ${r.case} ${JSON.stringify(r.errors)} ${(machine.now() - at).toFixed(0)} ms ${r.message}\n`);
  }
}
term.out(
  `${count} cases, ${bad} bad, worst f32 ${worst.f32.toExponential(1)}, f16 ${worst.f16.toExponential(1)}, ${device.created.pipelines} pipelines, ${((machine.now() - start) / 1000).toFixed(1)} s\n`,
);
term.exit(bad > 0 ? 1 : 0);
