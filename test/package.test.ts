/**
 * The published package, tried as a stranger would: packed, installed into an empty folder, its command
 * and the README's library example run from there under Node, Deno and in a browser page. Also holds the
 * package's declarations (exports, lock files, Deno's import map) to each other. Needs the registry.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, dirname, extname, join, normalize, resolve } from 'node:path';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');
const json = (path: string) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
const pkg = json('package.json');

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; a failure to start is code 127. */
function run(program: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = process.env): Promise<Ran> {
  return new Promise((done) => {
    execFile(program, args, { cwd, env, maxBuffer: 1 << 26, timeout: 240_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 127;
      done({ code, stdout, stderr: code === 127 ? `${stderr}${error?.message}` : stderr });
    });
  });
}

const describeRun = ({ code, stdout, stderr }: Ran) => `code ${code}\n${stdout.slice(-2000)}\n${stderr.slice(-2000)}`;

/** A user's environment: none of what npm hands to the scripts of the checkout, nor the checkout's programs. */
function userEnv(): NodeJS.ProcessEnv {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|VITEST|INIT_CWD)/.test(name) || name === 'NODE_EXTRA_CA_CERTS'));
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => !folder.startsWith(ROOT));
  return { ...env, PATH: folders.join(delimiter) };
}

/** The library example: the first code block below the marker in the README. */
function readmeExample(): string {
  const match = /<!-- library example -->\s*```\w+\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'));
  if (!match) throw new Error('README.md has no code block below <!-- library example -->');
  return match[1];
}

describe('declarations', () => {
  it('pins every runtime dependency exactly, and Deno to the same ones', () => {
    const { imports } = json('deno.json');
    const specifiers = Object.entries(pkg.dependencies).map(([name, version]) => [name, `npm:${name}@${version}`]);
    expect(imports, 'run: npm run lock').toEqual(Object.fromEntries(specifiers));
    expect(Object.keys(json('tools/runtime/deno.lock').specifiers).sort(), 'run: npm run lock').toEqual(specifiers.map(([, word]) => word).sort());
    for (const version of Object.values(pkg.dependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it('has a lock file that holds every optional package it names', () => {
    const { packages } = json('package-lock.json') as { packages: Record<string, { optionalDependencies?: Record<string, string> }> };
    const missing = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
      Object.keys(optionalDependencies).filter((name) => !packages[`node_modules/${name}`]),
    );
    expect(missing, 'npm ci refuses such a lock; run: npm run lock').toEqual([]);
  });

  it('pins one Node in both places', () => {
    expect(new Set(Object.values(json('tools/runtime/package.json').optionalDependencies))).toEqual(new Set([pkg.devDependencies.node]));
  });
});

describe('the packed package, installed in an empty folder', { timeout: 300_000 }, () => {
  let folder = '';
  let packed: string[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'scion-package-'));
    const pack = await run('npm', ['pack', '--json', '--pack-destination', folder], ROOT, userEnv());
    expect(pack.code, describeRun(pack)).toBe(0);
    const report = JSON.parse(pack.stdout.slice(pack.stdout.indexOf('[\n')));
    packed = report[0].files.map((file: { path: string }) => file.path);
    writeFileSync(join(folder, 'package.json'), '{ "name": "stranger", "private": true, "type": "module" }\n');
    const install = await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', `./${report[0].filename}`], folder, userEnv());
    expect(install.code, describeRun(install)).toBe(0);
  }, 300_000);

  afterAll(() => {
    if (folder !== '') rmSync(folder, { recursive: true, force: true });
  });

  it('holds built JavaScript, types, kernels and the papers, nothing else', () => {
    const allowed = /^(dist\/(src|kernels)\/.*(\.js|\.d\.ts|\.wgsl)|bin\/scion\.mjs|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/;
    expect(packed.filter((path) => !allowed.test(path) || /\.test\./.test(path))).toEqual([]);
    for (const path of [
      'bin/scion.mjs',
      'dist/src/cli/main.js',
      'dist/src/index.js',
      'dist/src/index.d.ts',
      'dist/kernels/index.js',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
    ]) {
      expect(packed).toContain(path);
    }
    expect(packed.filter((path) => path.endsWith('.wgsl')).length).toBeGreaterThan(0);
  });

  it('runs `npx scion doctor`', async () => {
    const doctor = await run('npx', ['--no-install', 'scion', 'doctor', '--json'], folder, userEnv());
    expect(doctor.code, describeRun(doctor)).toBe(0);
    expect(JSON.parse(doctor.stdout.trim().split('\n').at(-1) ?? '')).toBeTypeOf('object');
  });

  it('type-checks the library example with the types it ships', async () => {
    writeFileSync(join(folder, 'example.ts'), readmeExample());
    const options = { strict: true, noEmit: true, target: 'es2023', module: 'nodenext', lib: ['es2024', 'dom', 'dom.asynciterable'], types: [] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['example.ts'] }));
    const check = await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], folder);
    expect(check.code, describeRun(check)).toBe(0);
  });

  it('runs the library example under Node', async () => {
    writeFileSync(join(folder, 'example.mjs'), readmeExample());
    const ran = await run(process.execPath, ['example.mjs'], folder);
    expect(ran.code, describeRun(ran)).toBe(0);
    expect(ran.stdout.trim()).not.toBe('');
  });

  it('runs the library example under Deno', async () => {
    writeFileSync(join(folder, 'example.mjs'), readmeExample());
    const deno = process.env.SCION_DENO ?? join(ROOT, 'node_modules/deno/deno');
    const ran = await run(deno, ['run', '-A', '--node-modules-dir=manual', 'example.mjs'], folder);
    expect(ran.code, describeRun(ran)).toBe(0);
    expect(ran.stdout.trim()).not.toBe('');
  });

  it('runs the library example in a browser page', async () => {
    // SwiftShader takes seconds for what other hosts do at once: the same program, with a fifth of its steps.
    writeFileSync(join(folder, 'example.mjs'), readmeExample().replace('steps: 20', 'steps: 4'));
    const { server, address } = await serve(folder, pageFor(folder));
    const browser = await chromium.launch({
      executablePath: process.env.SCION_CHROMIUM ?? '/usr/bin/chromium',
      headless: true,
      args: ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--disable-background-networking', '--disable-component-update'],
    });
    try {
      const page = await browser.newPage();
      const said: string[] = [];
      const failed: string[] = [];
      page.on('console', (message) => (message.type() === 'error' ? failed : said).push(message.text()));
      page.on('pageerror', (error) => failed.push(String(error)));
      await page.goto(address);
      await page.waitForFunction('window.exampleEnded !== undefined', undefined, { timeout: 200_000 });
      expect(failed).toEqual([]);
      expect(await page.evaluate('window.exampleEnded')).toBe('well');
      expect(said.join('').trim()).not.toBe('');
    } finally {
      await browser.close();
      server.close();
    }
  });
});

/** A page that runs the example as a module; an import map stands in for a bundler. */
function pageFor(folder: string): string {
  const imports: Record<string, string> = {};
  for (const name of ['scion', ...Object.keys(pkg.dependencies)]) {
    const own = JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8'));
    const entry = entryOf(own.exports?.['.'] ?? own.exports) ?? own.module ?? own.main ?? 'index.js';
    imports[name] = `/node_modules/${name}/${normalize(entry)}`;
  }
  return `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">
try { await import('/example.mjs'); window.exampleEnded = 'well'; } catch (error) { console.error(error.stack ?? String(error)); window.exampleEnded = 'badly'; }
</script>`;
}

/** The file an exports entry names for a browser's `import`. */
function entryOf(entry: unknown): string | undefined {
  if (typeof entry === 'string' || entry === undefined) return entry;
  const conditions = entry as Record<string, unknown>;
  for (const name of ['browser', 'import', 'module', 'default']) if (name in conditions) return entryOf(conditions[name]);
  return undefined;
}

const TYPES: Record<string, string> = { '.mjs': 'text/javascript', '.js': 'text/javascript', '.json': 'application/json', '.wgsl': 'text/plain' };

/** Serves a folder on this machine; `page` is its front page. */
async function serve(folder: string, page: string): Promise<{ server: Server; address: string }> {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname));
    const file = join(folder, path);
    if (path === '/') response.setHeader('content-type', 'text/html').end(page);
    else if (!existsSync(file) || extname(file) === '') response.writeHead(404).end(`${dirname(path)} has no such file`);
    else response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream').end(readFileSync(file));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error(`the test server is bound to ${bound}`);
  return { server, address: `http://localhost:${bound.port}/` };
}
