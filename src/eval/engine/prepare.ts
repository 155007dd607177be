/**
 * From prompts to work: ids, what is asked of them, and which beginnings are shared. Prompt and continuation are encoded together, as they stand in
 * text, and what is scored are the ids after the longest beginning that the prompt and all its continuations have in common (as `choice.ts` does). Questions of
 * one few-shot prefix form a group that computes the prefix once; where no prefix is worth it, a question's own prompt is what its options share.
 * A prompt longer than the model's context loses its middle (the original's way); whole-text loss is read in windows that overlap instead.
 */
import { ScionError } from '../../base/errors.ts';
import { Sha256 } from '../../base/sha256.ts';
import { scoreWindows } from '../../infer/score.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import { cutMiddle } from '../middle.ts';
import type { Method, Prompted, SampleOutput } from '../types.ts';
import { type AskRef, type Branch, BranchList, commonLength, NO_LABEL, pickedAt, rowsOf } from './branches.ts';
import { letterIds } from './letters.ts';

/** How a task is asked. */
export interface PrepareOptions {
  /** Named in every output. */
  readonly task: string;
  readonly method: Method;
  /** Tokens that the model can see at once. */
  readonly positions: number;
  /** The mark before each text; null for none. By default the tokenizer's. */
  readonly bosId?: number | null;
  /** Compute what prompts share once. On by default; off is slower and gives the same numbers up to rounding. */
  readonly share?: boolean;
}

/** What a pass found: losses of all asks of a branch, and the logits of the picked ids where they were wanted. */
export interface BranchResult {
  readonly nll: Float64Array;
  readonly picks: readonly (Float32Array | null)[];
}

/** One question made ready. */
export interface Item {
  readonly prompted: Prompted;
  /** Ids of branches begin after the group's shared ones, where `shared`. */
  readonly branches: readonly Branch[];
  /** Text to be generated after the one branch. */
  readonly generate: { readonly most: number; readonly stop: readonly string[] } | null;
  /** The ask whose logits of the letters are wanted. */
  readonly letters: AskRef | null;
  readonly output: (results: readonly BranchResult[], written?: Pick<SampleOutput, 'text' | 'finish'>) => SampleOutput;
}

/** Items that begin with the same ids. */
export interface Group {
  readonly shared: Uint32Array;
  readonly items: readonly Item[];
}

/** A task ready to be asked. */
export interface Prepared {
  readonly options: PrepareOptions;
  readonly groups: readonly Group[];
  /** Ids whose logits answer for letters, and for losses of other letters at the same place. */
  readonly picks: readonly number[];
  /** Questions in the order they are answered. */
  readonly questions: readonly Prompted[];
  /** How many prompts lost their middle. */
  readonly cut: number;
  /** Most and sum of what passes must hold. */
  readonly needs: Needs;
}

export interface Needs {
  /** Ids of the longest shared beginning, the longest branch after it, and the longest sequence with what is written behind it. */
  readonly shared: number;
  readonly branch: number;
  readonly sequence: number;
  readonly tokens: number;
  /** Rows of the head, and the most at one place. */
  readonly asks: number;
  readonly place: number;
  readonly picks: number;
  /** Questions that want text, and the most slots that one of them fills behind its shared beginning. */
  readonly generated: number;
  readonly written: number;
}

/** The window of whole texts where a model's own context is longer; memory grows with it. */
const LONGEST_WINDOW = 2048;
/** Below so many ids a shared beginning is read anew: it costs less than a launch. */
const LEAST_SHARED = 8;

const utf8 = new TextEncoder();
const bytesOf = (text: string): number => utf8.encode(text).length;

/** SHA-256 of a prompt's UTF-8, hex. */
export function promptHash({ prefix, body }: Prompted): string {
  const hash = new Sha256();
  hash.update(utf8.encode(prefix + body));
  return hash.hex();
}

/** A question encoded: its asks over whole texts, before what is shared is taken off. */
interface Draft {
  readonly prompted: Prompted;
  readonly own: BranchList;
  readonly other: BranchList;
  readonly whole: boolean;
  /** Ids that all branches of `own` begin with and that no ask stands in. */
  readonly shareable: readonly number[];
  readonly generate: Item['generate'];
  readonly finish: (own: readonly AskRef[], other: readonly AskRef[], ownBranches: number) => Pick<Item, 'letters' | 'output'>;
}

/** Encodes the questions of one task. */
class Encoder {
  cut = 0;
  readonly picks: number[] = [];
  private readonly tokenizer: Tokenizer;
  private readonly options: PrepareOptions;
  private readonly bos: readonly number[];
  private readonly letters: ReadonlyMap<string, readonly number[]>;

