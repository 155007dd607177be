/**
 * `npm run build`: the published form of scion in `dist/`. JavaScript and types from tsc, the WGSL files
 * beside them. Node refuses to strip types below node_modules, so the package cannot hold the sources.
 */
import { cpSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { at, root, runMain, SetupError, say } from './lib/log.mjs';
import { ensureNode, ensurePackages } from './lib/packages.mjs';
import { capture } from './lib/run.mjs';

async function main() {
  await ensurePackages({ dev: true });
  const node = await ensureNode();
  rmSync(at('dist'), { recursive: true, force: true });
  const { code, stdout, stderr } = await capture(node, [at('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json'], { cwd: root });
  if (code !== 0) throw new SetupError(`tsc -p tsconfig.build.json ended with ${code}:\n${stdout}${stderr}`);
  let kernels = 0;
  cpSync(at('kernels'), at('dist', 'kernels'), {
    recursive: true,
    filter: (path) => {
      const keep = statSync(path).isDirectory() || path.endsWith('.wgsl');
      if (keep && path.endsWith('.wgsl')) kernels++;
      return keep;
    },
  });
  const files = readdirSync(at('dist'), { recursive: true }).filter((name) => statSync(join(at('dist'), String(name))).isFile());
  say(`scion: dist/ holds ${files.length} files, ${kernels} of them kernels`);
  return 0;
}

process.chdir(root);
await runMain(main);
