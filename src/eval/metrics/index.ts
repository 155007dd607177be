/**
 * Metrics of evaluation: functions of a question and what a model gave (`metrics`), what makes one number of many (`aggregate`), and how sure that number is (`bootstrap`, `pairedTest`). Pure: no model, no files, so that
 * samples once written can be scored again under another metric.
 */
export { type Aggregate, aggregate, type Comparison, compare, type Result, type ScoredSample } from './aggregate.ts';
export { type Baselines, baselines, type Calibration, calibration, confidences } from './calibration.ts';
export { type Cutter, chineseTwins } from './colossaleval/text.ts';
export { COMPAT, factsOf, type MetricFacts, metricFacts, metrics, type Reads } from './facts.ts';
export { probabilities } from './letters.ts';
export { type BootstrapOptions, bootstrap, type DrawOptions, type Estimate, holm, type PairedTest, pairedTest } from './statistics.ts';
