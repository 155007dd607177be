/**
 * Questions and models' answers out of files, in the shapes they are found in: samples of `scion eval`, MT-Bench's questions and answers (FastChat), ColossalEval's
 * lists, plain rows. A file is JSON Lines or one JSON list. Rows of the same id belong together; a row that holds its question needs no file of questions.
 */
import { ScionError } from '../../base/errors.ts';
import { decodeUtf8 } from '../../formats/bytes.ts';
import { readJsonl } from '../../formats/jsonl.ts';
import type { HostFiles } from '../../host/types.ts';

/** What was asked, in one turn or several. */
export interface Asked {
  readonly id: string;
  readonly category: string;
  readonly turns: readonly string[];
  /** Good answers by turn, where there are such. */
  readonly references: readonly string[] | null;
}

/** A question with a model's answers, one a turn. */
export interface Answered extends Asked {
  readonly answers: readonly string[];
}

/** Rows of one file, by id, in its order. */
export interface AnswerFile {
  readonly path: string;
  readonly asked: ReadonlyMap<string, Asked>;
  readonly answers: ReadonlyMap<string, readonly string[]>;
}

type Row = Readonly<Record<string, unknown>>;

/** Text, or a list of texts, that is not empty. */
function textsOf(value: unknown): readonly string[] | null {
  const list = typeof value === 'string' ? [value] : Array.isArray(value) && value.every((x) => typeof x === 'string') ? (value as string[]) : [];
  return list.some((text) => text !== '') ? list : null;
}

/** FastChat's answers: the first choice's turns. */
function chosenTurns(row: Row): readonly string[] | null {
  const [first] = Array.isArray(row.choices) ? (row.choices as readonly { turns?: unknown }[]) : [];
  return textsOf(first?.turns);
}

function askedOf(row: Row, id: string): Asked | null {
  const more = typeof row.input === 'string' && row.input !== '' ? `\n\n${row.input}` : '';
  const instruction = typeof row.instruction === 'string' ? row.instruction + more : row.instruction;
  const turns = textsOf(row.turns) ?? textsOf(row.question) ?? textsOf(instruction);
  if (!turns) return null;
  const { category = row.subject } = row;
  return { id, category: typeof category === 'string' ? category : 'all', turns, references: textsOf(row.references ?? row.reference ?? row.target) };
}

const answersOf = (row: Row): readonly string[] | null =>
  chosenTurns(row) ?? textsOf(row.answers) ?? textsOf(row.answer) ?? textsOf(row.text) ?? textsOf(row.output);

async function* rowsOf(files: HostFiles, path: string): AsyncGenerator<{ readonly value: unknown; readonly line: number }> {
  const reader = await files.open(path);
  try {
    const beginning = new TextDecoder().decode(await reader.read(0, 64)).replace(/^\ufeff/, '');
    if (!beginning.trimStart().startsWith('[')) {
      for await (const { value, line } of readJsonl(reader, { name: path })) yield { value, line };
      return;
    }
  } finally {
    await reader.close();
  }
  let list: unknown;
  try {
    list = JSON.parse(decodeUtf8(await files.read(path), path));
  } catch (error) {
    throw new ScionError('input', `${path} begins like a JSON list and is none`, { path }, error);
  }
  for (const [i, value] of (list as unknown[]).entries()) yield { value, line: i + 1 };
}

/** Reads questions, answers or both. @throws ScionError `input` naming file and row for rows without an id, or twice there. */
export async function readAnswers(files: HostFiles, path: string): Promise<AnswerFile> {
  const asked = new Map<string, Asked>();
  const answers = new Map<string, readonly string[]>();
  const seen = new Set<string>();
  for await (const { value, line } of rowsOf(files, path)) {
    const row = (typeof value === 'object' && value !== null ? value : {}) as Row;
    const name = row.id ?? row.question_id;
    if (typeof name !== 'string' && typeof name !== 'number')
      throw new ScionError('input', `${path}:${line}: a row has an id or a question_id`, { path, line });
    const id = String(name);
    if (seen.has(id)) throw new ScionError('input', `${path}:${line}: ${id} is there twice; give one file a model and a task`, { path, line });
    seen.add(id);
    const question = askedOf(row, id);
    if (question) asked.set(id, question);
    const given = answersOf(row);
    if (given) answers.set(id, given);
  }
  return { path, asked, answers };
}

/** `math/test/81` is the row 81 of its publisher. */
const rowName = (id: string): string => id.slice(id.lastIndexOf('/') + 1);

/** By id, or by the last part of it: publishers' files know no more. */
export function byName<T>(map: ReadonlyMap<string, T>): (id: string) => T | undefined {
  const short = new Map<string, T | null>();
  for (const [id, value] of map) short.set(rowName(id), short.has(rowName(id)) ? null : value);
  return (id) => map.get(id) ?? short.get(rowName(id)) ?? undefined;
}

/**
 * Answers with what was asked. `missing` lists questions without an answer: they are not judged, and say nothing of the model's answers.
 * @throws ScionError `input` where no question is answered.
 */
export function joinAnswers(
  questions: ReadonlyMap<string, Asked>,
  file: AnswerFile,
): { readonly answered: readonly Answered[]; readonly missing: readonly string[] } {
  const find = byName(file.answers);
  const missing: string[] = [];
  const answered = [...questions.values()].flatMap((question): Answered[] => {
    const answers = find(question.id);
    if (answers) return [{ ...question, answers }];
    missing.push(question.id);
    return [];
  });
  if (answered.length === 0)
    throw new ScionError(
      'input',
      questions.size === 0
        ? `${file.path}: rows without a question; name the questions with --questions`
        : `${file.path}: no answer to any of ${questions.size} questions (the first is ${[...questions.keys()][0]})`,
      { path: file.path },
    );
  return { answered, missing };
}
