/**
 * What someone should look at in a build before training on it, in the order of weight: what is broken, what to decide, what
 * is in order. Each says what was found and what may be done. Thresholds are the project's own figures
 * (fill, mix) or where a look has paid (a fifth of a category lost); they judge nothing by themselves.
 */
import { duration } from '../../base/format.ts';
import { categoryWays, count, isChoice, isReading, lastJudging, mainReason, mixSpreads, reasonRows, share, stepSums, sum } from './facts.ts';
import { percent, thousands } from './numbers.ts';
import type { BuildReport } from './types.ts';

export interface Finding {
  readonly level: 'broken' | 'look' | 'fine';
  readonly text: string;
  /** Where it was found, one a line. */
  readonly items?: readonly string[];
  /** What may be done. */
  readonly advice?: string;
  /** The section of the page that shows it. */
  readonly section: 'funnel' | 'reasons' | 'scores' | 'duplicates' | 'buckets' | 'packing' | 'time';
}

/** A category that loses more than this share of its documents is worth a look. */
const LOSS = 0.2;
/** A bucket's share of a category may differ by this from the whole. */
const MIX = 0.01;
const FILL = 0.98;
const AUC = 0.9;
/** Below this the tokenizer writes much of a text as single bytes. */
const CHARACTERS_A_TOKEN = 1;
/** At most so many items of one kind; the sections have the rest. */
const MOST = 8;

const times = (n: number, one: string, many = `${one}s`): string => `${thousands(n)} ${n === 1 ? one : many}`;

function accounts(report: BuildReport): Finding[] {
  const steps = stepSums(report);
  if (steps.length === 0)
    return [
      { level: 'broken', text: 'The report holds no step.', advice: 'The build did not finish: run it again, it goes on where it stopped.', section: 'funnel' },
    ];
  const read = steps[0].documents;
  const kept = steps[lastJudging(steps)]?.documents ?? 0;
  const dropped = sum(Object.entries(report.drops).map(([reason, n]) => (isChoice(reason) || isReading(reason) ? 0 : n)));
  const held = sum(Object.values(report.heldOut ?? {}).map(({ documents }) => documents));
  const left = read - kept - dropped - held;
  const aside = report.heldOut === undefined ? '' : `${thousands(held)} held out, `;
  const found: Finding[] = [];
  if (read === 0)
    found.push({ level: 'broken', text: 'No document was read.', advice: 'Look at the paths and fields of the data in the recipe.', section: 'funnel' });
  else if (left !== 0) {
    found.push({
      level: 'broken',
      text: `${times(Math.abs(left), 'document')} ${left > 0 ? 'vanished without a reason' : Math.abs(left) === 1 ? 'is counted twice' : 'are counted twice'}: ${thousands(read)} read, ${thousands(kept)} kept before sampling, ${aside}${thousands(dropped)} dropped.`,
      advice: 'This is a fault of the pipeline; please report it with report.json.',
      section: 'funnel',
    });
  } else
    found.push({
      level: 'fine',
      text: `Every document is accounted for: ${thousands(read)} read = ${thousands(kept)} kept + ${report.heldOut === undefined ? '' : `${thousands(held)} held out + `}${thousands(dropped)} dropped.`,
      section: 'funnel',
    });
  const { tokensAfterSampling, tokensPacked } = report.packing;
  if (tokensAfterSampling !== tokensPacked) {
    found.push({
      level: 'broken',
      text: `${times(Math.abs(count(tokensAfterSampling) - count(tokensPacked)), 'token')} ${count(tokensAfterSampling) > count(tokensPacked) ? 'went' : 'came from nowhere'} while packing: ${thousands(tokensAfterSampling)} after sampling, ${thousands(tokensPacked)} packed.`,
      advice: 'This is a fault of the pipeline; please report it with report.json.',
      section: 'packing',
    });
  } else if (count(tokensPacked) > 0)
    found.push({ level: 'fine', text: `No token was lost while packing: ${thousands(tokensPacked)} before and after.`, section: 'packing' });
  return found;
}

