/**
 * Questions asked of a model where it stands: the sets a recipe names, answered by likelihood. The generator borrows the
 * run's weights, so asking costs its caches and programs alone.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { sampleAnswerCounts, sampleChoiceQuestions } from '../../data/sample/choices.ts';
import { GRAFT_CATEGORIES, sampleGraftDocuments } from '../../data/sample/graft.ts';
import { askChoices, type ChoiceQuestion, commonestAnswer } from '../../eval/choice.ts';
import type { Interval } from '../../eval/interval.ts';
import { readJsonl } from '../../formats/jsonl.ts';
import { GpuDevice } from '../../gpu/device.ts';
import { Generator } from '../../infer/generator.ts';
import type { Session } from '../../tensor/session.ts';
import { loadTokenizer, type Tokenizer } from '../../text/tokenizer.ts';
import type { TrainSetup } from '../../train/programs.ts';
import type { Run } from '../../train/run.ts';
import type { EvaluationHook } from '../../train/trainer.ts';
import type { Step } from '../engine.ts';
import type { ModelAt, RunContext, TokenizerResult } from './context.ts';
import { modelKey } from './model-key.ts';
import { openModel } from './open-model.ts';

/** How a set was answered. */
export interface Answer {
  readonly n: number;
  readonly accuracy: number;
  readonly interval: Interval;
  /** Of guessing. */
  readonly chance: number;
  /** Of always taking the option that is most often right in its category. */
  readonly commonest: number;
}

/** By name of the set. */
export type Answers = Readonly<Record<string, Answer>>;

/** Rows of a scoring pass. */
const ROWS = 8;

async function fileQuestions(context: RunContext, path: string): Promise<ChoiceQuestion[]> {
  const out: ChoiceQuestion[] = [];
  const reader = await context.host.files.open(path);
  try {
    for await (const { value, line } of readJsonl(reader, { name: path })) {
      const { id, category, prompt, options, answer, cue } = (value ?? {}) as Record<string, unknown>;
      const list = Array.isArray(options) && options.every((option) => typeof option === 'string') ? (options as string[]) : null;
      const correct = typeof answer === 'number' ? answer : (list?.indexOf(String(answer)) ?? -1);
      if (typeof prompt !== 'string' || list === null || correct < 0 || correct >= list.length)
        throw new ScionError('input', `${path}:${line}: a question has prompt, options (texts) and answer (one of them, or its index from 0)`, { path, line });
      out.push({
        id: typeof id === 'string' ? id : `${path}:${line}`,
        category: typeof category === 'string' ? category : '',
        prompt,
        options: list,
        correct,
        ...(typeof cue === 'string' ? { cue } : {}),
      });
    }
  } finally {
    await reader.close();
  }
  return out;
}

/** A set, and how often each option is right by category: all that the commonest-answer baseline knows. */
interface QuestionSet {
  readonly name: string;
  readonly questions: readonly ChoiceQuestion[];
  readonly counts: ReadonlyMap<string, ReadonlyMap<string, number>>;
}

type Counts = QuestionSet['counts'];

/** Answers of the generated corpus by language, counted once a process: it is the same for every set, stage and recipe. */
let sampleCounts: { readonly en: Counts; readonly zh: Counts } | null = null;

/** Counted in the training text, as a model could have counted them. */
function countSample(): { readonly en: Counts; readonly zh: Counts } {
  const { train } = sampleGraftDocuments();
  const documents = GRAFT_CATEGORIES.flatMap((category) => train[category]);
  return { en: sampleAnswerCounts(documents, 'en'), zh: sampleAnswerCounts(documents, 'zh') };
}

/** The sets of a recipe. */
export async function questionSets(context: RunContext): Promise<QuestionSet[]> {
  return Promise.all(
    context.recipe.evaluate.questions.map(async (set): Promise<QuestionSet> => {
      if ('sample' in set) {
        sampleCounts ??= countSample();
        return { name: set.name, questions: sampleChoiceQuestions(set.sample), counts: sampleCounts[set.sample] };
      }
      const questions = await fileQuestions(context, joinPath(context.host.cwd, set.path));
      return { name: set.name, questions, counts: answerCounts(questions) };
    }),
  );
}

