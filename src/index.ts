/**
 * The public face of the library: what a program, the page and the Deno entries import. Everything else is
 * internal and may change. The command line lives in the `scion` bin, not here.
 */
export { isScionError, ScionError } from './base/errors.ts';
export { bytes as formatBytes, duration as formatDuration, si as formatSi } from './base/format.ts';
export { Random } from './base/random.ts';
export { importGguf } from './checkpoint/gguf.ts';
export { type GrowOptions, type GrowReport, growModel } from './checkpoint/grow/grow.ts';
export { GROW_METHODS, type GrowMethod } from './checkpoint/grow/methods.ts';
export { type Finding, type VerifyReport, verifyFolder } from './checkpoint/grow/verify.ts';
export { exportHf, importHf } from './checkpoint/hf.ts';
export { importLlama2c } from './checkpoint/llama2c-import.ts';
export { type ModelOnDisk, openModel, tokenizerOf } from './cli/load-model.ts';
export { VERSION } from './cli/version.ts';
export { categorisedTexts } from './data/categories.ts';
export { type CountOptions, countWords } from './data/count-words.ts';
export { readDocuments } from './data/documents.ts';
export { type Batch, PackLoader, sequentialBatches, splitByHash } from './data/loader.ts';
export { ByteNgram } from './data/ngram.ts';
export { type Pack, packDocuments } from './data/pack.ts';
export { BucketLoader, openPacked, packShards } from './data/packed/index.ts';
export { SAMPLE_SHA256, type SampleQuestion, sampleCorpus, sampleDigest, sampleQuestions, sampleSplits } from './data/sample/index.ts';
export { measureHoldout, type TrainedVocab, type TrainVocabOptions, trainVocab } from './data/train-vocab.ts';
export { askChoices, type ChoiceQuestion } from './eval/choice.ts';
export { ask as askPrepared, evaluate, fitEvaluation, joinNeeds, type Prepared, prepare as preparePrompts } from './eval/engine/index.ts';
export {
  agreementOf,
  type Battle,
  battleJobs,
  builtinPrompts,
  conversationJobs,
  Endpoint,
  humanOrder,
  readAnswers,
  reportBattles,
  reportHuman,
  reportRatings,
  runJudge,
  scoreJobs,
} from './eval/judge/index.ts';
export { type Aggregate, aggregate, bootstrap, metrics, pairedTest } from './eval/metrics/index.ts';
export { type AskedTask, evalPage, type ModelResult, pairsOf, resultOf, SampleFile, type SampleLine, scoredLine } from './eval/report/index.ts';
export { builtinNames as builtinTasks, fitShots, type LoadedTask, loadTask, readTask, toSubmission } from './eval/tasks/index.ts';
export type { Method, Metric, Prompted, Question, SampleOutput } from './eval/types.ts';
export { type DeviceOptions, GpuDevice } from './gpu/device.ts';
export { expandKernel, type SourceOf } from './gpu/expand.ts';
export { assumedFacts, type DeviceFacts } from './gpu/facts.ts';
export { guardLoops } from './gpu/loop-guard.ts';
export type { Host, HostFiles } from './host/index.ts';
export { host, runtime } from './host/index.ts';
export { Chat, streamText } from './infer/chat.ts';
export { type GenerateOptions, Generator, type InferOptions, planInference } from './infer/generator.ts';
export { checkSampling, type Distribution, distribution, Sampler, type SamplingOptions } from './infer/sampler.ts';
export { scoreDocuments } from './infer/score.ts';
export { configToJson, countParameters, type LlamaConfig, makeConfig, parseConfig } from './nn/config.ts';
export type { LoraSpec } from './nn/lora.ts';
export type { Trainable } from './nn/trainable.ts';
export { learningRate, type Schedule } from './optim/schedule.ts';
export { checkRecipe } from './recipe/check.ts';
export { type DryRun, type DryRunOptions, dryRun, type PlannedStage } from './recipe/dry-run.ts';
export { type LoadedRecipe, readRecipeFile, readRecipeText } from './recipe/read.ts';
export { type RecipeResult, type RunRecipeOptions, runRecipe } from './recipe/run.ts';
export { type SampleRecipeOptions, sampleRecipe } from './recipe/sample-recipe.ts';
export type { Recipe, RecipeStage } from './recipe/schema.ts';
export { type SummaryTable, summaryTables } from './recipe/summary.ts';
export { differentiate } from './tensor/autodiff.ts';
export { runOnce } from './tensor/eager.ts';
export { Graph, type Value } from './tensor/graph.ts';
export { type DeviceSpeed, measureDevice } from './tensor/measure.ts';
export { type Plan, planGraph } from './tensor/plan.ts';
export { evaluateReference } from './tensor/reference.ts';
export { Session } from './tensor/session.ts';
export { States } from './tensor/states.ts';
export { compileTrial, type Diagnostic, type OutputCheck, type Phase, runTrial, type SizeCheck, type TrialReport, type TrialTime } from './tensor/trial.ts';
export { caseOfTrial, LADDERS, settingOf, TRIALS, trialOf } from './tensor/trials/index.ts';
export type { Setting, Trial } from './tensor/trials/types.ts';
export { addTallies, ratesOf, type TextTally, TokenizerTally, unreachableIds } from './text/compare.ts';
export {
  type ExpandOptions,
  type ExpandReport,
  expandByteLevel,
  expandSentencePiece,
  findUnreachable,
  tokenizerJson,
  writeTokenizerFolder,
} from './text/expand/index.ts';
export { type GrowBase, type Grown, openGrowBase } from './text/learn/grow.ts';
export { learnBpe } from './text/learn/scratch.ts';
export { rankedPieces } from './text/ranked-pieces.ts';
export { adviseSize, type SweepPoint, sweepSizes, sweepVocabulary } from './text/sweep.ts';
export { loadTokenizer, saveTokenizer, type Tokenizer, tokenizerFromModel } from './text/tokenizer.ts';
export { measureText } from './text/utf8.ts';
export { packedRunData, prepareRunData, type RunData, type TextRunData } from './train/data.ts';
export { matmulPeak } from './train/peak.ts';
export { LLAMA_ADAMW, planTraining, type TrainSetup } from './train/programs.ts';
export { buildRunReport, type ReportStage } from './train/report/build.ts';
export { Run, type RunOptions } from './train/run.ts';
export { ngramBaseline, prepareSampleRun, type RunTexts, SAMPLE_SIZES, type SampleSize, sampleProbes, sampleTexts } from './train/sample-run.ts';
export { Stepper } from './train/stepper.ts';
export { type StepReport, Trainer, type TrainHooks, type TrainResult, type ValidationReport } from './train/trainer.ts';
export { vocabularyCosts } from './train/vocab-cost.ts';