  constructor(tokenizer: Tokenizer, options: PrepareOptions, prompted: readonly Prompted[]) {
    this.tokenizer = tokenizer;
    this.options = options;
    const { bosId = tokenizer.bosId, method } = options;
    this.bos = bosId === null ? [] : [bosId];
    const wanted = method === 'letters' || method === 'letter-perplexity' ? prompted.flatMap(({ question }) => question.letters ?? []) : [];
    this.letters = letterIds(tokenizer, wanted);
    this.picks = [...new Set([...this.letters.values()].flat())].sort((a, b) => a - b);
  }

  private ids(text: string): number[] {
    return [...this.bos, ...this.tokenizer.encode(text)];
  }

  prefix(text: string): number[] {
    return this.ids(text);
  }

  private start(prompted: Prompted): Pick<SampleOutput, 'id' | 'task' | 'subject' | 'promptSha256' | 'method'> {
    const { task, method } = this.options;
    const { id, subject } = prompted.question;
    return { id, task, subject, promptSha256: promptHash(prompted), method };
  }

  /** A prompt and what may follow it, cut to the context: whole texts, and how many ids they have in common. */
  private continued(prompt: string, continuations: readonly string[], id: string): { texts: (readonly number[])[]; given: number; alone: readonly number[] } {
    let alone: readonly number[] = this.ids(prompt);
    let texts: (readonly number[])[] = continuations.map((c) => this.ids(prompt + c));
    let given = texts.reduce((n, ids) => Math.min(n, commonLength(alone, ids)), alone.length);
    // The last id of a text is a label alone.
    const longest = texts.reduce((n, ids) => Math.max(n, ids.length - given), 1);
    const most = this.options.positions + 1 - longest;
    if (given > most) {
      if (most < 2)
        throw new ScionError(
          'input',
          `question ${id}: a continuation of ${longest} ids leaves no room for its prompt in a context of ${this.options.positions}`,
          { id },
        );
      this.cut++;
      const head = cutMiddle(alone.slice(0, given), most);
      texts = texts.map((ids) => [...head, ...ids.slice(given)]);
      alone = head;
      given = head.length;
    }
    return { texts, given, alone };
  }

  /** Asks for every id of the continuations; gives the names of each one's asks. */
  private askAll(list: BranchList, { texts, given }: { texts: readonly (readonly number[])[]; given: number }): number[][] {
    return texts.map((ids) => ids.slice(given).map((label, i) => list.ask(ids, given + i - 1, label)));
  }

  /** @throws ScionError `input` for a question that lacks what the method asks for. */
  draft(prompted: Prompted): Draft {
    const { method } = this.options;
    if (method === 'generate') return this.generated(prompted);
    if (method === 'text-loss') return this.wholeText(prompted);
    return this.chosen(prompted);
  }

  /** Options by letter, options by text, and the loss of reference texts. */
  private chosen(prompted: Prompted): Draft {
    const { question, continuations, baseline } = prompted;
    const { method } = this.options;
    const prompt = prompted.prefix + prompted.body;
    const own = new BranchList();
    const other = new BranchList();
    const byLetter = method !== 'option-likelihood' && method !== 'target-loss';
    if (method === 'option-likelihood' && !continuations)
      throw new ScionError('input', `question ${question.id} has no continuations to compare; ask it by another method`, { id: question.id });
    if (byLetter && !question.letters)
      throw new ScionError('input', `question ${question.id} has no option letters; ask it by another method`, { id: question.id });
    const texts = method === 'target-loss' ? targetsOf(prompted) : (continuations ?? []);
    const asked = this.continued(prompt, texts, question.id);
    if (texts.length > 0 && asked.given === 0)
      throw new ScionError('input', `question ${question.id}: nothing stands before what is scored, and this model has no begin mark; give a prompt`, {
        id: question.id,
      });
    const names = this.askAll(own, asked);
    const place = byLetter ? own.ask(asked.alone, asked.alone.length - 1, NO_LABEL) : -1;
    const bare = method === 'option-likelihood' ? this.continued(baseline, texts, question.id) : null;
    const bareNames = bare && bare.given > 0 ? this.askAll(other, bare) : null;
    const last = byLetter ? Math.min(asked.given, asked.alone.length) : asked.given;
    return {
      prompted,
      own,
      other,
      whole: false,
      shareable: asked.alone.slice(0, Math.max(0, last - 1)),
      generate: null,
      finish: (refs, otherRefs, branches) => ({
        letters: place < 0 ? null : refs[place],
        output: (results) => {
          const sum = (list: readonly number[], from: readonly AskRef[], shift: number): number =>
            list.reduce((total, name) => total + results[from[name].branch + shift].nll[from[name].ask], 0);
          const costs = texts.map((text, i) => ({
            nll: sum(names[i], refs, 0),
            tokens: names[i].length,
            bytes: bytesOf(text),
            baselineNll: bareNames ? sum(bareNames[i], otherRefs, branches) : null,
          }));
          const start = this.start(prompted);
          if (method === 'target-loss') {
            const best = costs.reduce<(typeof costs)[number] | null>((a, b) => (a === null || b.nll / b.tokens < a.nll / a.tokens ? b : a), null);
            return best ? { ...start, loss: { nll: best.nll, tokens: best.tokens, bytes: best.bytes } } : start;
          }
          if (!byLetter) return { ...start, options: costs };
          const right = question.answer?.length === 1 && costs.length === question.letters?.length ? question.letters.indexOf(question.answer[0]) : -1;
          const picked = results[refs[place].branch].picks[refs[place].ask];
          return {
            ...start,
            letterLogits: this.letterLogits(question.letters ?? [], picked),
            ...(costs.length > 0 && { options: costs }),
            ...(right >= 0 && { loss: { nll: costs[right].nll, tokens: costs[right].tokens, bytes: costs[right].bytes } }),
          };
        },
      }),
    };
  }

