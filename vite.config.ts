/**
 * The page: `npm run dev` serves `web/` on localhost (WebGPU asks for a secure context), `npm run build:web`
 * bundles it into `web/dist`, static files that run from any folder of any server.
 */
import { resolve } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

/**
 * A page never loads the adapters of the other hosts (`src/host/index.ts` picks by runtime), so their place is taken by
 * empty modules: the bundle then names no `node:` module at all.
 */
function browserHostOnly(): Plugin {
  return {
    name: 'scion:browser-host-only',
    enforce: 'pre',
    load: (id) => (/[\\/]src[\\/]host[\\/](node|deno)\.ts$/.test(id.replace(/\?.*$/, '')) ? 'export {};' : null),
  };
}

/** The library's modules do nothing by being loaded, so page and Worker take only what they name of them. */
const inLibrary = (id: string): boolean => id.startsWith(resolve(import.meta.dirname, 'src')) || id.startsWith(resolve(import.meta.dirname, 'kernels'));

const rolldownOptions = {
  treeshake: { moduleSideEffects: (id: string) => !inLibrary(id) },
  // The pipeline loads its steps when they are first used, so that a command starts fast; that some end up in one file anyway is no news.
  checks: { ineffectiveDynamicImport: false },
};

export default defineConfig({
  root: resolve(import.meta.dirname, 'web'),
  base: './',
  plugins: [browserHostOnly()],
  worker: { format: 'es', plugins: () => [browserHostOnly()], rolldownOptions },
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2023', rolldownOptions },
  server: { host: 'localhost', fs: { allow: ['..'] } },
  preview: { host: 'localhost' },
});
