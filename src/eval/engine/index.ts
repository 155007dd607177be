/** The engine of evaluation: prompts in, what a model did with them out; prefixes shared, one pass for logits and losses. */
export { ask, type EvaluateOptions, evaluate } from './evaluate.ts';
export { fitEvaluation } from './fit.ts';
export { letterIds } from './letters.ts';
export { joinNeeds, type Needs, type Prepared, type PrepareOptions, prepare, promptHash } from './prepare.ts';
export { type Unit, unitsOf } from './units.ts';