  private letterLogits(letters: readonly string[], picked: Float32Array | null): Record<string, number> {
    const out: Record<string, number> = {};
    for (const letter of letters) {
      const ids = this.letters.get(letter) ?? [];
      if (ids.length > 0 && picked) out[letter] = Math.max(...ids.map((id) => picked[this.picks.indexOf(id)]));
    }
    return out;
  }

  /** Loss of all ids of prompt and answer, in windows that overlap by half. */
  private wholeText(prompted: Prompted): Draft {
    const window = Math.min(this.options.positions, LONGEST_WINDOW);
    const text = prompted.prefix + prompted.body + (prompted.question.answer?.[0] ?? '');
    const ids = this.ids(text);
    const own = new BranchList();
    const other = new BranchList();
    const lists: number[] = [];
    for (const { start, length, firstScored } of scoreWindows(0, ids.length, window, Math.max(1, window >> 1))) {
      const part = ids.slice(start, start + length + 1);
      for (let i = firstScored; i < length; i++) lists.push(other.ask(part, i, part[i + 1]));
    }
    return {
      prompted,
      own,
      other,
      whole: true,
      shareable: [],
      generate: null,
      finish: (_, refs, branches) => ({
        letters: null,
        output: (results) => ({
          ...this.start(prompted),
          loss: {
            nll: lists.reduce((total, name) => total + results[refs[name].branch + branches].nll[refs[name].ask], 0),
            tokens: lists.length,
            bytes: bytesOf(text),
          },
        }),
      }),
    };
  }

  private generated(prompted: Prompted): Draft {
    const { positions } = this.options;
    const { question, maxNewTokens, stop } = prompted;
    if (!(Number.isInteger(maxNewTokens) && maxNewTokens >= 1))
      throw new ScionError('input', `question ${question.id}: maxNewTokens must be an integer from 1, got ${maxNewTokens}`, { id: question.id });
    // The last new token is never read.
    const most = Math.min(maxNewTokens, Math.max(1, positions >> 1));
    const all = this.ids(prompted.prefix + prompted.body);
    if (all.length === 0) throw new ScionError('input', `question ${question.id}: the prompt is empty, and this model has no begin mark`, { id: question.id });
    const ids = cutMiddle(all, positions + 1 - most);
    if (ids !== all) this.cut++;
    const own = new BranchList();
    own.ask(ids, ids.length - 1, NO_LABEL);
    return {
      prompted,
      own,
      other: new BranchList(),
      whole: false,
      shareable: ids.slice(0, -1),
      generate: { most, stop },
      finish: () => ({ letters: null, output: (_, written) => ({ ...this.start(prompted), ...written }) }),
    };
  }
}

/** The texts whose loss is the target's: of a continuation for each letter those of the right ones, else the continuations, else the reference texts. */
function targetsOf({ question, continuations }: Prompted): readonly string[] {
  const { answer, letters } = question;
  if (!answer) return [];
  if (continuations && letters && letters.length > 1 && continuations.length === letters.length)
    return answer.map((a) => continuations[letters.indexOf(a)]).filter((text) => text !== undefined);
  return (continuations ?? answer).filter((text) => text !== '');
}