/** A category without held-out documents is not watched in training. */
function unwatched(report: BuildReport): Finding[] {
  const { heldOut } = report;
  if (heldOut === undefined) return [];
  const steps = stepSums(report);
  const last = lastJudging(steps);
  const without = categoryWays(report).filter(({ category, documents }) => documents[last] > 0 && !Object.hasOwn(heldOut, category));
  if (without.length === 0) return [];
  return [
    {
      level: 'look',
      text: `${times(without.length, 'category has', 'categories have')} no document in validation:`,
      items: listed(without.map(({ category, documents }) => `${category}, ${times(documents[last], 'document')}`)),
      advice: 'Give validation a larger share or more bytes, or leave it so: training then shows no loss of their own for them.',
      section: 'funnel',
    },
  ];
}

function failures(report: BuildReport): Finding[] {
  const failed = reasonRows(report).filter(({ reason }) => reason.endsWith('.failed'));
  if (failed.length === 0) return [];
  return [
    {
      level: 'look',
      text: 'Documents went because a step failed on them:',
      items: listed(failed.map(({ reason, documents }) => `${reason.slice(0, -'.failed'.length)} on ${times(documents, 'document')}`)),
      advice: 'Their examples carry the error; the rule or the text is at fault.',
      section: 'reasons',
    },
  ];
}

function mostTaking(report: BuildReport): Finding[] {
  const read = stepSums(report)[0]?.documents ?? 0;
  const judged = reasonRows(report).filter(({ reason }) => !isChoice(reason) && !isReading(reason));
  const all = sum(judged.map(({ documents }) => documents));
  const [most] = judged;
  if (!most) return [];
  const [category] = most.categories;
  const mostly = category && category.documents >= most.documents / 2 ? `, mostly ${category.category} (${thousands(category.documents)})` : '';
  return [
    {
      level: 'look',
      text: `${most.reason} takes most: ${times(most.documents, 'document')}, ${percent(share(most.documents, all))} of what is dropped and ${percent(share(most.documents, read))} of what was read${mostly}.`,
      advice: 'Read its examples. If good pages are among them, loosen its threshold or leave it out of the rule set of that category.',
      section: 'reasons',
    },
  ];
}

function losses(report: BuildReport): Finding[] {
  const steps = stepSums(report);
  const last = lastJudging(steps);
  const lost = categoryWays(report)
    .map((way) => ({ way, documents: 1 - share(way.documents[last], way.documents[0]), bytes: 1 - share(way.bytes[last], way.bytes[0]) }))
    .filter(({ way, documents }) => way.documents[0] > 0 && documents > LOSS)
    .sort((a, b) => b.way.bytes[0] * b.bytes - a.way.bytes[0] * a.bytes || b.documents - a.documents);
  if (lost.length === 0) {
    return steps.length > 1 ? [{ level: 'fine', text: `No category loses over ${percent(LOSS)} of its documents before sampling.`, section: 'funnel' }] : [];
  }
  const items = lost.map(({ way, documents, bytes }) => {
    const reason = mainReason(report, way.category);
    const by = reason ? `, most by ${reason.reason} (${thousands(reason.documents)})` : '';
    return way.documents[last] === 0
      ? `${way.category} is gone: none of its ${times(way.documents[0], 'document')} is left${by}`
      : `${way.category} loses ${percent(documents)} of its documents and ${percent(bytes)} of its bytes${by}`;
  });
  return [
    {
      level: 'look',
      text: `${times(lost.length, 'category loses', 'categories lose')} over ${percent(LOSS)} of the documents before sampling:`,
      items: listed(items),
      advice: 'Right for a noisy source; a curated one wants a rule set of its own.',
      section: 'funnel',
    },
  ];
}

/** The first of a list, and how many more. */
const listed = (items: readonly string[]): string[] => (items.length > MOST ? [...items.slice(0, MOST), `and ${items.length - MOST} more`] : [...items]);

