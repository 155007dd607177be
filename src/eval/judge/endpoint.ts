/**
 * One endpoint that answers chats as OpenAI's does (`POST BASE/chat/completions`): its own service, vLLM, llama.cpp, `scion serve`. Asks again when asking again can help (no answer, busy, broken), after growing waits
 * or the one that the server names; gives up at once on what no second try would mend. The key goes into one header and nowhere else: no error, log or
 * result holds it.
 */
import { isScionError, ScionError } from '../../base/errors.ts';
import { shown } from '../../formats/bytes.ts';

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface ChatRequest {
  readonly messages: readonly Message[];
  readonly temperature: number;
  readonly maxTokens: number;
  /** Ask for the log-probabilities of so many candidates at each token, where the server has them. */
  readonly topLogprobs?: number;
}

/** A token of an answer, and what else might have stood there. */
export interface ReplyToken {
  readonly token: string;
  readonly top: readonly { readonly token: string; readonly logprob: number }[];
}

export interface Reply {
  readonly text: string;
  readonly finish: string | null;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly tokens: readonly ReplyToken[] | null;
  /** Requests that this answer took. */
  readonly tries: number;
}

export interface EndpointOptions {
  /** For example `https://api.openai.com/v1`. */
  readonly baseUrl: string;
  readonly model: string;
  /** Sent as a bearer token; none is sent without one. Callers take it from the environment (`keyFrom`). */
  readonly key?: string | null;
  /** A key may go over plain HTTP to a machine that is not this one. */
  readonly plainHttp?: boolean;
  /** Milliseconds until an answer counts as lost; two minutes. */
  readonly timeout?: number;
  /** Requests for one answer, at most; 6. */
  readonly tries?: number;
  /** First wait in milliseconds; it doubles with each try, up to a minute. */
  readonly wait?: number;
  readonly sleep?: (ms: number) => Promise<void>;
  readonly signal?: AbortSignal;
}

/** A request that failed for good. `fatal`: so will all others (wrong key, no such model), so that asking on would be in vain. */
export class EndpointError extends ScionError {
  readonly fatal: boolean;
  readonly status: number | null;
  /** Requests that were made. */
  readonly tries: number;
  constructor(message: string, fatal: boolean, status: number | null, tries: number) {
    super(fatal ? 'usage' : 'io', message, { status, tries });
    this.fatal = fatal;
    this.status = status;
    this.tries = tries;
  }
}

const MAX_BODY = 4 * 2 ** 20;
const LONGEST_WAIT = 60_000;
/** Busy or broken: a later try may do. */
const AGAIN = new Set([408, 409, 425, 429, 500, 502, 503, 504, 529]);
/** Wrong for every request alike. */
const FATAL = new Set([401, 403, 404, 405]);

const isLocal = (host: string) => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(host);

/** The key of an environment: `SCION_JUDGE_KEY`, else `OPENAI_API_KEY`, or a variable that the user names. */
export function keyFrom(env: (name: string) => string | undefined, name?: string): string | null {
  return (name ? env(name) : (env('SCION_JUDGE_KEY') ?? env('OPENAI_API_KEY')))?.trim() || null;
}

/** Milliseconds that a `Retry-After` asks for (seconds, or a date), or null. */
export function retryAfter(header: string | null, now: number): number | null {
  if (header === null) return null;
  const seconds = Number(header);
  const ms = header.trim() !== '' && Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - now;
  return Number.isFinite(ms) && ms >= 0 ? ms : null;
}

/** What may stand in a response; nothing of it is trusted to. */
interface Body {
  readonly choices?: readonly {
    readonly message?: { readonly content?: unknown };
    readonly finish_reason?: unknown;
    readonly logprobs?: { readonly content?: readonly BodyToken[] } | null;
  }[];
  readonly usage?: { readonly prompt_tokens?: unknown; readonly completion_tokens?: unknown };
}

interface BodyToken {
  readonly token?: unknown;
  readonly top_logprobs?: readonly { readonly token?: unknown; readonly logprob?: unknown }[];
}

/** A token of a response with its candidates. */
function readToken({ token, top_logprobs }: BodyToken): ReplyToken {
  const candidates = Array.isArray(top_logprobs) ? (top_logprobs as NonNullable<BodyToken['top_logprobs']>) : [];
  return { token: String(token), top: candidates.flatMap((c) => (typeof c.logprob === 'number' ? [{ token: String(c.token), logprob: c.logprob }] : [])) };
}

const count = (value: unknown) => (typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : 0);

/** An answer out of a response; null where it is none. */
function readReply(text: string, tries: number): Reply | null {
  let body: Body;
  try {
    body = JSON.parse(text) as Body;
  } catch {
    return null;
  }
  const choice = Array.isArray(body?.choices) ? body.choices[0] : undefined;
  if (typeof choice?.message?.content !== 'string') return null;
  const content = choice.logprobs?.content;
  const tokens = Array.isArray(content) ? (content as readonly BodyToken[]).map(readToken) : null;
  return {
    text: choice.message.content,
    finish: typeof choice.finish_reason === 'string' ? choice.finish_reason : null,
    promptTokens: count(body.usage?.prompt_tokens),
    completionTokens: count(body.usage?.completion_tokens),
    tokens,
    tries,
  };
}

