/**
 * What watching a run costs at the command line's defaults: the shares of wall time that validation, logging, the report and
 * checkpoints take, on a small run of the sample corpus. `node bench/watch.ts [--steps 600] [--json FILE]`.
 * Prints one line a part, then the sum; the bound is 5 %.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { sampleSplits } from '../src/data/sample/index.ts';
import { host } from '../src/host/index.ts';
import { makeConfig } from '../src/nn/config.ts';
import { learnBpe } from '../src/text/learn/scratch.ts';
import { tokenizerFromModel } from '../src/text/tokenizer.ts';
import { prepareRunData } from '../src/train/data.ts';
import { affordableBytes } from '../src/train/held-out.ts';
import { RunLogs } from '../src/train/logs.ts';
import { LLAMA_ADAMW } from '../src/train/programs.ts';
import { Run } from '../src/train/run.ts';
import type { StepReport } from '../src/train/trainer.ts';

const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
};
const steps = Number(option('steps') ?? 600);

const { train, validation } = sampleSplits();
const label = (d: { readonly lang?: string; readonly target: string }) => ({ category: d.lang ?? 'text', text: d.target });
const tokenizer = tokenizerFromModel(
  learnBpe(
    train.map((d) => d.target),
    { size: 1024 },
  ),
);
// As `scion train` has it: batch 4, packs of 256 tokens, everything else left to its default. The model is that of `npm start -- --quick`.
const model = makeConfig({ vocabSize: tokenizer.vocabSize, hiddenSize: 64, intermediateSize: 172, numLayers: 2, numHeads: 4, maxPositions: 256 });
const data = prepareRunData(tokenizer, train.map(label), validation.map(label), { tokens: 256, limits: { bytes: affordableBytes(steps * 4 * 256, 2) } });
let last = null as StepReport | null;
const folder = mkdtempSync(join(tmpdir(), 'scion-bench-watch-'));
try {
  const run = await Run.open({
    setup: { model, precision: 'f32', batch: 4, tokens: 256, optimizer: LLAMA_ADAMW, clip: 1, recompute: 'none' },
    schedule: { kind: 'cosine', peak: 3e-3, warmup: 20, steps },
    accumulate: 1,
    data,
    tokenizer,
    seed: 1,
    out: join(folder, 'run'),
    resume: false,
    prompts: ['The capital of France is'],
    firstRow: 512,
    hooks: {
      onStep: (r) => {
        last = r;
      },
    },
    version: 'bench',
  });
  const began = performance.now();
  const result = await run.train();
  const wall = (performance.now() - began) / 1000;
  const device = run.facts.name;
  const { validateEvery } = run.trainer.options;
  await run.close();
  // Logs are written while steps are under way, so their cost is measured apart: as many steps logged again, with nothing else to wait for.
  const files = (await host()).files;
  const logs = await RunLogs.open(files, join(folder, 'logs'), 0);
  const beganLogs = performance.now();
  for (let i = 0; i < steps; i++) if (last) logs.step({ ...last, step: i }, { planned: 1, resident: 1 });
  await logs.close();
  const logging = (performance.now() - beganLogs) / 1000;
  const parts = { validation: result.seconds.validation / wall, saving: result.seconds.saving / wall, logging: logging / wall };
  const share = parts.validation + parts.saving + parts.logging;
  for (const [name, part] of Object.entries(parts)) process.stdout.write(`${name.padEnd(12)} ${(100 * part).toFixed(2)} %\n`);
  process.stdout.write(
    `together     ${(100 * share).toFixed(2)} % of ${wall.toFixed(1)} s: ${steps} steps, validation every ${validateEvery} and at both ends\n`,
  );
  const file = option('json');
  if (file) writeFileSync(file, `${JSON.stringify({ device, steps, validateEvery, wallSeconds: wall, ...parts, share }, null, 1)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
