/**
 * `scion judge --human`: a person rates two models side by side, blind. Each verdict is kept at once, so that the command may be left at any
 * question and goes on there; the same seed gives the same order and the same places. Model text is shown with what a terminal would obey written out.
 */
import { ScionError } from '../../base/errors.ts';
import { visible } from '../../base/markup.ts';
import { joinPath } from '../../base/path.ts';
import { agreementOf, type Battle, type HumanVerdict, humanOrder, type Outcome, reportHuman, shownHash } from '../../eval/judge/index.ts';
import { readJsonObject } from '../../formats/json.ts';
import { JsonlWriter, readJsonl } from '../../formats/jsonl.ts';
import type { Host } from '../../host/types.ts';
import { fillWhole } from '../../host/whole-file.ts';
import type { Context } from '../command.ts';
import { lineOrStop } from '../lines.ts';

const WORDS: Readonly<Record<string, HumanVerdict['said']>> = { a: 'a', b: 'b', t: 'tie', tie: 'tie', s: 'skip', skip: 'skip' };

const isVerdict = (value: unknown): value is HumanVerdict =>
  typeof value === 'object' && value !== null && typeof (value as HumanVerdict).id === 'string' && typeof (value as HumanVerdict).shown === 'string';

async function earlier({ files }: Host, path: string): Promise<HumanVerdict[]> {
  if (!(await files.stat(path))) return [];
  const reader = await files.open(path);
  try {
    const found: HumanVerdict[] = [];
    // A line that a crash cut off is asked again.
    for await (const { value, bad } of readJsonl(reader, { name: path, keepBad: true })) if (!bad && isVerdict(value)) found.push(value);
    return found;
  } finally {
    await reader.close();
  }
}

/** One battle as text: the task, then for each turn both answers. */
function shownBattle({ turns, first, second }: Battle, a: HumanVerdict['a']): string {
  const [left, right] = a === 'first' ? [first, second] : [second, first];
  return turns.map((turn, i) => `--- asked\n${visible(turn)}\n--- A\n${visible(left[i])}\n--- B\n${visible(right[i])}\n`).join('\n');
}

/** Outcomes of a judge model on the same battles. */
async function outcomesOf({ files }: Host, path: string): Promise<Readonly<Record<string, Outcome>>> {
  const found = await readJsonObject(files, path);
  const { outcomes } = found ?? {};
  if (typeof outcomes !== 'object' || outcomes === null)
    throw new ScionError('input', `${path} is no results.json of battles; scion judge --mode battle writes one`, { path });
  return outcomes as Record<string, Outcome>;
}

/** Asks what is not answered yet, until the end or `q`; gives the report of all that was said. */
export async function judgeByHand(context: Context, machine: Host, battles: readonly Battle[], out: string): Promise<Record<string, unknown>> {
  const { flags, terminal, status, stop, print } = context;
  const against = flags.string('against');
  // Read first: nobody rates a hundred answers to learn that a file is not there.
  const judge = against === undefined ? null : await outcomesOf(machine, against);
  const path = joinPath(out, 'human.jsonl');
  const said = await earlier(machine, path);
  const known = new Map(said.map((v) => [v.id, v.shown]));
  const write = (text: string): void => (flags.boolean('json') ? terminal.err(text) : terminal.out(text));
  const order = humanOrder(battles, flags.number('seed') ?? 0);
  const waiting = order.filter(({ battle }) => known.get(battle.id) !== shownHash(battle));
  status.note(`${waiting.length} of ${battles.length} to judge: a or b for the better answer, t for a tie, s to skip, q to end (the same command goes on)`);
  // Rewritten first, so that a line that a crash cut off is gone.
  await fillWhole(machine.files, path, async (whole) => {
    const kept = new JsonlWriter(whole);
    for (const verdict of said) await kept.write(verdict);
    await kept.flush();
  });
  const file = await machine.files.create(path, { append: true });
  const writer = new JsonlWriter(file);
  try {
    const lines = terminal.lines()[Symbol.asyncIterator]();
    asking: for (const [i, { battle, a }] of waiting.entries()) {
      write(`\n${i + 1}/${waiting.length}, ${visible(battle.category)}\n${shownBattle(battle, a)}`);
      for (;;) {
        if (terminal.isTerminal) terminal.err('a, b, t, s or q> ');
        const next = await lineOrStop(lines.next(), stop, machine.sleep);
        if (next === null || next.done === true) break asking;
        const word = next.value.trim().toLowerCase();
        if (word === 'q' || word === 'quit') break asking;
        if (!Object.hasOwn(WORDS, word)) {
          status.note(`"${visible(word)}" is none of a, b, t, s, q`);
          continue;
        }
        const verdict: HumanVerdict = { id: battle.id, a, said: WORDS[word], shown: shownHash(battle) };
        said.push(verdict);
        await writer.write(verdict);
        await writer.sync();
        break;
      }
    }
  } finally {
    await writer.close();
  }
  if (stop.requested) throw new ScionError('interrupted', `stopped; ${path} holds what was judged, the same command goes on`);
  const report = reportHuman(battles, said);
  const rate = ({ winRate, interval }: { winRate: number | null; interval: readonly [number, number] | null }): string =>
    winRate === null ? 'nothing judged' : `${winRate.toFixed(3)} (${interval?.map((x) => x.toFixed(3)).join(' to ')})`;
  print(`first wins ${rate(report)}: ${report.win} won, ${report.loss} lost, ${report.tie} ties, ${report.skipped} skipped, ${report.left} left`);
  for (const [category, summary] of Object.entries(report.byCategory)) print(`  ${visible(category)}: ${rate(summary)}, n ${summary.n}`);
  const agreement = judge && report.n > 0 ? agreementOf(report.outcomes, judge) : null;
  if (agreement)
    print(
      `agreement  ${agreement.share.toFixed(3)} (${agreement.interval.map((x) => x.toFixed(3)).join(' to ')}) with the judge model in ${agreement.n} battles${agreement.kappa === null ? '' : `, kappa ${agreement.kappa.toFixed(3)}`}`,
    );
  return { ...report, agreement };
}
