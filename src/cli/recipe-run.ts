/**
 * What `run`, `graft` and `start` share: a recipe is run with everything shown as it goes, and what it came to is told in lines and in figures.
 */
import { joinPath } from '../base/path.ts';
import { readHfConfig } from '../checkpoint/hf.ts';
import { host } from '../host/index.ts';
import { countParameters } from '../nn/config.ts';
import type { LoadedRecipe } from '../recipe/read.ts';
import { type RecipeResult, runRecipe } from '../recipe/run.ts';
import type { StageResult } from '../recipe/steps/stage.ts';
import { summaryTables, tableLines } from '../recipe/summary.ts';
import type { Context } from './command.ts';
import { bytes, duration, si, sparkline } from './status.ts';
import { statusHooks } from './training.ts';
import { VERSION } from './version.ts';

/** Shows steps as they go: done ones as a line, the one under way in the status line. */
function runProgress({ print, status }: Context): Pick<Parameters<typeof runRecipe>[1], 'onStep' | 'onProgress' | 'stageHooks'> {
  let title = '';
  let skipped = 0;
  return {
    onStep(event) {
      if (event.state === 'skipped') {
        skipped++;
        return;
      }
      if (skipped > 0) print(`${skipped} steps are done already`);
      skipped = 0;
      title = event.title;
      if (event.state === 'begins') status.set(title);
      else print(`${duration(event.seconds).padStart(8)}  ${event.title}`);
    },
    onProgress: (message) => status.set(`${title}: ${message}`),
    stageHooks: (_stage, facts) => {
      const shown = { steps: facts.steps, planned: facts.plannedBytes };
      const hooks = statusHooks(status, shown);
      return {
        ...hooks,
        onStep: (report) => {
          shown.planned = facts.plannedBytes;
          hooks.onStep?.(report);
        },
      };
    },
  };
}

/** Runs a recipe as the command's flags say, with everything shown. */
export async function runLoaded(context: Context, { recipe, file }: LoadedRecipe, out: string): Promise<RecipeResult> {
  const { flags, stop } = context;
  return runRecipe(await host(), {
    recipe,
    file,
    out,
    version: VERSION,
    device: { adapter: flags.string('device') },
    ...(flags.has('workers') ? { workers: flags.number('workers') } : {}),
    fresh: flags.boolean('fresh'),
    stop,
    ...runProgress(context),
  });
}

/** The stages of a run in order, that of its base first if it was trained. */
export const stagesOf = (made: RecipeResult): StageResult[] => [...(made.baseStage ? [made.baseStage] : []), ...made.stages];

/** Answers before the graft and after it, by question set. */
function questionFigures(result: RecipeResult): Record<string, unknown> {
  const before = result.baseStage?.questions ?? result.baseAnswers ?? {};
  const after = result.stages.at(-1)?.questions ?? {};
  return Object.fromEntries(
    Object.entries(after).map(([name, { n, accuracy, interval, chance, commonest }]) => [
      name,
      { before: before[name]?.accuracy ?? null, after: accuracy, interval, n, chance, commonest },
    ]),
  );
}

/** A run in figures, for `--json`. */
export function runFiguresOf(result: RecipeResult, out: string): Record<string, unknown> {
  const stages = stagesOf(result);
  return {
    out,
    cached: result.cached,
    stages: stages.map(({ name, steps, tokens, seconds, valBitsPerByte }) => ({ name, steps, tokens, seconds, valBitsPerByte })),
    questions: questionFigures(result),
    skippedSteps: result.skipped,
    checkpoint: joinPath(out, result.checkpoint),
    model: joinPath(out, result.model),
    report: joinPath(out, 'report.html'),
    seconds: result.seconds,
  };
}

/** Sums over the stages of a run, and the most that any of them took. */
export function totalsOf(made: RecipeResult): Record<'steps' | 'tokens' | 'tokensPerSecond' | 'peakBytesPlanned' | 'peakBytesMeasured', number> {
  const stages = stagesOf(made);
  const sum = (pick: (stage: StageResult) => number): number => stages.reduce((total, stage) => total + pick(stage), 0);
  const seconds = sum((stage) => stage.seconds);
  const tokens = sum((stage) => stage.tokens);
  return {
    steps: sum((stage) => stage.steps),
    tokens,
    tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
    peakBytesPlanned: Math.max(...stages.map((stage) => stage.peakBytesPlanned)),
    peakBytesMeasured: Math.max(...stages.map((stage) => stage.peakBytesMeasured)),
  };
}

/** What a verb adds to the lines of a run. */
export interface RunWords {
  /** Under the speed. */
  readonly lines?: readonly string[];
  /** Behind the last line of a run that did something. */
  readonly next?: string;
}

/** What a run came to, in lines; `run`, `graft` and `start` say the same. */
export async function printRun({ print }: Context, made: RecipeResult, out: string, { lines = [], next }: RunWords = {}): Promise<void> {
  const machine = await host();
  const model = joinPath(out, made.model);
  const config = await readHfConfig(machine.files, model);
  const stages = stagesOf(made);
  const last = stages[stages.length - 1];
  const { tokensPerSecond, peakBytesMeasured, peakBytesPlanned } = totalsOf(made);
  print('');
  print(`device     ${last.device} on ${machine.version}`);
  print(
    `model      ${si(countParameters(config))} parameters: ${config.numLayers} layers of ${config.hiddenSize}, ${config.numHeads} heads, vocabulary ${config.vocabSize}`,
  );
  for (const { name, curve, firstLoss, lastLoss, steps } of stages)
    print(
      `${name.padEnd(10)} ${sparkline(curve.map(([, loss]) => loss))}  loss ${firstLoss?.toFixed(2) ?? '–'} → ${lastLoss?.toFixed(2) ?? '–'} in ${steps} steps`,
    );
  print(`speed      ${si(tokensPerSecond)} tokens/s; memory ${bytes(peakBytesMeasured)} (planned ${bytes(peakBytesPlanned)})`);
  for (const line of lines) print(line);
  for (const table of summaryTables(made)) {
    print('');
    for (const line of tableLines(table)) print(line);
  }
  print('');
  for (const { prompt, text } of last.samples) print(`  ${prompt}\n    →${text.split('\n')[0]}`);
  if (last.samples.length > 0) print('');
  print(`report ${joinPath(out, 'report.html')}`);
  print(made.cached ? `nothing was left to do: ${model}` : `done in ${duration(made.seconds)}${next === undefined ? `: ${model}` : `. Next: ${next}`}`);
}
