#!/usr/bin/env node
/**
 * The `scion` command. In a checkout it runs the TypeScript sources with the pinned Node (installing it
 * at the first use); in the installed package it runs the built JavaScript in this very process.
 */
import { existsSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));

if (existsSync(source)) {
  const { runMain } = await import('../tools/lib/log.mjs');
  const { ensureNode, ensurePackages, nodeFlags } = await import('../tools/lib/packages.mjs');
  const { savedEnv } = await import('../tools/lib/gpu.mjs');
  const { passThrough } = await import('../tools/lib/run.mjs');
  await runMain(async () => {
    await ensurePackages({ dev: false });
    const node = await ensureNode();
    return passThrough(node, [...nodeFlags, source, ...process.argv.slice(2)], { env: savedEnv() });
  });
} else {
  await import('../dist/src/cli/main.js');
}
