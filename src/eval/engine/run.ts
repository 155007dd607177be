/**
 * Units on a device. Scoring pours all branches of a unit, prefixes before what follows them, into passes of T tokens without a gap: a branch
 * may begin in one pass and end in a later one, since its keys stay in the cache. Generation reads the prompts the same way, then goes
 * on in rounds of one token for each answer that is not finished.
 */
import { invariant, ScionError } from '../../base/errors.ts';
import type { Generator } from '../../infer/generator.ts';
import { type Place, RAGGED, RaggedPass } from '../../infer/ragged.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import type { SampleOutput } from '../types.ts';
import { type Ask, NO_LABEL, pickedAt, sharesRow } from './branches.ts';
import type { BranchResult, Item } from './prepare.ts';
import { Ring } from './ring.ts';
import type { Unit } from './units.ts';

const NO_ASKS: readonly Ask[] = [];

/** What the cache of a model holds: room for shared beginnings, then for what follows them. */
export interface Rooms {
  readonly shared: number;
  readonly own: number;
}

/** Rooms that never make a pass end early, as far as the slots go; at least the longest of each kind. */
export function roomsOf(tokens: number, needs: { readonly shared: number; readonly branch: number }): Rooms {
  return { shared: needs.shared === 0 ? 0 : 2 * needs.shared + tokens, own: tokens + 2 * needs.branch };
}

/** Where an answer of a pass goes. */
type Sink = (nll: number, picks: Float32Array) => void;

/** An ask answered from the row of another at its place: the log-sum-exp is the same, and both logits are there. */
const fromRowOf =
  (first: Ask, ask: Ask, places: ReadonlyMap<number, number>, sink: Sink): Sink =>
  (nll, picks) => {
    const logit = (label: number): number => picks[places.get(label) ?? 0];
    sink(ask.label === NO_LABEL || ask.label === first.label ? nll : nll + logit(first.label) - logit(ask.label), picks);
  };

/** Scores a unit; outputs in the order of its questions. */
export async function scoreUnit(
  model: Generator,
  { groups }: Unit,
  picks: readonly number[],
  needs: { readonly shared: number; readonly branch: number },
): Promise<SampleOutput[]> {
  const { ragged, rooms } = roomsFor(model, needs);
  const pass = new RaggedPass(model, RAGGED.score);
  const prefixes = new Ring(0, rooms.shared);
  const own = new Ring(rooms.shared, rooms.own);
  const width = ragged.score?.picks ?? 0;
  invariant(picks.length <= width, 'the model was opened for as many picks as the task has');
  const picked = new Uint32Array(width);
  picked.set(picks);
  const places = pickedAt(picks);
  let number = 0;
  /** By row, all that is answered from it. */
  let sinks: Sink[][] = [];
  const flush = async (): Promise<void> => {
    if (pass.used === 0) return;
    const waiting = sinks;
    sinks = [];
    number++;
    const found = await pass.score(picked);
    waiting.forEach((answers, row) => {
      const nll = found.nll[row];
      if (!Number.isFinite(nll)) throw new ScionError('numeric', `a loss of the evaluation is ${nll}: the weights are broken`);
      const logits = found.picks.subarray(row * width, row * width + picks.length);
      if (!logits.every(Number.isFinite)) throw new ScionError('numeric', 'a letter’s logit is no finite number: the weights are broken');
      for (const sink of answers) sink(nll, logits);
    });
  };
  const take = async (ring: Ring, length: number): Promise<NonNullable<ReturnType<Ring['take']>>> => {
    const now = ring.take(length, number);
    if (now) return now;
    await flush();
    const then = ring.take(length, number);
    invariant(then, 'an empty room holds the longest run');
    return then;
  };
  /** Reads ids from `position` on; `sink` makes the way of each ask's answer. */
  const read = async (ids: Uint32Array, place: Place, asks: readonly Ask[], sink: (ask: number) => Sink): Promise<void> => {
    let next = 0;
    for (let i = 0; i < ids.length; i++) {
      const rows: { first: Ask; answers: Sink[] }[] = [];
      for (; next < asks.length && asks[next].at === i; next++) {
        const row = rows.at(-1);
        if (row && sharesRow(row.first, asks[next], places)) row.answers.push(fromRowOf(row.first, asks[next], places, sink(next)));
        else rows.push({ first: asks[next], answers: [sink(next)] });
      }
      if (pass.used === pass.tokens || pass.asked + rows.length > pass.rows) await flush();
      pass.add(ids[i], place.length + i, place);
      for (const { first, answers } of rows) {
        sinks.push(answers);
        pass.ask(first.label);
      }
    }
  };
  const outputs: (() => SampleOutput)[] = [];
  for (const { shared, items } of groups) {
    const prefix = shared.length > 0 ? await take(prefixes, shared.length) : null;
    if (prefix) await read(shared, sharedAt(prefix.slot), NO_ASKS, unasked);
    for (const item of items) {
      const results = item.branches.map(({ asks }) => ({ nll: new Float64Array(asks.length), picks: asks.map((): Float32Array | null => null) }));
      for (const [b, { ids, asks, shared: continues }] of item.branches.entries()) {
        const run = await take(own, ids.length);
        const place = continues && prefix ? { shared: prefix.slot, length: shared.length, own: run.slot } : { shared: 0, length: 0, own: run.slot };
        await read(ids, place, asks, (ask) => (nll, logits) => {
          results[b].nll[ask] = nll;
          if (item.letters?.branch === b && item.letters.ask === ask) results[b].picks[ask] = logits.slice();
        });
        run.end(number);
      }
      outputs.push(() => item.output(results satisfies readonly BranchResult[]));
    }
    prefix?.end(number);
  }
  await flush();
  return outputs.map((output) => output());
}