/** The item of a draft that shares its first `shared` ids with its group. */
function itemOf({ prompted, own, other, whole, generate, finish }: Draft, shared: number): Item {
  const a = own.close(true);
  const b = other.close(false);
  const branches = a.branches.map(({ ids, asks, shared: s }) => ({
    ids: ids.subarray(shared),
    asks: asks.map(({ at, label }) => ({ at: at - shared, label })),
    shared: s,
  }));
  return { prompted, branches: [...(whole ? [] : branches), ...b.branches], generate, ...finish(a.refs, b.refs, whole ? 0 : a.branches.length) };
}

const lengthOf = (item: Item): number => item.branches.reduce((n, b) => n + b.ids.length, 0);

/** Groups questions of one prefix: by what the prefix saves, or else each by its own prompt. */
function groupsOf(drafts: readonly Draft[], prefix: readonly number[], hasPrefix: boolean, share: boolean): Group[] {
  if (!share) return [{ shared: new Uint32Array(0), items: drafts.map((d) => itemOf(d, 0)) }];
  const usable = hasPrefix ? drafts.reduce((n, d) => Math.min(n, commonLength(prefix, d.shareable)), prefix.length) : 0;
  const shared = drafts.length > 1 && usable >= LEAST_SHARED ? usable : 0;
  const together = { shared: Uint32Array.from(prefix.slice(0, shared)), items: drafts.map((d) => itemOf(d, shared)) };
  // A question whose options are texts reads its prompt once for all of them; that may save more than the prefix does.
  const apart = drafts.map((d): Group => {
    const n = d.own.size > 1 && d.shareable.length >= LEAST_SHARED ? d.shareable.length : 0;
    const item = itemOf(d, n);
    return { shared: Uint32Array.from(d.shareable.slice(0, n)), items: [item] };
  });
  const cost = (groups: readonly Group[]): number => groups.reduce((n, g) => n + g.shared.length + g.items.reduce((m, item) => m + lengthOf(item), 0), 0);
  return cost([together]) <= cost(apart) ? [together] : apart;
}

/**
 * Makes a task's questions ready; their order is that of first appearance of their prefix.
 * @throws ScionError `input` naming the question that cannot be asked so.
 */
export function prepare(tokenizer: Tokenizer, prompted: readonly Prompted[], options: PrepareOptions): Prepared {
  const encoder = new Encoder(tokenizer, options, prompted);
  const byPrefix = new Map<string, Prompted[]>();
  for (const p of prompted) {
    const list = byPrefix.get(p.prefix);
    if (list) list.push(p);
    else byPrefix.set(p.prefix, [p]);
  }
  const groups: Group[] = [];
  for (const [prefix, list] of byPrefix) {
    const ids = prefix === '' ? [] : encoder.prefix(prefix);
    groups.push(
      ...groupsOf(
        list.map((p) => encoder.draft(p)),
        ids,
        prefix !== '',
        options.share ?? true,
      ),
    );
  }
  const questions = groups.flatMap((g) => g.items.map(({ prompted: p }) => p));
  return { options, groups, picks: encoder.picks, questions, cut: encoder.cut, needs: needsOf(groups, encoder.picks) };
}

function needsOf(groups: readonly Group[], picks: readonly number[]): Needs {
  const needs = { shared: 0, branch: 1, sequence: 1, tokens: 0, asks: 0, place: 0, picks: picks.length, generated: 0, written: 0 };
  const places = pickedAt(picks);
  for (const { shared, items } of groups) {
    needs.shared = Math.max(needs.shared, shared.length);
    needs.tokens += shared.length;
    for (const { branches, generate } of items) {
      if (generate) needs.generated++;
      for (const b of branches) {
        const more = generate ? generate.most - 1 : 0;
        const length = b.ids.length + more;
        needs.branch = Math.max(needs.branch, length);
        if (generate) needs.written = Math.max(needs.written, length + 1);
        needs.sequence = Math.max(needs.sequence, length + (b.shared ? shared.length : 0));
        needs.tokens += b.ids.length;
        const { rows, place } = rowsOf(b.asks, places);
        needs.asks += rows;
        needs.place = Math.max(needs.place, place);
      }
    }
  }
  return needs;
}

/** Needs of several tasks together. */
export function joinNeeds(all: readonly Needs[]): Needs {
  const most = (of: (n: Needs) => number): number => Math.max(0, ...all.map(of));
  const sum = (of: (n: Needs) => number): number => all.reduce((total, n) => total + of(n), 0);
  return {
    shared: most((n) => n.shared),
    branch: most((n) => n.branch),
    sequence: most((n) => n.sequence),
    tokens: sum((n) => n.tokens),
    asks: sum((n) => n.asks),
    place: most((n) => n.place),
    picks: most((n) => n.picks),
    generated: sum((n) => n.generated),
    written: most((n) => n.written),
  };
}
