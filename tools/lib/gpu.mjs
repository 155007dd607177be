/**
 * Makes a GPU adapter answer. In order: what is there; Mesa's lavapipe by apt, where this is root on
 * Debian or Ubuntu; SwiftShader, unpacked from a locked npm package into `.scion/`; else exit 3 with the
 * command that would help. Gives the environment the programs must run under.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { brotliDecompressSync } from 'node:zlib';
import { canApt, distribution, installLavapipe, isDebianLike, lavapipeCommand } from './apt.mjs';
import { at, isDeno, root, SetupError, say, timed } from './log.mjs';
import { ensureFolder } from './packages.mjs';
import { capture } from './run.mjs';
import { untar } from './untar.mjs';

/** Exit code of "no usable device", as in the command line. */
const NO_DEVICE = 3;
const SWIFTSHADER = at('.scion', 'swiftshader');
const PACKAGE_BIN = at('tools', 'swiftshader', 'node_modules', '@sparticuz', 'chromium', 'bin');

/** Environment for every program that opens a GPU: Mesa's compiled kernels are kept with the checkout, so the second start is warm. */
export function baseEnv() {
  return { ...process.env, MESA_SHADER_CACHE_DIR: process.env.MESA_SHADER_CACHE_DIR ?? at('.cache', 'mesa') };
}

async function probe(runtime, env) {
  const args = isDeno ? ['run', '-A', '--no-config', '--no-lock'] : [];
  const { code, stdout, stderr } = await capture(runtime, [...args, at('tools', 'lib', 'probe.mjs')], { cwd: root, env, timeoutMs: 60_000 });
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  } catch {
    return { ok: false, why: `the probe ended with ${code}: ${stderr.trim().split('\n').slice(-2).join(' ')}` };
  }
}

/** Environment that points the Vulkan loader at the unpacked SwiftShader and adds a loader for machines without one. */
function swiftshaderEnv(env) {
  const icd = join(SWIFTSHADER, 'vk_swiftshader_icd.json');
  const libraries = env.LD_LIBRARY_PATH ? `${env.LD_LIBRARY_PATH}:${SWIFTSHADER}` : SWIFTSHADER;
  return { ...env, VK_ICD_FILENAMES: icd, VK_DRIVER_FILES: icd, LD_LIBRARY_PATH: libraries };
}

/** Remembers between commands which driver answered last. */
const CHOICE = at('.scion', 'driver');

/** The environment for a command in a checkout that was set up before: SwiftShader's if that was what answered, else the machine's own. */
export function savedEnv() {
  const swiftshader = existsSync(CHOICE) && readFileSync(CHOICE, 'utf8').trim() === 'swiftshader' && existsSync(SWIFTSHADER);
  return swiftshader ? swiftshaderEnv(baseEnv()) : baseEnv();
}

/** The npm package that carries SwiftShader and Chromium; only Linux x64 has one. */
export async function ensureBrowserPackage() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return null;
  if (isDeno) {
    if (!existsSync(PACKAGE_BIN)) {
      const cwd = at('tools', 'swiftshader');
      const { code, stderr } = await timed('installing the SwiftShader package', () =>
        capture(process.execPath, ['install', '--no-lock', '--node-modules-dir=auto'], { cwd }),
      );
      if (code !== 0) throw new SetupError(`deno install failed in ${cwd}: ${stderr.trim()}`);
    }
  } else {
    await ensureFolder(at('tools', 'swiftshader'), 'the SwiftShader and Chromium package');
  }
  return PACKAGE_BIN;
}

/** Unpacks a brotli-compressed tar of that package into a folder. */
export function unpack(archive, folder) {
  for (const file of untar(brotliDecompressSync(readFileSync(archive)))) {
    const path = join(folder, file.name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, file.bytes);
    chmodSync(path, file.mode);
  }
}

/** Gives false where there is no such package or it cannot be had: then the advice is what helps, not the reason. */
async function installSwiftshader() {
  const bin = await ensureBrowserPackage().catch((error) => {
    if (!(error instanceof SetupError)) throw error;
    say(`scion: ${error.message}`);
    return null;
  });
  if (bin === null) return false;
  unpack(join(bin, 'swiftshader.tar.br'), SWIFTSHADER);
  return true;
}

/** What the user of this machine can type to get an adapter. */
function advice() {
  const os = distribution();
  if (!isDebianLike(os))
    return 'install a Vulkan driver and loader (for a CPU: Mesa lavapipe), for example: sudo dnf install mesa-vulkan-drivers vulkan-loader';
  return `run: ${lavapipeCommand(os)}`;
}

/**
 * Gives the environment under which an adapter answers, installing a driver if none does.
 * @param runtime the program that will open the device: the pinned Node, or Deno
 * @throws SetupError with code 3 and the command that would help
 */
export async function ensureGpu(runtime) {
  const env = baseEnv();
  mkdirSync(env.MESA_SHADER_CACHE_DIR, { recursive: true });
  const tried = [];
  const answers = async (what, candidate) => {
    const answer = await probe(runtime, candidate);
    if (answer.ok) {
      say(`scion: GPU adapter: ${answer.name}${answer.fallback ? ' (on the CPU)' : ''}${what}`);
      mkdirSync(dirname(CHOICE), { recursive: true });
      writeFileSync(CHOICE, `${candidate === env ? 'machine' : 'swiftshader'}\n`);
    } else tried.push(`${what.trim() || 'as the machine is'}: ${answer.why}`);
    return answer.ok;
  };
  // SCION_DRIVER=swiftshader skips what the machine has; for tests of this very path.
  const forced = process.env.SCION_DRIVER === 'swiftshader';
  if (!forced && (await answers('', env))) return env;
  const unpacked = swiftshaderEnv(env);
  if (existsSync(SWIFTSHADER) && (await answers(' from .scion/swiftshader', unpacked))) return unpacked;
  if (!forced && canApt()) {
    await timed('no GPU adapter answers; installing the Mesa CPU driver by apt', installLavapipe);
    if (await answers(' after installing the driver', env)) return env;
  }
  if (await timed('no GPU adapter answers; unpacking SwiftShader', installSwiftshader)) {
    if (await answers(' from .scion/swiftshader', unpacked)) return unpacked;
  }
  throw new SetupError(`no WebGPU adapter answers${tried.length > 0 ? ` (${tried.join('; ')})` : ''}. What to do: ${advice()}`, NO_DEVICE);
}