function mixes(report: BuildReport): Finding[] {
  if (report.buckets.length < 2) return [];
  const off = mixSpreads(report)
    .filter(({ worst }) => Math.abs(worst) > MIX)
    .sort((a, b) => Math.abs(b.worst) - Math.abs(a.worst));
  if (off.length === 0)
    return [
      {
        level: 'fine',
        text: `All ${report.buckets.length} buckets carry the same mix: every category within 1 percentage point of its share of the whole.`,
        section: 'buckets',
      },
    ];
  return [
    {
      level: 'look',
      text: `The mix of the buckets is off by more than 1 percentage point in ${times(off.length, 'category', 'categories')}:`,
      items: listed(
        off.map(({ category, worst, worstBucket, share: own }) => `bucket ${worstBucket} holds ${percent(own + worst)} ${category}, the whole ${percent(own)}`),
      ),
      advice: 'Few or very long documents cannot be dealt out evenly: take fewer buckets, or a shorter pack length.',
      section: 'buckets',
    },
  ];
}

function packs(report: BuildReport): Finding[] {
  const { fill, T, packs: n } = report.packing;
  if (count(n) === 0) return [];
  const text = `${times(n, 'pack')} of ${thousands(T)} tokens are ${percent(count(fill), 2)} full.`;
  if (fill >= FILL) return [{ level: 'fine', text, section: 'packing' }];
  return [
    {
      level: 'look',
      text: `${text.slice(0, -1)}; ${thousands(n * T * (1 - count(fill)))} places hold padding, which costs compute and teaches nothing.`,
      advice: 'Each bucket ends in packs that are not full: take fewer buckets, a shorter pack length, or more data.',
      section: 'packing',
    },
  ];
}

function compression(report: BuildReport): Finding[] {
  const poor = Object.entries(report.compression.charactersPerToken)
    .filter(([, rate]) => count(rate) > 0 && rate < CHARACTERS_A_TOKEN)
    .sort((a, b) => a[1] - b[1]);
  if (poor.length === 0) return [];
  const names = poor.slice(0, 4).map(([category, rate]) => `${category} ${rate.toFixed(2)}`);
  return [
    {
      level: 'look',
      text: `The tokenizer needs more than one token a character in ${times(poor.length, 'category', 'categories')}: ${names.join(', ')}${poor.length > 4 ? ' …' : ''} characters a token.`,
      advice: 'A vocabulary grown for this text (scion vocab train) makes the same text cost less.',
      section: 'packing',
    },
  ];
}

function scorers(report: BuildReport): Finding[] {
  return Object.entries(report.scorers ?? {}).flatMap(([name, { auc }]) => {
    const weak = Object.entries(auc).filter(([, value]) => count(value) < AUC);
    if (weak.length === 0) return [];
    const finding: Finding = {
      level: 'look',
      text: `The scorer ${name} tells some kinds badly: ${weak.map(([kind, value]) => `${kind} AUC ${count(value).toFixed(3)}`).join(', ')}.`,
      advice: 'Do not cut by this score there, or give it examples of that kind.',
      section: 'scores',
    };
    return [finding];
  });
}

function time(report: BuildReport): Finding[] {
  const all = sum(Object.values(report.seconds));
  const [slowest] = Object.entries(report.seconds).sort((a, b) => b[1] - a[1]);
  if (!slowest || all < 60 || slowest[1] < all / 2) return [];
  return [
    {
      level: 'look',
      text: `${slowest[0]} takes ${duration(slowest[1])} of ${duration(all)}.`,
      advice: 'If builds are repeated, this is the step to make cheaper or to run on a sample first.',
      section: 'time',
    },
  ];
}

/** All that is worth saying, what is broken first. */
export function findings(report: BuildReport): Finding[] {
  const all = [accounts, unwatched, failures, losses, mostTaking, mixes, packs, scorers, compression, time].flatMap((look) => look(report));
  const weight = { broken: 0, look: 1, fine: 2 };
  return all.sort((a, b) => weight[a.level] - weight[b.level]);
}