/** An endpoint, ready to be asked. */
export class Endpoint {
  readonly model: string;
  readonly url: string;
  readonly #options: EndpointOptions;

  /** @throws ScionError `usage` for an address that is none, or that a key must not be sent to. */
  constructor(options: EndpointOptions) {
    let url: URL;
    try {
      url = new URL(`${options.baseUrl.replace(/\/+$/, '')}/chat/completions`);
    } catch (error) {
      throw new ScionError('usage', `"${shown(options.baseUrl)}" is no address of an endpoint; give one such as http://localhost:8000/v1`, {}, error);
    }
    if (url.protocol !== 'http:' && url.protocol !== 'https:')
      throw new ScionError('usage', `an endpoint is asked over http or https, not ${url.protocol}`, {});
    if (url.username !== '' || url.password !== '')
      throw new ScionError('usage', 'the address of an endpoint holds a user or password; give a key in the environment instead', {});
    if (options.key && url.protocol === 'http:' && !isLocal(url.hostname) && !options.plainHttp)
      throw new ScionError('usage', `a key would go to ${url.host} unencrypted; use https, or unset the key if that server wants none`, {});
    this.url = url.href;
    this.model = options.model;
    this.#options = options;
  }

  /** What a server said, short, safe to print, without the key. */
  #said(text: string): string {
    const { key } = this.#options;
    const clean = key ? text.replaceAll(key, '(key)') : text;
    return shown(clean.length > 300 ? `${clean.slice(0, 300)}…` : clean);
  }

  /**
   * An answer to a chat. @throws EndpointError when all tries failed or none would help; ScionError `interrupted` when the signal of the options fired.
   */
  async ask(request: ChatRequest): Promise<Reply> {
    const { tries = 6, wait = 1000, sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms)), signal } = this.#options;
    let last = '';
    for (let attempt = 1; ; attempt++) {
      if (signal?.aborted) throw new ScionError('interrupted', 'stopped while asking the judge', {});
      const found = await this.#once(request, attempt);
      if (typeof found !== 'string' && !('failed' in found)) return found;
      const { failed, after, status } = typeof found === 'string' ? { failed: found, after: null, status: null } : found;
      last = failed;
      if (attempt >= tries) throw new EndpointError(`${this.url} gave no answer in ${tries} tries; the last: ${last}`, false, status, attempt);
      await sleep(Math.min(LONGEST_WAIT, Math.max(wait * 2 ** (attempt - 1), after ?? 0)));
    }
  }

  /** One request: an answer, or why to ask again. */
  async #once(request: ChatRequest, attempt: number): Promise<Reply | { failed: string; after: number | null; status: number | null }> {
    const { key, timeout = 120_000, signal } = this.#options;
    const limit = AbortSignal.timeout(timeout);
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.url, {
        method: 'POST',
        // A redirect would carry question and key to an address that nobody chose.
        redirect: 'error',
        headers: { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}) },
        body: JSON.stringify({
          model: this.model,
          messages: request.messages,
          temperature: request.temperature,
          max_tokens: request.maxTokens,
          ...(request.topLogprobs ? { logprobs: true, top_logprobs: request.topLogprobs } : {}),
        }),
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      text = await readBody(response);
    } catch (error) {
      if (signal?.aborted) throw new ScionError('interrupted', 'stopped while asking the judge', {});
      const why = limit.aborted
        ? `no answer within ${timeout / 1000} s`
        : isScionError(error)
          ? error.message
          : this.#said(String((error as Error)?.cause ?? error));
      return { failed: why, after: null, status: null };
    }
    const { status } = response;
    if (response.ok) {
      const reply = readReply(text, attempt);
      return reply ?? { failed: `a response that is no chat completion: ${this.#said(text)}`, after: null, status };
    }
    const said = `HTTP ${status}: ${this.#said(text)}`;
    // An empty account answers 429 like a busy server, but no wait fills it.
    if (FATAL.has(status) || /insufficient_quota/.test(text)) throw new EndpointError(`${this.url} refused: ${said}`, true, status, attempt);
    if (!AGAIN.has(status)) throw new EndpointError(`${this.url} refused: ${said}`, false, status, attempt);
    return { failed: said, after: retryAfter(response.headers.get('retry-after'), Date.now()), status };
  }
}

/** The text of a response, with a bound: a server is not trusted with this machine's memory. */
async function readBody(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (!reader) return '';
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > MAX_BODY) {
      await reader.cancel();
      throw new ScionError('io', `a response of more than ${MAX_BODY} bytes`, { bytes });
    }
    text += decoder.decode(value, { stream: true });
  }
}
