/**
 * Every metric by name: what it reads, what its value means, how values of many samples become one. Names are ColossalEval's where it has the metric; `NAME@colossaleval` computes what the original computes, quirks included
 * (`compat: colossaleval` of a task), the plain name what the name promises. docs/eval-metrics.md tells them apart, metric by metric.
 */
import { ScionError } from '../../base/errors.ts';
import type { Metric } from '../types.ts';
import { combinedAccuracy, multiChoiceAccuracy, multiChoiceExact, orderedChoiceAccuracy, singleChoiceAccuracy } from './choice-text.ts';
import * as choices from './colossaleval/choices.ts';
import * as twinMath from './colossaleval/math.ts';
import * as twinText from './colossaleval/text.ts';
import { firstTokenAccuracy, optionAccuracy, pplScoreOverChoices } from './letters.ts';
import { lossMetric, type OfRate, type Unit } from './loss.ts';
import { mathEquivalence } from './math.ts';
import { gsmAccuracy } from './numbers.ts';
import { classificationScore, codeSimScore, countScore, exactMatch, f1Score, quasiExactMatch, retrievalScore, rougeScore } from './text.ts';

/** A part of a sample's output. */
export type Reads = 'letterLogits' | 'options' | 'text' | 'loss';

/** What there is to know of a metric beside the function. */
export interface MetricFacts {
  readonly metric: Metric;
  /** Parts of an output that it reads; several sets are alternatives, the first the usual one. */
  readonly reads: readonly (readonly Reads[])[];
  /** `share`: 0 to 1. */
  readonly unit: 'share' | 'perplexity' | 'nats/token' | 'bits/byte';
  readonly better: 'higher' | 'lower';
  /** A metric whose value of many is made of sums: nats over tokens or bytes, and what is made of the quotient. Others are means. */
  readonly rate?: { readonly over: Unit; readonly value: OfRate };
  /** Set for twins: how the original joins its subjects. `counting-all` divides by questions that the metric cannot score, too (12.2, 7). */
  readonly compat?: 'mean' | 'counting-all' | 'rate-by-subject';
}

/** The suffix of the twins. */
export const COMPAT = '@colossaleval';

const LETTERS: MetricFacts['reads'] = [['letterLogits'], ['options']];
const TEXT: MetricFacts['reads'] = [['text']];

const share = (metric: Metric, reads: MetricFacts['reads']): MetricFacts => ({ metric, reads, unit: 'share', better: 'higher' });
const twin = (metric: Metric, reads: MetricFacts['reads'], compat: MetricFacts['compat'] = 'mean'): MetricFacts => ({ ...share(metric, reads), compat });

/** A loss metric and its twin: the same number for a sample, another mean. */
function byLoss(name: string, over: Unit, value: OfRate, twinJoins: MetricFacts['compat']): [string, MetricFacts][] {
  const unit = value === 'perplexity' ? 'perplexity' : value === 'nats' ? 'nats/token' : 'share';
  const facts: MetricFacts = { metric: lossMetric(over, value), reads: [['loss']], unit, better: value === 'probability' ? 'higher' : 'lower' };
  return [
    [name, { ...facts, rate: { over, value } }],
    [name + COMPAT, { ...facts, compat: twinJoins, ...(twinJoins === 'rate-by-subject' ? { rate: { over, value } } : {}) }],
  ];
}

const chinese = twinText.chineseTwins(twinText.hostCutter);

