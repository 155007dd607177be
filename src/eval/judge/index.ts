/**
 * A model as judge, over any endpoint that speaks OpenAI's chat: ratings on ten metrics, MT-Bench, battles. Jobs are made of answers (`scoreJobs`, `conversationJobs`, `battleJobs`), run with retries and resume (`runJudge`), and joined
 * (`reportRatings`, `reportBattles`).
 */
export { type Answered, type AnswerFile, type Asked, byName, joinAnswers, readAnswers } from './answers.ts';
export { type Battle, type BattleReport, battleJobs, type Outcome, reportBattles } from './battle.ts';
export { type ChatRequest, Endpoint, EndpointError, type EndpointOptions, keyFrom, type Message, type Reply } from './endpoint.ts';
export { type Agreement, agreementOf, type HumanReport, type HumanVerdict, humanOrder, humanOutcome, reportHuman, shownHash } from './human.ts';
export { builtinPrompts, loadPrompts, readPrompts } from './prompts/set.ts';
export type { JudgePrompts } from './prompts/types.ts';
export { type Conversation, conversationJobs, type Rating, type RatingReport, reportRatings, type ScoreItem, scoreJobs } from './ratings.ts';
export { type Cost, type Job, type Judged, type JudgeRun, type Prices, type RunOptions, runJudge } from './runner.ts';
