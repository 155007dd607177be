/**
 * What sharing prefixes and asking once are worth: 5-shot MMLU (the slice in SCION_DATA, spread over its subjects) by a small model with drawn
 * weights and LLaMA 2's vocabulary, four ways. `two passes` is how the original asks: once for the letters' logits, once for the loss of the
 * right letter. All ways must find the same numbers; each has the passes that its work would be opened with. Encoding is timed apart: it is the
 * same for all. Rounds are interleaved and medians count; `--all` adds two passes without sharing, the slowest by far.
 *
 *   node bench/eval/prefix.ts [--questions N] [--subjects N] [--width D] [--layers N] [--rounds N] [--all] [--out FILE]
 *
 * Processor time of the whole process stands beside the clock's: on a CPU adapter it hardly notices what else the machine does.
 */
import { loadavg } from 'node:os';
import { cpuUsage } from 'node:process';
import { ask, fitEvaluation, joinNeeds, type Prepared, prepare } from '../../src/eval/engine/index.ts';
import type { Method, Prompted, SampleOutput } from '../../src/eval/types.ts';
import { readCsv } from '../../src/formats/csv.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { host, terminal } from '../../src/host/index.ts';
import { Generator } from '../../src/infer/generator.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { initialValues, listParameters } from '../../src/nn/parameters.ts';
import { loadTokenizer } from '../../src/text/tokenizer.ts';

const term = await terminal();
const machine = await host();
const { files } = machine;
const value = (flag: string) => (term.args.includes(flag) ? term.args[term.args.indexOf(flag) + 1] : undefined);
const data = machine.env('SCION_DATA');
if (!data) {
  term.out('skipped: no SCION_DATA\n');
  term.exit(0);
}
const questions = Number(value('--questions') ?? 500);
const LETTERS = ['A', 'B', 'C', 'D'];

async function rows(path: string): Promise<string[][]> {
  const bytes = await files.read(path);
  // The publisher's files have no header.
  async function* whole() {
    yield new TextEncoder().encode('question,A,B,C,D,answer\n');
    yield bytes;
  }
  const out: string[][] = [];
  for await (const { record } of readCsv(whole(), ',', { name: path })) out.push(['question', ...LETTERS, 'answer'].map((c) => record[c]));
  return out;
}

const shown = ([question, a, b, c, d]: string[]) => `${question}\nA. ${a}\nB. ${b}\nC. ${c}\nD. ${d}\nAnswer:`;

async function load(): Promise<Prompted[]> {
  const folder = `${data}/eval/mmlu`;
  const subjects = (await files.list(`${folder}/test`))
    .map(({ name }) => name.replace('_test.csv', ''))
    .sort()
    .slice(0, Number(value('--subjects') ?? 57));
  const out: Prompted[] = [];
  for (const [i, subject] of subjects.entries()) {
    const count = Math.floor(((i + 1) * questions) / subjects.length) - Math.floor((i * questions) / subjects.length);
    const shots = (await rows(`${folder}/dev/${subject}_dev.csv`)).slice(0, 5);
    const head = `The following are multiple choice questions (with answers) about ${subject.replaceAll('_', ' ')}.\n\n`;
    const prefix = head + shots.map((r) => `${shown(r)} ${r[5]}\n\n`).join('');
    for (const [n, row] of (await rows(`${folder}/test/${subject}_test.csv`)).slice(0, count).entries()) {
      out.push({
        question: {
          id: `${subject}/${n}`,
          subject,
          group: null,
          file: '',
          line: 0,
          fields: {},
          options: row.slice(1, 5),
          letters: LETTERS,
          answer: [row[5]],
          turns: null,
        },
        prefix,
        body: shown(row),
        continuations: LETTERS.map((l) => ` ${l}`),
        baseline: '',
        stop: [],
        maxNewTokens: 1,
      });
    }
  }
  return out;
}

const tokenizer = await loadTokenizer(files, `${data}/tokenizers/llama2`);
const hiddenSize = Number(value('--width') ?? 128);
const config = makeConfig({
  vocabSize: tokenizer.vocabSize,
  hiddenSize,
  intermediateSize: Math.round((hiddenSize * 8) / 3 / 8) * 8,
  numLayers: Number(value('--layers') ?? 2),
  numHeads: hiddenSize / 32,
  numKvHeads: Math.max(1, hiddenSize / 64),
  headSize: 32,
  maxPositions: 4096,
});
const device = await GpuDevice.open();
const prompted = await load();
const bare = prompted.map((p) => ({ ...p, continuations: null }));
const encoding = machine.now();
const of = (list: readonly Prompted[], method: Method, share: boolean) =>
  prepare(tokenizer, list, { task: 'mmlu', method, positions: config.maxPositions, bosId: tokenizer.bosId, share });
