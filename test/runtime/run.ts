/**
 * Runs the op suite on the host it is started on (Deno, or a child Node with other driver settings) and
 * prints one JSON line, a SuiteResult: `deno run -A test/runtime/run.ts [--only text] [--subgroups]`.
 * `--subgroups` keeps the cases whose result depends on the subgroup width. Progress goes to standard error.
 */
import { GpuDevice } from '../../src/gpu/device.ts';
import { terminal } from '../../src/host/index.ts';
import { usesSubgroups } from './plans.ts';
import { runSuite } from './suite.ts';

const term = await terminal();
const only = term.args.includes('--only') ? (term.args[term.args.indexOf('--only') + 1] ?? '') : '';
const first = await GpuDevice.open();
const { facts } = first;
first.destroy();
const result = await runSuite(() => GpuDevice.open(), {
  filter: (c) => c.name.includes(only) && (!term.args.includes('--subgroups') || usesSubgroups(c, facts)),
  onResult: (r) => {
    if (!r.ok) term.err(`FAILED ${r.case}: ${r.message}\n`);
  },
});
term.out(`${JSON.stringify(result)}\n`);
term.exit(0);
