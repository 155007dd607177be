/**
 * Bundles a worker with Vite, serves it with a bare page from memory on localhost (a secure context, as
 * WebGPU asks), and runs it in a headless Chromium. Nothing is written to disk but the browser's own
 * temporary profile.
 */
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chromium } from 'playwright-core';
import { build, type Rolldown } from 'vite';

/** Found by `npm test`, named by the user, or the usual place of a Linux package. */
export function chromiumPath(): string {
  const path = process.env.SCION_CHROMIUM ?? process.env.CHROMIUM ?? '/usr/bin/chromium';
  if (!existsSync(path)) throw new Error(`no Chromium at ${path}; install one, or name it in SCION_CHROMIUM`);
  return path;
}

/** `--enable-unsafe-webgpu` is what gives a headless Chromium without a GPU an adapter; the rest keeps it from the network. */
export const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The worker as ES modules by file name; `worker.js` is the entry. */
export async function bundleWorker(entry: string): Promise<Map<string, string>> {
  const built = (await build({
    configFile: false,
    logLevel: 'warn',
    build: {
      write: false,
      minify: false,
      target: 'esnext',
      lib: { entry, formats: ['es'], fileName: () => 'worker.js' },
      // The adapters of the other hosts are loaded only there; their modules need not exist here.
      rolldownOptions: { external: [/^node:/, 'webgpu'] },
    },
  })) as Rolldown.RolldownOutput | Rolldown.RolldownOutput[];
  const files = new Map<string, string>();
  for (const part of [built].flat()) for (const file of part.output) if (file.type === 'chunk') files.set(file.fileName, file.code);
  return files;
}

/** Serves the files and a page that starts `worker.js` and hands its messages to `scionMessage`. */
export async function serve(files: ReadonlyMap<string, string | Uint8Array>): Promise<{ url: string; close: () => Promise<void> }> {
  const page = `<!doctype html><meta charset="utf-8"><title>op suite</title><script type="module">
    const worker = new Worker('/worker.js' + location.search, { type: 'module' });
    worker.onmessage = (event) => scionMessage(event.data);
    worker.onerror = (event) => scionMessage({ kind: 'error', message: event.message + ' at ' + event.filename + ':' + event.lineno });
  </script>`;
  const server = createServer((request, response) => {
    const name = new URL(request.url ?? '/', 'http://localhost').pathname.slice(1);
    const body = name === '' ? page : files.get(name);
    response.writeHead(body === undefined ? 404 : 200, {
      'content-type': name.endsWith('.js') ? 'text/javascript' : 'text/html',
      // Shared memory, which ranks in workers need, is for isolated pages only.
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
    });
    response.end(body ?? '');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((done) => {
      server.closeAllConnections();
      server.close(() => done());
    });
  return { url: `http://localhost:${port}/`, close };
}

/**
 * Runs a bundled worker in Chromium; `onMessage` gets what it posts and answers true when it is finished. `beside` holds
 * further files that it may fetch by name.
 */
export async function runWorker<T>(
  entry: string,
  query: string,
  onMessage: (message: T) => boolean,
  seconds: number,
  beside: ReadonlyMap<string, Uint8Array> = new Map(),
): Promise<void> {
  const server = await serve(new Map<string, string | Uint8Array>([...beside, ...(await bundleWorker(entry))]));
  const browser = await chromium.launch({ executablePath: chromiumPath(), headless: true, args: CHROMIUM_FLAGS });
  try {
    const page = await browser.newPage();
    await new Promise<void>((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`the worker did not finish within ${seconds} s`)), seconds * 1000);
      const end = (error?: Error) => {
        clearTimeout(timer);
        if (error) fail(error);
        else done();
      };
      page.on('pageerror', (error) => end(error));
      page.on('crash', () => end(new Error('the page crashed')));
      browser.on('disconnected', () => end(new Error('the browser ended')));
      page
        .exposeFunction('scionMessage', (message: T) => {
          if (onMessage(message)) end();
        })
        .then(() => page.goto(`${server.url}${query}`))
        .catch(end);
    });
  } finally {
    await browser.close();
    await server.close();
  }
}