const once = of(prompted, 'letters', true);
const encodeSeconds = (machine.now() - encoding) / 1000;
const ways: Record<string, readonly Prepared[]> = {
  shared: [once],
  'no sharing': [of(prompted, 'letters', false)],
  'two passes, shared': [of(bare, 'letters', true), of(prompted, 'target-loss', true)],
  ...(term.args.includes('--all') && { 'two passes': [of(bare, 'letters', false), of(prompted, 'target-loss', false)] }),
};
const parameters = new Map(listParameters(config).map((p) => [p.name, p]));
/** Models by what they are opened with: a way is asked as a user would ask it, not through passes sized for another. */
const models = new Map<string, Generator>();
for (const [name, list] of Object.entries(ways)) {
  const ragged = fitEvaluation(config, joinNeeds(list.map((p) => p.needs)), device.facts, { precision: 'f32' });
  models.set(
    name,
    await Generator.open(device, config, async (parameter) => initialValues(parameters.get(parameter) as never, 1).map((x) => 4 * x), {
      precision: 'f32',
      capacity: 0,
      ragged,
    }),
  );
}
const modelOf = (name: string): Generator => models.get(name) as Generator;

interface Found {
  readonly logits: Map<string, number[]>;
  readonly loss: Map<string, number>;
}

async function run(name: string, list: readonly Prepared[]): Promise<{ seconds: number; cpu: number; found: Found }> {
  const found: Found = { logits: new Map(), loss: new Map() };
  const start = machine.now();
  const used = cpuUsage();
  for (const prepared of list) {
    for await (const o of ask(modelOf(name), tokenizer, prepared) as AsyncIterable<SampleOutput>) {
      if (o.letterLogits)
        found.logits.set(
          o.id,
          LETTERS.map((l) => o.letterLogits?.[l] ?? Number.NaN),
        );
      if (o.loss) found.loss.set(o.id, o.loss.nll);
    }
  }
  const { user, system } = cpuUsage(used);
  return { seconds: (machine.now() - start) / 1000, cpu: (user + system) / 1e6, found };
}

// The first run of a program is slower; none of the ways shall pay for it.
for (const name of models.keys()) await run(name, [of(prompted.slice(0, 3), 'letters', name.endsWith('shared'))]);
const load0 = loadavg()[0];
const seconds = new Map<string, number[]>();
const processor = new Map<string, number[]>();
const results = new Map<string, Found>();
const out = value('--out');
const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};
const choice = (l: readonly number[]) => l.indexOf(Math.max(...l));
/** What all rounds so far say. */
function summary() {
  const truth = results.get('no sharing') as Found;
  const rowsOut = Object.entries(ways).map(([name, list]) => {
    const found = results.get(name) as Found;
    let worst = 0;
    let same = 0;
    for (const [id, logits] of truth.logits) {
      const mine = found.logits.get(id) as number[];
      logits.forEach((x, i) => {
        worst = Math.max(worst, Math.abs(x - mine[i]));
      });
      worst = Math.max(worst, Math.abs((truth.loss.get(id) as number) - (found.loss.get(id) as number)));
      if (choice(logits) === choice(mine)) same++;
    }
    return {
      way: name,
      seconds: median(seconds.get(name) as number[]),
      cpuSeconds: median(processor.get(name) as number[]),
      rounds: seconds.get(name)?.length,
      passTokens: modelOf(name).options.ragged?.tokens,
      passRows: modelOf(name).options.ragged?.score?.rows,
      tokens: list.reduce((n, p) => n + p.needs.tokens, 0),
      worstDifference: worst,
      sameChoices: same,
    };
  });
  const { seconds: fast, cpuSeconds: least } = rowsOut[0];
  return {
    device: device.facts.name,
    runtime: machine.version,
    model: `D ${config.hiddenSize}, ${config.numLayers} layers, V ${config.vocabSize}, drawn weights`,
    questions: prompted.length,
    encodeSeconds,
    load: [load0, loadavg()[0]],
    rows: rowsOut.map((r) => ({
      ...r,
      timesShared: r.seconds / fast,
      cpuTimesShared: r.cpuSeconds / least,
      timesSharedWithEncoding: (r.seconds + encodeSeconds) / (fast + encodeSeconds),
    })),
  };
}

for (let round = 0; round < Number(value('--rounds') ?? 1); round++) {
  for (const [name, list] of Object.entries(ways)) {
    const { seconds: s, cpu, found } = await run(name, list);
    seconds.set(name, [...(seconds.get(name) ?? []), s]);
    processor.set(name, [...(processor.get(name) ?? []), cpu]);
    results.set(name, found);
    term.err(`${name}: ${s.toFixed(1)} s, ${cpu.toFixed(1)} s of processor, ${list.reduce((n, p) => n + p.needs.tokens, 0)} tokens\n`);
  }
  // After each round, since a loaded machine may not come to the end of all.
  if (out !== undefined) await files.write(out, new TextEncoder().encode(`${JSON.stringify(summary(), null, 1)}\n`));
}
for (const model of models.values()) model.destroy();
if (out === undefined) term.out(`${JSON.stringify(summary(), null, 1)}\n`);
term.exit(0);
