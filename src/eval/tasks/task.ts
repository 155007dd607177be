/**
 * A task from its file: a built-in one by name, or any YAML by path. Fields are checked against the schema, templates against the
 * fields they name, and what differs by subject and by protocol is laid over the rest, so that nobody else has to know of layers.
 */
import { ScionError } from '../../base/errors.ts';
import { dirName, joinPath } from '../../base/path.ts';
import { decodeUtf8 } from '../../formats/bytes.ts';
import { complain, type FieldIssue, type FieldPath, parseYamlText, type YamlFile } from '../../formats/yaml-file.ts';
import { host as currentHost } from '../../host/index.ts';
import type { HostFiles } from '../../host/types.ts';
import type { Language, Method } from '../types.ts';
import { builtinTasks } from './builtin.ts';
import { type Compat, type PartFields, type PromptTexts, partDefaults, promptDefaults, type TaskSpec, taskSchema } from './schema.ts';
import { checkTemplate } from './template.ts';

const HINT = 'See recipes/tasks/README.md for the fields of a task';
const MAX_BYTES = 2 ** 20;

/** All that holds for the questions of one subject. */
export interface TaskPart extends Omit<PartFields, 'prompt' | 'metrics' | 'classes' | 'shotSubject' | 'answerAs' | 'language' | 'methods'> {
  readonly language: Language;
  readonly methods: readonly Method[];
  /** Letters of options; null: A and on, as many as there are. */
  readonly classes: readonly string[] | null;
  readonly shotSubject: string | null;
  readonly answerAs: PartFields['answerAs'] | null;
  readonly prompt: PromptTexts;
  /** Names of metrics by method. */
  readonly metrics: Readonly<Partial<Record<Method, readonly string[]>>>;
}

/** A task that was read. */
export interface EvalTask {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** Where it was read: a path, or `built in`. */
  readonly path: string;
  /** The folder of its file, or null for a built-in one. */
  readonly base: string | null;
  readonly compat: Compat | null;
  /** The language of most of it; `partOf` has that of a subject. */
  readonly language: Language;
  /** Every method that some subject has, in the order of the file. */
  readonly methods: readonly Method[];
  /** The subset that was asked for in its name. */
  readonly subset: string | null;
  readonly spec: TaskSpec;
}

/** Names of the tasks that come with scion. */
export function builtinNames(): string[] {
  return Object.keys(builtinTasks);
}

const escaped = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, '\\$&');

/** Whether a name fits a pattern in which `*` stands for any characters. */
export function fits(pattern: string, text: string): boolean {
  return new RegExp(`^${pattern.split('*').map(escaped).join('.*')}$`, 's').test(text);
}

type Layer = Partial<PartFields>;
type Part = Layer & { readonly subjects: readonly string[] };

/** The layers that hold for a subject, the lowest first. */
function layersOf(spec: TaskSpec, compat: Compat | null, subject: string): Layer[] {
  const own = (parts: readonly Part[]): Layer[] => parts.filter(({ subjects }) => subjects.some((pattern) => fits(pattern, subject)));
  const other = compat === null ? undefined : spec.compat[compat];
  return [spec, ...own(spec.parts), ...(other ? [other, ...own(other.parts)] : [])];
}

/** Parts that were laid together; every row asks for its own. */
const parts = new WeakMap<EvalTask, Map<string, TaskPart>>();

/** What holds for a subject's questions. */
export function partOf(task: EvalTask, subject: string): TaskPart {
  const bySubject = parts.get(task) ?? new Map<string, TaskPart>();
  parts.set(task, bySubject);
  const part = bySubject.get(subject) ?? layTogether(task, subject);
  bySubject.set(subject, part);
  return part;
}

function layTogether(task: EvalTask, subject: string): TaskPart {
  const out: Record<string, unknown> = { ...partDefaults, classes: null, shotSubject: null, answerAs: null, metrics: {} };
  let prompt: PromptTexts = promptDefaults;
  for (const layer of layersOf(task.spec, task.compat, subject)) {
    for (const key of Object.keys(out)) if (layer[key as keyof Layer] !== undefined) out[key] = layer[key as keyof Layer];
    if (layer.prompt) prompt = { ...prompt, ...layer.prompt };
  }
  return { ...out, prompt } as unknown as TaskPart;
}

/** Names that any template may use beside the task's own fields. */
const COMMON = ['subject', 'subject_name', 'subject_title', 'options', 'last_letter'];
const EXTRA: Readonly<Record<string, readonly string[]>> = {
  header: ['subject', 'subject_name', 'subject_title'],
  zeroHeader: ['subject', 'subject_name', 'subject_title'],
  option: ['letter', 'text'],
  letter: ['letter'],
  choice: ['letter', 'text'],
  answer: [...COMMON, 'answer', 'answer_text'],
};

/** Whether a prompt text may name a value. */
function mayName(key: string, fields: readonly string[]): (name: string) => boolean {
  const extra = EXTRA[key];
  // Headers, options and continuations stand for themselves; bodies, answers and cues know the question.
  const names = extra && key !== 'answer' ? extra : [...COMMON, ...(extra ?? []), ...fields];
  return (name) => names.includes(name);
}

