/**
 * `scion start` (`npm start`): the whole graft in minutes, on text that scion makes itself or on the user's own. A tiny English base, new pieces, their
 * rows, the new text, replay; asked before and after, measured against a byte n-gram model and against the same graft without replay.
 * Run again it only tells what it found; `--fresh` starts anew.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath, normalPath } from '../../base/path.ts';
import { readHfConfig } from '../../checkpoint/hf.ts';
import { ByteNgram } from '../../data/ngram.ts';
import { GRAFT_CATEGORIES, sampleGraftDocuments } from '../../data/sample/graft.ts';
import { host } from '../../host/index.ts';
import { countParameters } from '../../nn/config.ts';
import { readRecipeText } from '../../recipe/read.ts';
import { sampleRecipe } from '../../recipe/sample-recipe.ts';
import type { Command } from '../command.ts';
import { bytes, duration, si, sparkline } from '../status.ts';
import { printTables, runFiguresOf, runLoaded } from './run.ts';

/** Where the figures of a finished start lie, so that the next one can tell them without doing anything. */
const FIGURES = 'start.json';
/** The run of `--quick`. */
const QUICK_STEPS = 60;

/** Bits per byte of an order-5 byte n-gram model on the texts of the sample that the stages learn. */
function ngramBaseline(): number {
  const { train, validation } = sampleGraftDocuments();
  const texts = (side: typeof train): string[] => GRAFT_CATEGORIES.flatMap((category) => side[category].map((d) => d.target));
  return ByteNgram.train(texts(train)).bitsPerByte(texts(validation)).bitsPerByte;
}

export const command: Command = {
  name: 'start',
  summary: 'the whole graft in minutes: on the sample, or on your own files (--data)',
  flags: {
    data: { kind: 'list', value: 'FILE …', summary: 'your own text or JSONL files, folders or globs instead of the sample' },
    out: { kind: 'string', value: 'DIR', summary: 'run folder', default: 'runs/start' },
    steps: { kind: 'integer', summary: 'training steps of all stages together' },
    quick: { kind: 'boolean', summary: 'a smaller model for half a minute', default: false },
    seed: { kind: 'integer', summary: 'of parameters and data order', default: 1 },
    fresh: { kind: 'boolean', summary: 'start anew instead of going on with what is in --out', default: false },
    device: { kind: 'string', value: 'NAME', summary: 'part of an adapter’s name' },
  },
  examples: ['scion start', 'scion start --data my/*.txt --out runs/mine', 'scion start --quick --json'],
  async run(context) {
    const { flags, print, result, status } = context;
    const machine = await host();
    const { files } = machine;
    const out = normalPath(flags.need('out', 'the folder of the run'));
    const quick = flags.boolean('quick');
    const steps = flags.number('steps') ?? (quick ? QUICK_STEPS : undefined);
    if (steps !== undefined && steps < 3) throw new ScionError('usage', `--steps ${steps}: base and two stages need at least one step each`);
    const own = flags.list('data').map((path) => joinPath(machine.cwd, path));
    const text = sampleRecipe({ steps, quick, seed: flags.number('seed'), data: own });
    const { recipe, file } = await readRecipeText(machine, text, machine.cwd, joinPath(out, 'recipe.yaml'));
    const made = await runLoaded(context, { recipe, file }, out);
    const [base, ...rest] = [...(made.baseStage ? [made.baseStage] : []), ...made.stages];
    const all = [base, ...rest];
    const last = all[all.length - 1];
    const place = joinPath(out, FIGURES);
    const model = joinPath(out, made.model);
    const config = await readHfConfig(files, model);
    let figures: Record<string, unknown>;
    if (made.cached && (await files.stat(place)) !== null) {
      figures = { ...(JSON.parse(new TextDecoder().decode(await files.read(place))) as Record<string, unknown>), cached: true, skippedSteps: made.skipped };
    } else {
      status.set('training the byte n-gram model to compare with');
      const sum = (pick: (stage: (typeof all)[number]) => number): number => all.reduce((total, stage) => total + pick(stage), 0);
      const seconds = sum((stage) => stage.seconds);
      figures = {
        ...runFiguresOf(made, out),
        runtime: machine.version,
        device: last.device,
        steps: sum((stage) => stage.steps),
        tokens: sum((stage) => stage.tokens),
        firstLoss: base.firstLoss,
        lastLoss: last.lastLoss,
        valBitsPerByteFirst: made.stages[0].valBitsPerByteFirst,
        valBitsPerByteLast: last.valBitsPerByteLast,
        tokensPerSecond: seconds > 0 ? sum((stage) => stage.tokens) / seconds : 0,
        flopsPerSecond: last.flopsPerSecond,
        params: countParameters(config),
        ngramBitsPerByte: own.length > 0 ? null : ngramBaseline(),
        peakBytesPlanned: Math.max(...all.map((stage) => stage.peakBytesPlanned)),
        peakBytesMeasured: Math.max(...all.map((stage) => stage.peakBytesMeasured)),
        samples: last.samples,
      };
      await files.write(place, new TextEncoder().encode(`${JSON.stringify(figures, null, 1)}\n`));
    }
    status.clear();
    print('');
    print(`device     ${last.device} on ${machine.version}`);
    print(
      `model      ${si(countParameters(config))} parameters: ${config.numLayers} layers of ${config.hiddenSize}, ${config.numHeads} heads, vocabulary ${config.vocabSize}`,
    );
    for (const { name, curve, firstLoss, lastLoss, steps: n } of all)
      print(
        `${name.padEnd(10)} ${sparkline(curve.map(([, loss]) => loss))}  loss ${firstLoss?.toFixed(2) ?? '–'} → ${lastLoss?.toFixed(2) ?? '–'} in ${n} steps`,
      );
    print(
      `speed      ${si(figures.tokensPerSecond as number)} tokens/s; memory ${bytes(figures.peakBytesMeasured as number)} (planned ${bytes(figures.peakBytesPlanned as number)})`,
    );
    if (figures.ngramBitsPerByte !== null)
      print(
        `held-out   ${(figures.valBitsPerByteLast as number | null)?.toFixed(3) ?? '–'} bits per byte over all; an order-5 byte n-gram model that saw the same text: ${(figures.ngramBitsPerByte as number).toFixed(3)}`,
      );
    printTables(context, made);
    for (const { prompt, text: answer } of last.samples) print(`  ${prompt}\n    →${answer.split('\n')[0]}`);
    print('');
    print(`report ${joinPath(out, 'report.html')}`);
    print(
      made.cached
        ? `nothing was left to do: ${model}`
        : `done in ${duration(made.seconds)}. Next: npx scion generate --model ${model} --prompt "The capital of France is"`,
    );
    result(figures);
  },
};