/** All metrics, by name. */
export const metricFacts: Readonly<Record<string, MetricFacts>> = Object.fromEntries([
  ['first_token_accuracy', share(firstTokenAccuracy, LETTERS)],
  [`first_token_accuracy${COMPAT}`, twin(choices.firstTokenAccuracy, LETTERS)],
  ['single_choice_accuracy', share(singleChoiceAccuracy, TEXT)],
  [`single_choice_accuracy${COMPAT}`, twin(choices.singleChoiceAccuracy, TEXT)],
  ['combined_single_choice_accuracy', share(combinedAccuracy, [['letterLogits', 'text']])],
  [`combined_single_choice_accuracy${COMPAT}`, twin(choices.combinedAccuracy, [['letterLogits', 'text']])],
  ['multi_choice_accuracy', share(multiChoiceAccuracy, TEXT)],
  [`multi_choice_accuracy${COMPAT}`, twin(choices.multiChoiceAccuracy, TEXT)],
  ['multi_choice_exact', share(multiChoiceExact, TEXT)],
  ['ordered_choice_accuracy', share(orderedChoiceAccuracy, TEXT)],
  ['ppl_score_over_choices', share(pplScoreOverChoices, LETTERS)],
  [`ppl_score_over_choices${COMPAT}`, twin(choices.pplScoreOverChoices, LETTERS, 'counting-all')],
  ['option_accuracy', share(optionAccuracy('sum'), [['options']])],
  ['option_accuracy_per_token', share(optionAccuracy('token'), [['options']])],
  ['option_accuracy_per_byte', share(optionAccuracy('byte'), [['options']])],
  ['option_accuracy_gain', share(optionAccuracy('gain'), [['options']])],
  ...byLoss('perplexity', 'tokens', 'perplexity', 'mean'),
  ...byLoss('ppl_score', 'tokens', 'probability', 'mean'),
  ...byLoss('per_byte_perplexity', 'bytes', 'perplexity', 'mean'),
  ...byLoss('per_byte_ppl_score', 'bytes', 'probability', 'mean'),
  ...byLoss('loss_over_all_tokens', 'tokens', 'nats', 'rate-by-subject'),
  [
    'bits_per_byte',
    {
      metric: lossMetric('bytes', 'bits'),
      reads: [['loss']],
      unit: 'bits/byte',
      better: 'lower',
      rate: { over: 'bytes', value: 'bits' },
    } satisfies MetricFacts,
  ],
  ['exact_match', share(exactMatch, TEXT)],
  ['quasi_exact_match', share(quasiExactMatch, TEXT)],
  ['math_equivalence', share(mathEquivalence, TEXT)],
  [`math_equivalence${COMPAT}`, twin(twinMath.mathEquivalence, TEXT)],
  ['gsm_accuracy', share(gsmAccuracy, TEXT)],
  [`gsm_accuracy${COMPAT}`, twin(twinMath.gsmAccuracy, TEXT)],
  ['f1_score', share(f1Score(), TEXT)],
  [`f1_score${COMPAT}`, twin(twinText.f1Score, TEXT)],
  ['f1_zh_score', share(f1Score('zh'), TEXT)],
  [`f1_zh_score${COMPAT}`, twin(chinese.f1_zh_score, TEXT)],
  ['rouge_score', share(rougeScore(), TEXT)],
  [`rouge_score${COMPAT}`, twin(twinText.rougeScore, TEXT)],
  ['rouge_zh_score', share(rougeScore('zh'), TEXT)],
  [`rouge_zh_score${COMPAT}`, twin(chinese.rouge_zh_score, TEXT)],
  ['retrieval_score', share(retrievalScore('Paragraph'), TEXT)],
  [`retrieval_score${COMPAT}`, twin(twinText.retrievalScore('Paragraph '), TEXT)],
  ['retrieval_zh_score', share(retrievalScore('段落'), TEXT)],
  [`retrieval_zh_score${COMPAT}`, twin(twinText.retrievalScore('段落'), TEXT)],
  ['count_score', share(countScore, TEXT)],
  [`count_score${COMPAT}`, twin(twinText.countScore, TEXT)],
  ['classification_score', share(classificationScore, TEXT)],
  [`classification_score${COMPAT}`, twin(twinText.classificationScore, TEXT)],
  ['code_sim_score', share(codeSimScore, TEXT)],
  [`code_sim_score${COMPAT}`, twin(twinText.codeSimScore, TEXT)],
] as [string, MetricFacts][]);

/** Metrics alone, by the names that tasks use. */
export const metrics: Readonly<Record<string, Metric>> = Object.fromEntries(Object.entries(metricFacts).map(([name, facts]) => [name, facts.metric]));

/** Facts of a metric. @throws ScionError `input` for a name that is none, with those that come nearest. */
export function factsOf(name: string): MetricFacts {
  const facts = Object.hasOwn(metricFacts, name) ? metricFacts[name] : undefined;
  if (facts) return facts;
  const base = name.split('@')[0];
  const near = Object.keys(metricFacts).filter((known) => known.startsWith(base) || base.startsWith(known.split('_')[0]));
  throw new ScionError(
    'input',
    `no metric "${name}"; ${near.length > 0 ? `near it are ${near.join(', ')}` : `there are ${Object.keys(metricFacts).join(', ')}`}`,
    { name },
  );
}