/** What no schema can know of a task. */
function findIssues(spec: TaskSpec): FieldIssue[] {
  const issues: FieldIssue[] = [];
  const fields = Object.keys(spec.row.fields ?? {});
  const layer = (at: FieldPath, part: Layer): void => {
    for (const [key, text] of Object.entries(part.prompt ?? {})) {
      const message = ['optionJoin', 'delimiter', 'separator', 'padOptions'].includes(key) ? null : checkTemplate(text, mayName(key, fields));
      if (message !== null) issues.push({ path: [...at, 'prompt', key], message });
    }
    for (const field of part.blank ?? []) if (!fields.includes(field)) issues.push({ path: [...at, 'blank'], message: `there is no field "${field}"` });
  };
  layer([], spec);
  for (const [i, part] of spec.parts.entries()) layer(['parts', i], part);
  for (const [compat, other] of Object.entries(spec.compat)) {
    layer(['compat', compat], other);
    for (const [i, part] of other.parts.entries()) layer(['compat', compat, 'parts', i], part);
  }
  for (const [i, source] of spec.questions.entries()) {
    const named = source.path.every((path) => path.includes('{subject}'));
    if (spec.row.subject === undefined && source.subject === undefined && !named)
      issues.push({ path: ['questions', i, 'path'], message: 'nothing names the subject: put {subject} into the path, or give subject here or in row' });
  }
  if (spec.row.options === undefined && spec.row.shuffle) issues.push({ path: ['row', 'shuffle'], message: 'there are no options to shuffle' });
  return issues;
}

interface ZodIssue {
  readonly path: FieldPath;
  readonly message: string;
  readonly code?: string;
  readonly keys?: readonly string[];
  readonly errors?: readonly (readonly ZodIssue[])[];
}

/** Issues with the field at fault: an unknown key is at fault itself, and of a union the branch that came furthest speaks. */
function flat(issues: readonly ZodIssue[], at: FieldPath = []): FieldIssue[] {
  return issues.flatMap((issue) => {
    const path = [...at, ...issue.path];
    if (issue.code === 'unrecognized_keys') return (issue.keys ?? []).map((key) => ({ path: [...path, key], message: 'there is no such field' }));
    const deep =
      issue.code === 'invalid_union' ? issue.errors?.find((branch) => branch.length > 0 && branch.every((inner) => inner.path.length > 0)) : undefined;
    return deep ? flat(deep, path) : [{ path, message: issue.message }];
  });
}

function parse(file: YamlFile): TaskSpec {
  const parsed = taskSchema.safeParse(file.value);
  const issues = parsed.success ? findIssues(parsed.data) : flat(parsed.error.issues as unknown as ZodIssue[]);
  if (parsed.success && issues.length === 0) return parsed.data;
  throw complain(issues, (path) => file.place(path), HINT);
}

/**
 * Reads a task: `name`, `name:subset`, or the path of a YAML file.
 * @throws ScionError `usage` for a name that is none, `input` naming file, line, column and field.
 */
export async function readTask(files: HostFiles, nameOrPath: string, compat: Compat | null = null): Promise<EvalTask> {
  const isPath = /\.ya?ml$/i.test(nameOrPath);
  const [name, subset = null] = isPath ? [nameOrPath] : nameOrPath.split(':');
  const machine = await currentHost();
  let file: YamlFile;
  if (isPath) {
    const stat = await files.stat(nameOrPath);
    if (stat === null || stat.isDirectory)
      throw new ScionError('input', `there is no task at ${nameOrPath}; name a YAML file, or one of ${builtinNames().join(', ')}`);
    if (stat.size > MAX_BYTES) throw new ScionError('input', `${nameOrPath} has ${stat.size} bytes; a task has at most ${MAX_BYTES}`);
    const text = decodeUtf8(await files.read(nameOrPath), nameOrPath);
    file = await parseYamlText(machine, text, { path: nameOrPath, base: joinPath(machine.cwd, dirName(nameOrPath)), hint: HINT, columns: true });
  } else {
    const text = Object.hasOwn(builtinTasks, name) ? builtinTasks[name] : undefined;
    if (text === undefined)
      throw new ScionError('usage', `there is no task "${name}"; there are ${builtinNames().join(', ')}, and any YAML file by its path`, { name });
    file = await parseYamlText(machine, text, { path: `${name}.yaml`, base: '', hint: HINT, columns: true });
  }
  const spec = parse(file);
  if (subset !== null && !Object.hasOwn(spec.subsets, subset))
    throw new ScionError('usage', `task ${name} has no subset "${subset}"; it has ${Object.keys(spec.subsets).join(', ') || 'none'}`, { name, subset });
  if (compat !== null && spec.compat[compat] === undefined)
    throw new ScionError('usage', `task ${name} has no protocol "${compat}"; it has ${Object.keys(spec.compat).join(', ') || 'none but its own'}`, {
      name,
      compat,
    });
  const other = compat === null ? undefined : spec.compat[compat];
  const layers: readonly Layer[] = [...(other ? [other, ...other.parts] : []), spec, ...spec.parts];
  const methods = layers.flatMap((layer) => layer.methods ?? []);
  return {
    name: spec.name,
    title: spec.title,
    about: spec.about,
    path: isPath ? nameOrPath : 'built in',
    base: isPath ? file.base : null,
    compat,
    language: other?.language ?? spec.language ?? 'en',
    methods: methods.length > 0 ? [...new Set(methods)] : partDefaults.methods,
    subset,
    spec,
  };
}
