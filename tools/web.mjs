/**
 * `npm run dev` and `npm run build:web`: installs what is missing, then Vite with the words given, under the pinned
 * Node. Its settings are in vite.config.ts.
 */
import process from 'node:process';
import { at, root, runMain } from './lib/log.mjs';
import { ensureNode, ensurePackages } from './lib/packages.mjs';
import { passThrough } from './lib/run.mjs';

process.chdir(root);
await runMain(async () => {
  await ensurePackages({ dev: true });
  return passThrough(await ensureNode(), [at('node_modules', 'vite', 'bin', 'vite.js'), ...process.argv.slice(2)], { cwd: root });
});
