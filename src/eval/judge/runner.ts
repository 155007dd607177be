/**
 * Asks a judge many things, a few at a time, and keeps every answer: a line a verdict in a file, synced at once, since answers cost money. A second run asks only for what is missing or failed, as long as the question is the same to the
 * letter. A failure is a line of its own kind: it has no value, so nothing can average it in.
 */
import { ScionError } from '../../base/errors.ts';
import { Sha256 } from '../../base/sha256.ts';
import { JsonlWriter, readJsonl } from '../../formats/jsonl.ts';
import type { HostFiles } from '../../host/types.ts';
import { fillWhole } from '../../host/whole-file.ts';
import { type ChatRequest, type Endpoint, EndpointError, type Reply } from './endpoint.ts';
import type { Parsed } from './parse.ts';

/** One thing to be judged. */
export interface Job<V> {
  /** Unique and stable: what is judged, by what. */
  readonly key: string;
  readonly request: ChatRequest;
  readonly parse: (reply: Reply) => Parsed<V>;
  /** Said to a judge whose answer was malformed. */
  readonly reminder: string;
}

interface Told {
  readonly key: string;
  /** Of model and request: an answer to another question is no answer. */
  readonly asked: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Requests that it took. */
  readonly tries: number;
}

/** What became of a job. */
export type Judged<V> = Told & ({ readonly verdict: V; readonly text: string } | { readonly failed: string; readonly text?: string });

/** What was used. */
export interface Cost {
  /** Requests of this run, and verdicts that an earlier run had paid for. */
  readonly requests: number;
  readonly reused: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** In the currency of the prices; null without prices. */
  readonly price: number | null;
}

/** Price of a million tokens. */
export interface Prices {
  readonly prompt: number;
  readonly completion: number;
}

export interface RunOptions {
  readonly files: HostFiles;
  /** The file of verdicts, JSON Lines. */
  readonly path: string;
  /** Requests at a time; 4. */
  readonly parallel?: number;
  readonly prices?: Prices;
  /** No request is begun once this much was spent, in the currency of the prices; those under way end. */
  readonly maxPrice?: number;
  readonly onProgress?: (done: number, total: number, cost: Cost) => void;
}

export interface JudgeRun<V> {
  /** In the order of the jobs; null for what was not asked, since money ran out. */
  readonly results: readonly (Judged<V> | null)[];
  readonly failed: number;
  readonly cost: Cost;
}

const hash = (text: string) => {
  const sha = new Sha256();
  sha.update(new TextEncoder().encode(text));
  return sha.hex();
};

const isJudged = (value: unknown): value is Judged<never> =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as Told).key === 'string' &&
  typeof (value as Told).asked === 'string' &&
  ('verdict' in value || 'failed' in value);

/** Lines of an earlier run; one that a crash cut off, or that is none, is dropped. */
async function earlier(files: HostFiles, path: string): Promise<Judged<unknown>[]> {
  if (!(await files.stat(path))) return [];
  const reader = await files.open(path);
  try {
    const found: Judged<unknown>[] = [];
    for await (const { value, bad } of readJsonl(reader, { name: path, keepBad: true })) if (!bad && isJudged(value)) found.push(value);
    return found;
  } finally {
    await reader.close();
  }
}

/**
 * Has all jobs judged; what `path` holds of them is not asked again. The file is rewritten first with the verdicts that still count, so that it holds one line a job.
 * @throws EndpointError when asking on would be in vain (what was answered is in the file); ScionError `interrupted`, `io`.
 */
export async function runJudge<V>(endpoint: Endpoint, jobs: readonly Job<V>[], options: RunOptions): Promise<JudgeRun<V>> {
  const { files, path, parallel = 4, prices, maxPrice, onProgress } = options;
  const asked = jobs.map((job) => hash(JSON.stringify([endpoint.model, job.request])));
  const places = new Map(jobs.map((job, i) => [job.key, i]));
  if (places.size < jobs.length) throw new ScionError('input', `${jobs.length} jobs have ${places.size} different keys; every key must be unique`, {});
  const results: (Judged<V> | null)[] = jobs.map(() => null);
  let reused = 0;
  for (const line of await earlier(files, path)) {
    const i = places.get(line.key);
    if (i === undefined || line.asked !== asked[i] || !('verdict' in line) || results[i]) continue;
    results[i] = line as Judged<V>;
    reused++;
  }
  await fillWhole(files, path, async (file) => {
    const writer = new JsonlWriter(file);
    for (const line of results) if (line) await writer.write(line);
    await writer.flush();
  });

  const used = { requests: 0, promptTokens: 0, completionTokens: 0 };
  const cost = (): Cost => ({
    ...used,
    reused,
    price: prices ? (used.promptTokens * prices.prompt + used.completionTokens * prices.completion) / 1e6 : null,
  });
  const file = await files.create(path, { append: true });
  const writer = new JsonlWriter(file);
  let chain = Promise.resolve();
  let done = reused;
  let stopped: unknown = null;
  const waiting = jobs.map((_, i) => i).filter((i) => !results[i]);
  const work = async () => {
    for (let i = waiting.shift(); i !== undefined && stopped === null; i = waiting.shift()) {
      if (maxPrice !== undefined && (cost().price ?? 0) >= maxPrice) return;
      try {
        const result = await judge(endpoint, jobs[i], asked[i], used);
        results[i] = result;
        chain = chain.then(async () => {
          await writer.write(result);
          await writer.sync();
        });
        await chain;
        onProgress?.(++done, jobs.length, cost());
      } catch (error) {
        stopped ??= error;
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(parallel, waiting.length) }, work));
    if (stopped !== null) throw stopped;
  } finally {
    await writer.close();
  }
  return { results, failed: results.filter((r) => r && 'failed' in r).length, cost: cost() };
}

/** One job: asked, and asked once more where the answer was malformed. */
async function judge<V>(
  endpoint: Endpoint,
  job: Job<V>,
  asked: string,
  used: { requests: number; promptTokens: number; completionTokens: number },
): Promise<Judged<V>> {
  const told = { key: job.key, asked, promptTokens: 0, completionTokens: 0, tries: 0 };
  let request = job.request;
  let why = '';
  let text: string | undefined;
  for (let round = 0; round < 2; round++) {
    let reply: Reply;
    try {
      reply = await endpoint.ask(request);
    } catch (error) {
      if (error instanceof EndpointError) {
        used.requests += error.tries;
        told.tries += error.tries;
      }
      if (!(error instanceof EndpointError) || error.fatal) throw error;
      return { ...told, failed: error.message, ...(text === undefined ? {} : { text }) };
    }
    used.requests += reply.tries;
    used.promptTokens += reply.promptTokens;
    used.completionTokens += reply.completionTokens;
    told.promptTokens += reply.promptTokens;
    told.completionTokens += reply.completionTokens;
    told.tries += reply.tries;
    text = reply.text;
    const parsed = job.parse(reply);
    if ('verdict' in parsed) return { ...told, verdict: parsed.verdict, text };
    why = reply.finish === 'length' ? `${parsed.malformed} (the answer was cut off at ${job.request.maxTokens} tokens)` : parsed.malformed;
    request = { ...job.request, messages: [...job.request.messages, { role: 'assistant', content: text }, { role: 'user', content: job.reminder }] };
  }
  return { ...told, failed: `malformed: ${why}`, text };
}
