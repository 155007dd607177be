/**
 * What a set of judge prompts holds, and how slots are filled. Built-in sets are `en.ts` and `zh.ts`; a user's own is a YAML file with the same fields, of which any may be left out (`readPrompts`). What models wrote is set off
 * by a mark that it cannot contain, so that an answer cannot pose as the judge's instructions.
 */
import { ScionError } from '../../../base/errors.ts';
import { Sha256 } from '../../../base/sha256.ts';
import { readYamlFile, type YamlFile } from '../../../formats/yaml-file.ts';
import type { Host } from '../../../host/types.ts';
import { promptsEn } from './en.ts';
import { FIELDS, type JudgePrompts } from './types.ts';
import { promptsZh } from './zh.ts';

/** The built-in prompts of a language. */
export const builtinPrompts = (language: 'en' | 'zh'): JudgePrompts => (language === 'zh' ? promptsZh : promptsEn);

/** A user's file of prompts over the built-in ones; see `readPrompts`. */
export async function loadPrompts(host: Host, path: string, base: JudgePrompts): Promise<JudgePrompts> {
  const words = { hint: 'docs/eval-metrics.md lists the prompts and their slots', absent: 'name a YAML file of judge prompts', columns: false };
  return readPrompts(await readYamlFile(host, path, words), base);
}

/** Slots of a text, as they are written in it. */
const slotsOf = (text: string) => new Set([...text.matchAll(/\{\{(\w+)\}\}/g)].map((m) => m[1]));

/**
 * A user's prompts over the built-in ones. @throws ScionError `input` with file and line for fields or slots that no prompt has.
 */
export function readPrompts(file: YamlFile, base: JudgePrompts): JudgePrompts {
  const wrong = (path: string[], message: string): never => {
    throw new ScionError('input', `${file.place(path)}: ${message}`, { path: file.path });
  };
  const out: Record<string, unknown> = { ...base };
  for (const [field, value] of Object.entries(file.value)) {
    if (field === 'metrics' || field === 'categories') {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) wrong([field], `${field} must be a table by name`);
      const table: Record<string, unknown> = { ...base[field] };
      for (const [name, entry] of Object.entries(value as object)) {
        const isNames = (x: unknown): x is string[] => Array.isArray(x) && x.length > 0 && x.every((s) => typeof s === 'string');
        const { definition, steps } = (entry ?? {}) as { definition?: unknown; steps?: unknown };
        if (field === 'categories' ? !isNames(entry) : typeof definition !== 'string' || !isNames(steps))
          wrong([field, name], field === 'categories' ? 'a category is a list of metrics' : 'a metric has a definition and a list of steps');
        table[name] = entry;
      }
      out[field] = table;
      continue;
    }
    if (!Object.hasOwn(FIELDS, field)) wrong([field], `no prompt "${field}"; there are ${Object.keys(FIELDS).join(', ')}, metrics, categories`);
    if (typeof value !== 'string') return wrong([field], 'a prompt is text');
    const allowed: readonly string[] = FIELDS[field as keyof typeof FIELDS];
    for (const slot of slotsOf(value))
      if (!allowed.includes(slot)) wrong([field], `no slot {{${slot}}} here; there are ${allowed.map((s) => `{{${s}}}`).join(', ')}`);
    out[field] = value;
  }
  const set = out as unknown as JudgePrompts;
  for (const [category, names] of Object.entries(set.categories))
    for (const name of names)
      if (!Object.hasOwn(set.metrics, name)) wrong(['categories', category], `no metric "${name}"; there are ${Object.keys(set.metrics).join(', ')}`);
  return set;
}

/** Fills the slots of a prompt in one pass, so that a slot within a value stays as it is. Values of `quoted` are set off by a mark made of their own hash. */
export function fill(template: string, plain: Readonly<Record<string, string>>, quoted: Readonly<Record<string, string>>): string {
  const sha = new Sha256();
  sha.update(new TextEncoder().encode(JSON.stringify(quoted)));
  const mark = sha.hex().slice(0, 12);
  return template.replace(/\{\{(\w+)\}\}/g, (slot, name: string) => {
    if (Object.hasOwn(quoted, name)) return `<<<${name} ${mark}\n${quoted[name]}\n${mark}>>>`;
    return Object.hasOwn(plain, name) ? plain[name] : slot;
  });
}
