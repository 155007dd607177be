/**
 * Both MPI libraries of the tests, MPICH and Open MPI: what the machine has, else by apt where this is root on Debian or Ubuntu. Debian installs both side
 * by side and gives each its own launcher name. Where they cannot be had, the set-up fails with the command that would help; a test without MPI proves nothing.
 */
import process from 'node:process';
import { aptInstall, canApt } from './apt.mjs';
import { SetupError, say, timed } from './log.mjs';
import { onPath } from './packages.mjs';
import { capture } from './run.mjs';

/** By family: the names that its launcher may have, and Debian's packages of it. */
const FAMILIES = {
  mpich: { launchers: ['mpiexec.mpich', 'mpiexec.hydra'], packages: ['mpich'] },
  openmpi: { launchers: ['mpiexec.openmpi', 'orterun', 'prterun'], packages: ['openmpi-bin'] },
};

/** The launcher of a family that starts, with its version; null if none does. */
async function launcher(family) {
  const named = process.env[`SCION_${family.toUpperCase()}`];
  for (const name of named ? [named] : FAMILIES[family].launchers) {
    const path = named ?? onPath(name);
    if (!path) continue;
    const { code, stdout, stderr } = await capture(path, ['--version'], { timeoutMs: 30_000 });
    const version = /\d+\.\d+(\.\d+)?\S*/.exec(`${stdout}${stderr}`)?.[0];
    if (code === 0) return { path, version: version ?? '(version unknown)' };
  }
  return null;
}

/**
 * Paths of the two launchers: `{ mpich, openmpi }`; installs what is missing.
 * @throws SetupError with the command that would help
 */
export async function ensureMpi() {
  const found = { mpich: await launcher('mpich'), openmpi: await launcher('openmpi') };
  const missing = Object.keys(FAMILIES).filter((family) => found[family] === null);
  const packages = missing.flatMap((family) => FAMILIES[family].packages);
  if (missing.length > 0 && canApt()) {
    await timed(`installing ${packages.join(' and ')} by apt`, () => aptInstall(packages));
    for (const family of missing) found[family] = await launcher(family);
  }
  const still = missing.filter((family) => found[family] === null);
  if (still.length > 0) {
    const names = still.flatMap((family) => FAMILIES[family].launchers).join(', ');
    throw new SetupError(
      `the tests of ranks need MPICH and Open MPI; no launcher of ${still.join(' and ')} starts (looked for ${names}). What to do: sudo apt-get install -y mpich openmpi-bin, or name the launchers in SCION_MPICH and SCION_OPENMPI`,
    );
  }
  say(`scion: MPI: MPICH ${found.mpich.version}, Open MPI ${found.openmpi.version}`);
  return { mpich: found.mpich.path, openmpi: found.openmpi.path };
}
