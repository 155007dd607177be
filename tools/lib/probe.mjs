/**
 * Asks WebGPU for an adapter and a device and prints what answers as one JSON line; exits 3 if nothing
 * does. Run in a process of its own, since drivers are chosen by environment variables that the Vulkan
 * loader reads once, and since a broken driver may take its process down.
 */
import process from 'node:process';

/** Dawn's entry must stay referenced while its adapter is in use. */
let gpu;

async function main() {
  if (typeof globalThis.Deno === 'object') gpu = globalThis.navigator?.gpu;
  else gpu = (await import('webgpu')).create(['enable-dawn-features=allow_unsafe_apis']);
  const adapter = await gpu?.requestAdapter();
  if (!adapter) return { ok: false, why: 'no adapter answers' };
  const { vendor, architecture, device, description } = adapter.info;
  const opened = await adapter.requestDevice();
  opened.destroy();
  // Deno puts a number into `device` and the name into `description`; Dawn has the name in `device`.
  const name = [device, description, architecture, vendor].find((word) => /\D/.test(word ?? ''));
  return { ok: true, vendor, architecture, name, fallback: adapter.info.isFallbackAdapter === true };
}

let answer;
try {
  answer = await main();
} catch (error) {
  answer = { ok: false, why: String(error?.message ?? error) };
}
process.stdout.write(`${JSON.stringify(answer)}\n`);
process.exit(answer.ok ? 0 : 3);