const unasked = (): Sink => {
  throw new ScionError('internal', 'nothing is asked of a shared beginning');
};

function roomsFor(model: Generator, needs: { readonly shared: number; readonly branch: number }) {
  const { ragged } = model.options;
  if (!ragged) throw new ScionError('usage', 'this model was opened without ragged passes; open it with ragged: fitEvaluation(…)');
  const rooms = roomsOf(ragged.tokens, needs);
  if (rooms.shared + rooms.own > ragged.slots)
    throw new ScionError(
      'usage',
      `shared beginnings of ${needs.shared} ids and branches of ${needs.branch} need ${rooms.shared + rooms.own} slots, the model was opened with ${ragged.slots}`,
    );
  return { ragged, rooms };
}

/** An answer being written. */
interface Writing {
  readonly item: Item;
  readonly place: Place;
  /** The next position to be read. */
  position: number;
  /** The last id written, to be read next. */
  last: number;
  left: number;
  text: string;
  finish: SampleOutput['finish'] | null;
  readonly push: (id: number) => string;
  readonly end: () => string;
}

/** Writes the answers of a unit, greedily; outputs in the order of its questions. */
export async function generateUnit(model: Generator, tokenizer: Tokenizer, { groups }: Unit): Promise<SampleOutput[]> {
  const { ragged } = model.options;
  const prefill = new RaggedPass(model, RAGGED.prefill);
  const stops = new Set([...model.config.eosIds, ...tokenizer.stopIds]);
  const all: Writing[] = [];
  let asked: Writing[] = [];
  let filled = 0;
  const flush = async (pass: RaggedPass): Promise<void> => {
    if (pass.used === 0) return;
    const waiting = asked;
    asked = [];
    const best = await pass.choose();
    waiting.forEach((w, row) => {
      accept(w, best[row], stops);
    });
  };
  const read = async (ids: Uint32Array, place: Place): Promise<void> => {
    for (let i = 0; i < ids.length; i++) {
      if (prefill.used === prefill.tokens) await flush(prefill);
      prefill.add(ids[i], place.length + i, place);
    }
  };
  for (const { shared, items } of groups) {
    const at = sharedAt(filled);
    await read(shared, at);
    filled += shared.length;
    for (const item of items) {
      const [{ ids }] = item.branches;
      const place = { shared: at.own, length: shared.length, own: filled };
      const w = writing(item, place, tokenizer, shared);
      filled += ids.length + w.left;
      invariant(ragged && filled <= ragged.slots, 'the slots of a unit fit the cache');
      await read(ids, place);
      prefill.ask();
      asked.push(w);
      all.push(w);
    }
  }
  await flush(prefill);
  const passes = [RAGGED.few, RAGGED.step].flatMap((name) => (model.session.programs[name] ? [new RaggedPass(model, name)] : []));
  for (;;) {
    const going = all.filter((w) => w.finish === null);
    if (going.length === 0) break;
    const pass = passes.find((p) => p.tokens >= going.length);
    invariant(pass, 'a unit holds no more sequences than a step');
    for (const w of going) {
      pass.add(w.last, w.position++, w.place);
      pass.ask();
      asked.push(w);
    }
    await flush(pass);
  }
  return all.map((w) => w.item.output([], { text: w.text, finish: w.finish ?? 'length' }));
}

const sharedAt = (own: number): Place => ({ shared: 0, length: 0, own, isShared: true });

function writing(item: Item, place: Place, tokenizer: Tokenizer, shared: Uint32Array): Writing {
  const [{ ids }] = item.branches;
  return {
    item,
    place,
    position: place.length + ids.length,
    last: -1,
    left: item.generate?.most ?? 0,
    text: '',
    finish: null,
    ...decoderBehind(tokenizer, [...shared, ...ids]),
  };
}

/** Decodes what is written behind a prompt, where a space at its beginning is a space. */
function decoderBehind(tokenizer: Tokenizer, prompt: readonly number[]): Pick<Writing, 'push' | 'end'> {
  const decoder = tokenizer.decoder();
  let said = 0;
  for (const id of prompt) said += decoder.push(id).length;
  // The decoder may hold a prompt's last characters back, since bytes may follow that change them.
  let held = tokenizer.decode(prompt).slice(said);
  let waiting = '';
  const after = (text: string, end: boolean): string => {
    if (held === '') return text;
    waiting += text;
    if (waiting.length < held.length && !end) return '';
    // Bytes that joined the prompt's and made no character stand as U+FFFD each.
    const drop = waiting.startsWith(held) ? held.length : new TextEncoder().encode(held).length;
    held = '';
    return waiting.slice(drop);
  };
  return { push: (id) => after(decoder.push(id), false), end: () => after(decoder.end(), true) };
}

/** Takes the next id of an answer; ends it at an end mark, a stop text or its length. */
function accept(w: Writing, id: number, stops: ReadonlySet<number>): void {
  if (stops.has(id)) {
    w.text += w.end();
    w.finish = cutAtStop(w) ? 'stop' : 'eos';
    return;
  }
  w.text += w.push(id);
  w.last = id;
  if (cutAtStop(w)) w.finish = 'stop';
  else if (--w.left === 0) {
    w.text += w.end();
    w.finish = cutAtStop(w) ? 'stop' : 'length';
  }
}

/** Cuts the text before the first stop text in it. */
function cutAtStop(w: Writing): boolean {
  const places = (w.item.generate?.stop ?? []).map((s) => (s === '' ? -1 : w.text.indexOf(s))).filter((at) => at >= 0);
  if (places.length === 0) return false;
  w.text = w.text.slice(0, Math.min(...places));
  return true;
}
