/**
 * A task as data: which files hold its questions, how their columns become questions, how a question becomes a prompt, what is asked of
 * the model and which metrics score it. One YAML a task; what differs between subjects stands in `parts`, what differs under another
 * protocol in `compat`. Every field that changes a score has its default here.
 */
import { z } from 'zod';
import { ROW_FORMATS } from './rows.ts';

export const METHODS = ['letters', 'letter-perplexity', 'option-likelihood', 'generate', 'target-loss', 'text-loss'] as const;
export const KINDS = ['choice', 'multi-choice', 'ordered-choice', 'open', 'turns', 'text'] as const;
/** Protocols other than the default one. */
export const COMPATS = ['colossaleval'] as const;
export type Compat = (typeof COMPATS)[number];

const name = z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/, 'a short name of a-z, 0-9, . - and _');
const texts = z.union([
  z
    .string()
    .min(1)
    .transform((one) => [one]),
  z.array(z.string().min(1)).min(1),
]);
const column = z.string().min(1);
const language = z.enum(['en', 'zh']);

const sourceSchema = z.strictObject({
  path: texts.describe(
    "files below the task's folder; * stands for part of a name, {subject} for a part that names the subject; of several paths the first that is there",
  ),
  except: z.array(z.string().min(1)).default([]).describe('file names that are passed over; * stands for any characters'),
  format: z.enum(ROW_FORMATS).describe('how its rows are read'),
  columns: z.array(z.string().min(1)).min(1).optional().describe('names of the columns of a table without a header row'),
  at: z.string().min(1).optional().describe('the one key of a JSON file whose list is read'),
  split: z.string().min(1).optional().describe('stands in the ids of its questions; by default test'),
  subject: z.string().min(1).optional().describe('the subject of all its rows'),
  optional: z.boolean().default(false).describe('is not missed where it is not there'),
});
export type Source = z.output<typeof sourceSchema>;

const joinSchema = sourceSchema.pick({ path: true, except: true, format: true, at: true, columns: true, optional: true }).extend({
  on: column.describe('column of the questions'),
  key: column.describe('column of the rows that are joined to them'),
  take: z.record(z.string().min(1), column).describe('new columns, from columns of the joined row'),
});
export type Join = z.output<typeof joinSchema>;

/** What an answer column holds. */
const ANSWERS = ['letters', 'index', 'text', 'texts', 'sequence', 'label'] as const;
const answerSchema = z.strictObject({
  from: texts.describe('columns, the first that holds something; a ? behind the last where the answer may be unpublished'),
  as: z
    .enum(ANSWERS)
    .describe(
      'letters (also several), the number of an option from 0, one text, a list of accepted texts, letters of several questions in a row, letters where there are options and else a text',
    ),
});

const rowFields = z.strictObject({
  id: column,
  subject: column.describe("column that names the subject; by default the file's name does"),
  group: column,
  fields: z
    .record(z.string().regex(/^[A-Za-z_]\w*$/), z.string().regex(/^[^?]+\??$/))
    .describe('fields of prompts from columns; one|other takes the first that is there, a ? behind it says that it may be missing or null'),
  options: z.union([column, z.array(column).min(2)]).describe('a column that is a list, or a column an option'),
  shuffle: z.boolean().describe('put options in an order told by the seed and the row: the right one stands first in the file'),
  answer: answerSchema,
  once: z.array(column).min(1).describe('rows that agree with an earlier one in these columns are passed over'),
  turns: column.describe("a column that is a list of a user's turns"),
});
const rowSchema = rowFields.partial();
export type RowMap = Omit<z.output<typeof rowSchema>, 'id'> & { readonly id?: string | null };

