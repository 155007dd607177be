/**
 * The engine on real questions, for `check.py` to hold against transformers: `node write.ts FOLDER [--questions N]`. 200 questions each of MMLU, CMMLU, AGIEval
 * (letters) and GSM8K (the loss of the answers), with the tasks' own examples, by a small model with drawn weights and LLaMA 2's vocabulary. Needs
 * SCION_DATA; without it nothing is written to be checked. The files hold texts of that data and stay where they are made.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportHf } from '../../../src/checkpoint/hf.ts';
import { ask, fitEvaluation, joinNeeds, prepare } from '../../../src/eval/engine/index.ts';
import { fitShots, loadTask } from '../../../src/eval/tasks/index.ts';
import type { Prompted } from '../../../src/eval/types.ts';
import { GpuDevice } from '../../../src/gpu/device.ts';
import { posixFiles } from '../../../src/host/posix.ts';
import { Generator } from '../../../src/infer/generator.ts';
import { makeConfig } from '../../../src/nn/config.ts';
import { initialValues, listParameters } from '../../../src/nn/parameters.ts';
import { loadTokenizer } from '../../../src/text/tokenizer.ts';

const out = process.argv[2];
const data = process.env.SCION_DATA;
const limit = Number(process.argv[process.argv.indexOf('--questions') + 1] || 200) || 200;
const TASKS = [
  { name: 'mmlu', method: 'letters' },
  { name: 'cmmlu', method: 'letters' },
  { name: 'agieval', method: 'letters' },
  { name: 'gsm8k', method: 'target-loss' },
] as const;

const cases: unknown[] = [];
if (data) {
  const tokenizer = await loadTokenizer(posixFiles, join(data, 'tokenizers/llama2'));
  const config = makeConfig({
    vocabSize: tokenizer.vocabSize,
    hiddenSize: 64,
    intermediateSize: 172,
    numLayers: 2,
    numHeads: 4,
    numKvHeads: 2,
    headSize: 16,
    maxPositions: 2048,
  });
  const parameters = new Map(listParameters(config).map((p) => [p.name, p]));
  // Wider than a fresh model's, so that attention and logits have something to say.
  const values = async (name: string): Promise<Float32Array> =>
    initialValues(parameters.get(name) as never, 7).map((x, _, all) => (all.length > config.hiddenSize ? 5 * x : x));
  await exportHf(posixFiles, join(out, 'model'), config, values, { dtype: 'f32' });
  const device = await GpuDevice.open();
  const count = (text: string): number => tokenizer.encode(text).length + 1;
  const prepared = [];
  for (const { name, method } of TASKS) {
    const { questions } = await loadTask(posixFiles, name, { dataRoot: join(data, 'eval'), limit, seed: 1, method });
    const asked: readonly Prompted[] = fitShots(
      questions.filter(({ continuations }) => continuations !== null && continuations.length > 0),
      count,
      config.maxPositions,
      false,
    ).prompts;
    prepared.push(prepare(tokenizer, asked, { task: name, method, positions: config.maxPositions, bosId: tokenizer.bosId }));
  }
  const ragged = fitEvaluation(config, joinNeeds(prepared.map((p) => p.needs)), device.facts, { precision: 'f32' });
  const model = await Generator.open(device, config, values, { precision: 'f32', capacity: 0, ragged });
  for (const p of prepared) {
    const byId = new Map(p.questions.map((q) => [q.question.id, q]));
    for await (const output of ask(model, tokenizer, p)) {
      const { prefix, body, continuations } = byId.get(output.id) as Prompted;
      const bos = tokenizer.bosId === null ? [] : [tokenizer.bosId];
      const encode = (text: string): number[] => [...bos, ...tokenizer.encode(text)];
      cases.push({
        task: output.task,
        id: output.id,
        prompt: encode(prefix + body),
        continued: continuations?.map((c) => encode(prefix + body + c)),
        nll: output.options?.map((o) => o.nll) ?? [output.loss?.nll],
        positions: config.maxPositions,
      });
    }
    process.stderr.write(`${p.options.task}: ${p.questions.length} questions, ${p.cut} cut, ${p.needs.tokens} ids read\n`);
  }
  model.destroy();
  device.destroy();
}
await writeFile(join(out, 'cases.json'), JSON.stringify(cases));
