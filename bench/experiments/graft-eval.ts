/**
 * `node bench/experiments/graft-eval.ts RUN [--out DIR] [--limit N]`: a graft scored at its three ends by `scion eval`, in one report: the base, what injection
 * made of it, what replay gave back; on the sample's questions in both languages (the option's text after the question) and, where SCION_DATA is, on slices of MMLU and
 * CMMLU. RUN is the folder of `recipes/sample.yaml` (`npm start`). Models of this size see 128 tokens, too few for most of those questions: their scores are chance, and show only that nothing pretends otherwise.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { exportHf } from '../../src/checkpoint/hf.ts';
import { findLatest, openCheckpoint } from '../../src/checkpoint/load.ts';
import { runCommandLine } from '../../src/cli/run.ts';
import { sampleChoiceQuestions } from '../../src/data/sample/choices.ts';
import { host } from '../../src/host/index.ts';
import { parseConfig } from '../../src/nn/config.ts';
import { loadTokenizer, saveTokenizer } from '../../src/text/tokenizer.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: 'string', default: 'graft-eval' }, limit: { type: 'string', default: '200' } },
});
const [run] = positionals;
if (run === undefined) throw new Error('name the folder of a run of recipes/sample.yaml');

/** The sample's questions as a task of a user's own. */
async function sampleTask(folder: string, lang: 'en' | 'zh'): Promise<string> {
  const space = lang === 'en' ? ' ' : '';
  const rows = sampleChoiceQuestions(lang).map(({ id, category, prompt, cue, options, correct }) => ({
    id,
    category,
    question: prompt,
    cue,
    options: options.map((text) => text.slice(space.length)),
    answer: correct,
  }));
  await writeFile(join(folder, `sample-${lang}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const path = join(folder, `sample-${lang}.yaml`);
  await writeFile(
    path,
    `name: sample-${lang}
title: The sample's facts, ${lang}
about: Questions about the facts that the sample teaches, in wordings that it never uses
folder: .
questions:
  - path: sample-${lang}.jsonl
    format: jsonl
row:
  id: id
  subject: category
  fields: { question: question, cue: "cue?" }
  options: options
  answer: { from: answer, as: index }
kind: choice
language: ${lang}
prompt:
  body: "{question}"
  delimiter: "${space}"
  choice: "{text}"
  cue: "{cue}"
methods: [option-likelihood]
metrics:
  option-likelihood: [option_accuracy, option_accuracy_per_byte, option_accuracy_gain]
`,
  );
  return path;
}

const folder = join(flags.out, 'tasks');
await mkdir(folder, { recursive: true });
/** A stage's end is a checkpoint; the model folder it makes is what any program would open. */
async function stageModel(stage: string): Promise<string> {
  const { files } = await host();
  const out = join(flags.out, stage);
  const config = parseConfig(JSON.parse(await readFile(join(run, 'init/config.json'), 'utf8')), 'init/config.json');
  const found = await findLatest(files, join(run, 'stages', stage, 'checkpoints'));
  if (!found) throw new Error(`stage ${stage} of ${run} has no checkpoint`);
  const checkpoint = await openCheckpoint(files, found.path);
  await exportHf(files, out, config, checkpoint.read, { dtype: 'f32' });
  await checkpoint.close();
  await saveTokenizer(files, await loadTokenizer(files, join(run, 'init')), out);
  return out;
}

const models = [join(run, 'base/model'), await stageModel('inject'), await stageModel('replay')];
const own = [await sampleTask(folder, 'en'), await sampleTask(folder, 'zh')];
const common = ['eval', '--model', ...models, '--few-shot', '0', '--limit', flags.limit];
const data = process.env.SCION_DATA;
// One command, one report: tasks of a YAML find their rows beside it, the others below --data.
const code = data
  ? await runCommandLine([...common, '--tasks', ...own, 'mmlu', 'cmmlu', '--data', join(data, 'eval'), '--out', flags.out])
  : await runCommandLine([...common, '--tasks', ...own, '--data', folder, '--out', flags.out]);
process.exit(code);
