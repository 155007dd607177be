/**
 * The post-processors of `tokenizer.json`, as far as one text goes: the marks they put before and after it.
 */

import { asArray, asIndex, asObject, asString, type JsonObject, unsupported } from './json-read.ts';

/** The ids a post-processor puts round a text. */
export interface Template {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const POST_PROCESSORS = ['TemplateProcessing', 'ByteLevel', 'Sequence', 'RobertaProcessing', 'BertProcessing'];

/** What a post-processor adds round a single text. Throws `format`, naming the component, for unknown ones. */
export function readPostProcessor(json: unknown, where: string): Template {
  if (json === null || json === undefined) return { before: [], after: [] };
  const spec = asObject(json, where);
  switch (spec.type) {
    case 'ByteLevel':
      // Only moves offsets, which are not kept here.
      return { before: [], after: [] };
    case 'Sequence': {
      const steps = asArray(spec.processors, `${where}.processors`).map((step, i) => readPostProcessor(step, `${where}.processors[${i}]`));
      return steps.reduce((all, step) => ({ before: [...step.before, ...all.before], after: [...all.after, ...step.after] }), { before: [], after: [] });
    }
    case 'RobertaProcessing':
    case 'BertProcessing':
      return {
        before: [asIndex(asArray(spec.cls, `${where}.cls`)[1], `${where}.cls[1]`)],
        after: [asIndex(asArray(spec.sep, `${where}.sep`)[1], `${where}.sep[1]`)],
      };
    case 'TemplateProcessing':
      return readTemplate(spec, where);
    default:
      return unsupported(where, spec.type, POST_PROCESSORS);
  }
}

function readTemplate(spec: JsonObject, where: string): Template {
  const marks = asObject(spec.special_tokens, `${where}.special_tokens`);
  const before: number[] = [];
  const after: number[] = [];
  let side: number[] = before;
  asArray(spec.single, `${where}.single`).forEach((entry, i) => {
    const step = asObject(entry, `${where}.single[${i}]`);
    if (step.Sequence !== undefined) {
      if (side === after) unsupported(`${where}.single`, 'a second Sequence', ['one Sequence']);
      side = after;
      return;
    }
    const name = asString(asObject(step.SpecialToken, `${where}.single[${i}].SpecialToken`).id, `${where}.single[${i}].SpecialToken.id`);
    const mark = asObject(marks[name], `${where}.special_tokens[${JSON.stringify(name)}]`);
    for (const id of asArray(mark.ids, `${where}.special_tokens[${JSON.stringify(name)}].ids`)) side.push(asIndex(id, `${where}.special_tokens ids`));
  });
  return { before, after };
}
