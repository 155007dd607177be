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
import { printRun, runFiguresOf, runLoaded, stagesOf, totalsOf } from '../recipe-run.ts';

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
    const { flags, result, status } = context;
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
    const all = stagesOf(made);
    const [base] = all;
    const last = all[all.length - 1];
    const place = joinPath(out, FIGURES);
    const model = joinPath(out, made.model);
    const config = await readHfConfig(files, model);
    let figures: Record<string, unknown>;
    if (made.cached && (await files.stat(place)) !== null) {
      figures = { ...(JSON.parse(new TextDecoder().decode(await files.read(place))) as Record<string, unknown>), cached: true, skippedSteps: made.skipped };
    } else {
      status.set('training the byte n-gram model to compare with');
      figures = {
        ...runFiguresOf(made, out),
        ...totalsOf(made),
        runtime: machine.version,
        device: last.device,
        firstLoss: base.firstLoss,
        lastLoss: last.lastLoss,
        valBitsPerByteFirst: made.stages[0].valBitsPerByteFirst,
        valBitsPerByteLast: last.valBitsPerByteLast,
        flopsPerSecond: last.flopsPerSecond,
        params: countParameters(config),
        ngramBitsPerByte: own.length > 0 ? null : ngramBaseline(),
        samples: last.samples,
      };
      await files.write(place, new TextEncoder().encode(`${JSON.stringify(figures, null, 1)}\n`));
    }
    status.clear();
    const held = figures.valBitsPerByteLast as number | null;
    await printRun(context, made, out, {
      lines:
        figures.ngramBitsPerByte === null
          ? []
          : [
              `held-out   ${held?.toFixed(3) ?? '–'} bits per byte over all; an order-5 byte n-gram model that saw the same text: ${(figures.ngramBitsPerByte as number).toFixed(3)}`,
            ],
      next: `npx scion generate --model ${model} --prompt "The capital of France is"`,
    });
    result(figures);
  },
};