/** Prompt texts without defaults, as parts and protocols override them. */
export const promptFields = z.strictObject({
  header: z.string().describe('stands before shots and question'),
  zeroHeader: z.string().describe('the same where there are no shots; by default as header'),
  body: z.string().describe('the question, up to where the answer begins'),
  option: z.string().describe('one option inside {options}'),
  optionJoin: z.string(),
  padOptions: z.string().describe('text of options added until there is one for every class'),
  delimiter: z.string().describe('between the body and an answer or a continuation'),
  answer: z.string().describe('the answer of a shot'),
  separator: z.string().describe('behind each shot'),
  letter: z.string().describe('continuation of a letter'),
  choice: z.string().describe("continuation of an option's text"),
  cue: z.string().describe('prompt of the baseline of option likelihood'),
  shotBody: z.string().describe('the body of a shot, where it differs'),
});
/** Prompt texts; the two that are absent by default stand for others. */
export type PromptTexts = Omit<z.output<typeof promptFields>, 'zeroHeader' | 'shotBody'> & { readonly zeroHeader?: string; readonly shotBody?: string };
export const promptDefaults: PromptTexts = {
  header: '',
  body: '{question}',
  option: '{letter}. {text}',
  optionJoin: '\n',
  padOptions: '',
  delimiter: ' ',
  answer: '{answer}',
  separator: '\n\n',
  letter: '{letter}',
  choice: '{text}',
  cue: '',
};

/** What may differ between subjects. */
const partFields = z.strictObject({
  kind: z.enum(KINDS),
  language,
  classes: z.array(z.string().min(1)).min(2).max(26).describe('letters of the options; by default A and on'),
  answerAs: z.enum(ANSWERS).describe('what the answer column holds, where it differs'),
  shots: z.int().min(0).max(100).describe('shots of the default protocol'),
  shotSubject: z.string().min(1).describe('another subject whose shots are taken'),
  select: z.enum(['first', 'seeded']).describe('which rows become shots: in order as published, or drawn by the seed'),
  blank: z.array(z.string().min(1)).describe('fields left empty, also in shots'),
  prompt: promptFields.partial(),
  methods: z.array(z.enum(METHODS)).min(1),
  metrics: z.partialRecord(z.enum(METHODS), z.array(z.string().min(1)).min(1)).describe('metrics of each method'),
  maxNewTokens: z.int().min(1).max(65_536),
  stop: z.array(z.string().min(1)).max(16),
  long: z.enum(['middle', 'window']).describe('what becomes of a text too long: its middle is cut out, or a window moves over it'),
});
export type PartFields = z.output<typeof partFields>;
export const partDefaults: Omit<PartFields, 'prompt' | 'metrics' | 'classes' | 'shotSubject' | 'answerAs'> = {
  kind: 'choice',
  language: 'en',
  shots: 0,
  select: 'first',
  blank: [],
  methods: ['letters'],
  maxNewTokens: 32,
  stop: [],
  long: 'middle',
};

const partSchema = partFields.partial().extend({ subjects: texts.describe('names of subjects; * stands for any characters') });
const subjectSchema = z.strictObject({ name: z.string().min(1).optional(), group: z.string().min(1).optional() });

export const taskSchema = partFields.partial().extend({
  name,
  title: z.string().min(1),
  about: z.string().default('').describe('what it is and where it comes from'),
  licence: z.string().min(1).optional(),
  folder: texts.describe('its folder below the data; the first of several that is there'),
  questions: z.array(sourceSchema).min(1),
  shotRows: z.array(sourceSchema).default([]).describe('rows that shots are taken from'),
  join: z.array(joinSchema).default([]),
  row: rowSchema,
  shotRow: rowSchema.extend({ id: column.nullable().optional() }).optional().describe('columns of shots, where they differ'),
  subjects: z.record(z.string().min(1), subjectSchema).default({}).describe('names and groups of subjects'),
  subsets: z
    .record(name, z.array(z.string().min(1)).min(1))
    .default({})
    .describe('subjects of published protocols; name:subset asks for one'),
  parts: z.array(partSchema).default([]),
  compat: z
    .partialRecord(z.enum(COMPATS), partFields.partial().extend({ parts: z.array(partSchema).default([]) }))
    .default({})
    .describe('what another protocol changes'),
  submission: z.enum(['ceval', 'safetybench']).optional().describe('the answer file that its publisher scores'),
});
export type TaskSpec = z.output<typeof taskSchema>;
