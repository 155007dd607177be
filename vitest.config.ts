/**
 * Vitest for every test file. Processes, not threads (Dawn and worker threads of a test runner have
 * crashed together), and two at most: a CPU Vulkan driver takes all cores for each. No retries: a test
 * that fails sometimes is a failing test.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

const data = process.env.SCION_DATA ?? (existsSync('../shared/data') ? resolve('../shared/data') : undefined);

export default defineConfig({
  test: {
    include: ['{src,test,web,deno,bench,tools,kernels}/**/*.test.{ts,mjs}'],
    exclude: ['**/node_modules/**', 'bench/peers/**'],
    pool: 'forks',
    maxWorkers: 2,
    execArgv: ['--expose-gc'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    retry: 0,
    env: {
      MESA_SHADER_CACHE_DIR: process.env.MESA_SHADER_CACHE_DIR ?? resolve('.cache/mesa'),
      ...(data ? { SCION_DATA: data } : {}),
    },
  },
});