/** How often each option is right in a set of the user's own: the most that a habit could know. */
function answerCounts(questions: readonly ChoiceQuestion[]): Map<string, Map<string, number>> {
  const counts = new Map<string, Map<string, number>>();
  for (const { category, options, correct } of questions) {
    const own = counts.get(category) ?? new Map<string, number>();
    counts.set(category, own);
    own.set(options[correct], (own.get(options[correct]) ?? 0) + 1);
  }
  return counts;
}

/** Asks every set of the recipe. */
async function askSets(context: RunContext, generator: Generator, tokenizer: Tokenizer): Promise<Answers> {
  const out: Record<string, Answer> = {};
  for (const { name, questions, counts } of await questionSets(context)) {
    const { method } = context.recipe.evaluate;
    const report = await askChoices(generator, tokenizer, questions, [method]);
    const { accuracy, interval } = report.methods[method];
    out[name] = { n: report.n, accuracy, interval, chance: report.chance, commonest: commonestAnswer(questions, counts) };
  }
  return out;
}

/** Asks with the weights of an open run, where the recipe asks behind this stage; also what that took on the device beside the run. */
export async function askAll(
  context: RunContext,
  run: Run,
  tokenizer: Tokenizer,
  stage: string,
): Promise<{ readonly answers: Answers; readonly bytes: number }> {
  const { evaluate, stages } = context.recipe;
  const end = stage === 'base' || stage === stages[stages.length - 1].name;
  if (evaluate.questions.length === 0 || (evaluate.at === 'ends' && !end)) return { answers: {}, bytes: 0 };
  return askWith(context, run.trainer.stepper.session, run.options.setup, tokenizer);
}

/** Asks every set with weights where they are; caches and programs are made for it and freed. */
async function askWith(
  context: RunContext,
  session: Session,
  { model, tokens, precision, lora }: TrainSetup,
  tokenizer: Tokenizer,
): Promise<{ readonly answers: Answers; readonly bytes: number }> {
  const generator = Generator.attach(session, model, { precision, capacity: tokens, score: { batch: ROWS, tokens }, ...(lora && { lora }) });
  try {
    return { answers: await askSets(context, generator, tokenizer), bytes: generator.memory.total };
  } finally {
    generator.destroy();
  }
}

/** What asks on the way through a stage; undefined where the recipe does not. `took` is told what each asking took on the device. */
export function questionsOnTheWay(context: RunContext, setup: TrainSetup, tokenizer: Tokenizer, took: (bytes: number) => void): EvaluationHook | undefined {
  const { every, questions } = context.recipe.evaluate;
  if (every === undefined || questions.length === 0) return undefined;
  return {
    every,
    async ask({ session }) {
      const { answers, bytes } = await askWith(context, session, setup, tokenizer);
      took(bytes);
      return Object.fromEntries(
        Object.entries(answers).map(
          ([
            name,
            {
              accuracy: value,
              interval: [low, high],
              n,
            },
          ]) => [name, { value, low, high, n }],
        ),
      );
    },
  };
}

/** What decides the answers; how often one asks does not. */
export function askedOf(context: RunContext): Omit<RunContext['recipe']['evaluate'], 'every'> {
  const { every: _, ...asked } = context.recipe.evaluate;
  return asked;
}

/** Asks a base that was not trained here, before anything is changed: what the table calls before. */
export function baseQuestionsStep(context: RunContext, model: () => ModelAt, tokenizer: () => TokenizerResult): Step<Answers> {
  const { host, dir, recipe } = context;
  return {
    id: 'base.questions',
    title: 'ask the base',
    owns: [],
    inputs: async () => ({
      evaluate: askedOf(context),
      files: await Promise.all(recipe.evaluate.questions.map((set) => ('path' in set ? modelKey(host, set.path) : set.sample))),
      model: model().key,
    }),
    async run() {
      const at = model();
      const tokens = Math.min(at.config.maxPositions, ...recipe.stages.map(({ length }) => length));
      const words = await loadTokenizer(host.files, joinPath(dir, tokenizer().path));
      const device = await GpuDevice.open(context.device);
      try {
        const source = await openModel(context, at);
        try {
          const generator = await Generator.open(device, at.config, source.read, { precision: 'f32', capacity: tokens, score: { batch: ROWS, tokens } });
          try {
            return await askSets(context, generator, words);
          } finally {
            generator.destroy();
          }
        } finally {
          await source.close();
        }
      } finally {
        device.destroy();
      }
    },
  };
}
