/**
 * `npm run gpu:pack [-- --out DIR]`: one folder that runs on a bare, offline Linux x64 machine with a GPU: `run.sh` and an
 * archive with Node, Dawn, a Vulkan loader, scion as plain JavaScript with its kernels, op cases, bench rows and sample
 * corpus. gzip, though xz would save a third: the target need not have more than sh, tar and gzip.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { gzipSync } from 'node:zlib';
import { ensureBrowserPackage, unpack } from '../lib/gpu.mjs';
import { at, root, runMain, SetupError, say } from '../lib/log.mjs';
import { ensureNode, ensurePackages } from '../lib/packages.mjs';
import { capture } from '../lib/run.mjs';
import { tar } from './tar.mjs';

const LIMIT = 60e6;
const PARTS = at('tools', 'pack-gpu');
const FOLDERS = ['/usr/lib/x86_64-linux-gnu', '/lib/x86_64-linux-gnu', '/usr/lib64', '/usr/lib'];
/** What NVIDIA's Vulkan library may want and a bare machine may lack; packed where this machine has them. */
const X11 = ['libX11.so.6', 'libXext.so.6', 'libxcb.so.1', 'libXau.so.6', 'libXdmcp.so.6', 'libbsd.so.0', 'libmd.so.0'];
const CXX = ['libstdc++.so.6', 'libgcc_s.so.1'];

const onMachine = (name) => FOLDERS.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;

/** The machine's Vulkan loader, else the one of the SwiftShader package. */
async function vulkanLoader() {
  const found = onMachine('libvulkan.so.1');
  if (found) return found;
  const folder = at('.scion', 'swiftshader');
  if (!existsSync(join(folder, 'libvulkan.so.1'))) unpack(join(await ensureBrowserPackage(), 'swiftshader.tar.br'), folder);
  return join(folder, 'libvulkan.so.1');
}

/** scion, its tests' cases and the command line as plain JavaScript in `folder`. */
async function bundle(folder) {
  const { build } = await import('vite');
  await build({
    configFile: false,
    root,
    logLevel: 'warn',
    // A bundled file must not take itself for the program that was started.
    define: { 'import.meta.main': 'false' },
    ssr: { noExternal: true, external: ['webgpu'] },
    build: {
      ssr: true,
      target: 'node24',
      outDir: folder,
      emptyOutDir: true,
      minify: false,
      rollupOptions: { input: { parts: at('tools', 'pack-gpu', 'parts.ts'), cli: at('src', 'cli', 'main.ts') }, output: { entryFileNames: '[name].js' } },
    },
  });
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  copyFileSync(join(PARTS, 'run.mjs'), join(folder, 'run.mjs'));
}

/** Every file below a folder, as archive entries under `to`. */
function entriesOf(folder, to) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile())
    .map((e) => join(e.parentPath, e.name))
    .sort()
    .map((path) => ({ name: `${to}/${path.slice(folder.length + 1)}`, bytes: readFileSync(path), mode: 0o644 }));
}

async function main() {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new SetupError('the GPU pack carries Linux x64 programs and is made on such a machine');
  const words = process.argv.slice(2);
  const folder = words.includes('--out') ? words[words.indexOf('--out') + 1] : at('gpu-pack');
  await ensurePackages({ dev: true });
  const node = await ensureNode();
  const app = at('.cache', 'gpu-pack', 'app');
  await bundle(app);
  const library = (name, path, group) => ({ name: `lib/${group}/${name}`, bytes: readFileSync(realpathSync(path)), mode: 0o755 });
  const has = (names, group) => names.flatMap((name) => (onMachine(name) ? [library(name, onMachine(name), group)] : []));
  const webgpu = at('node_modules', 'webgpu');
  const files = [
    { name: 'bin/node', bytes: readFileSync(node), mode: 0o755 },
    { name: 'node_modules/webgpu/package.json', bytes: readFileSync(join(webgpu, 'package.json')), mode: 0o644 },
    { name: 'node_modules/webgpu/index.js', bytes: readFileSync(join(webgpu, 'index.js')), mode: 0o644 },
    { name: 'node_modules/webgpu/LICENSE.md', bytes: readFileSync(join(webgpu, 'LICENSE.md')), mode: 0o644 },
    { name: 'node_modules/webgpu/dist/linux-x64/dawn.node', bytes: readFileSync(join(webgpu, 'dist', 'linux-x64', 'dawn.node')), mode: 0o755 },
    library('libvulkan.so.1', await vulkanLoader(), 'vulkan'),
    ...has(X11, 'x11'),
    ...has(CXX, 'cxx'),
    ...entriesOf(app, 'app'),
    ...entriesOf(at('kernels'), 'kernels').filter(({ name }) => name.endsWith('.wgsl')),
  ];
  const archive = tar(files);
  const commit = (await capture('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root })).stdout.trim() || 'no-commit';
  const changed = (await capture('git', ['status', '--porcelain', '--untracked-files=no'], { cwd: root })).stdout.trim() !== '';
  const version = `${commit}${changed ? '+changes' : ''} ${createHash('sha256').update(archive).digest('hex').slice(0, 12)}`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'pack.tar.gz'), gzipSync(archive, { level: 6 }));
  writeFileSync(join(folder, 'VERSION'), `${version}\n`);
  writeFileSync(join(folder, 'run.sh'), readFileSync(join(PARTS, 'run.sh')), { mode: 0o755 });
  writeFileSync(
    join(folder, 'manifest.json'),
    `${JSON.stringify(
      files.map(({ name, bytes }) => [name, bytes.length]).filter(([, n]) => n > 0),
      null,
      0,
    )}\n`,
  );
  const size = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  if (size > LIMIT) throw new SetupError(`${folder} holds ${(size / 1e6).toFixed(1)} MB, ${LIMIT / 1e6} are allowed`);
  say(
    `scion: ${folder} holds ${(size / 1e6).toFixed(1)} MB (${(archive.length / 1e6).toFixed(0)} MB unpacked), version ${version}; run it with: sh ${join(folder, 'run.sh')}`,
  );
  return 0;
}

await runMain(main);
