/** Results of evaluations: samples on disk, figures of tasks, and the page that compares models. */
export { evalPage, type PageOptions } from './page.ts';
export { type Expected, SampleFile, type SampleLine } from './samples.ts';
export { type AskedTask, type ModelResult, metricsOf, type PairResult, pairsOf, resultOf, scoredLine, type TaskResult } from './score.ts';
