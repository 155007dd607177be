/**
 * Ranks that were started with different settings would train different models and exchange them as one; so before anything else all show each other
 * theirs. Every rank sees all, so every rank refuses alike, with the name of the setting and both values.
 */
import { ScionError } from '../base/errors.ts';
import type { Transport } from './types.ts';

/** Plain data, as JSON has it. */
export type Setting = string | number | boolean | null | undefined | readonly Setting[] | { readonly [name: string]: Setting };

/** `a.b.c = value` for every leaf, sorted. */
function leaves(value: Setting, path: string, out: Map<string, string>): Map<string, string> {
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value);
    for (const [name, inner] of entries) leaves(inner, path === '' ? name : `${path}.${name}`, out);
    if (entries.length === 0) out.set(path, Array.isArray(value) ? '[]' : '{}');
  } else if (value !== undefined) out.set(path, JSON.stringify(value));
  return out;
}

/** Everything that every rank gives, by rank. For small things: all of it goes everywhere. Collective. */
export async function gatherText(transport: Transport, text: string): Promise<string[]> {
  const own = new TextEncoder().encode(text);
  const lengths = Array.from({ length: transport.size }, () => new Uint32Array(1));
  const bytes = (words: Uint32Array): Uint8Array => new Uint8Array(words.buffer);
  await transport.allGather(bytes(Uint32Array.of(own.length)), lengths.map(bytes));
  const texts = lengths.map(([length]) => new Uint8Array(length));
  await transport.allGather(own, texts);
  return texts.map((found) => new TextDecoder().decode(found));
}

/** At most so many characters of a value go into the message. */
const SHOWN = 80;
const shown = (value: string | undefined): string => (value === undefined ? 'nothing' : value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value);

/**
 * Refuses ranks whose settings differ: ScionError of kind `usage` on every rank, naming the first setting that differs, the ranks and the values. Collective;
 * the first thing that a run does with its transport.
 * @param settings what must be equal: version, configuration, seed, hash of the plan. Numbers are compared by their JSON text
 */
export async function agree(transport: Transport, settings: { readonly [name: string]: Setting }): Promise<void> {
  const own = leaves(settings, '', new Map());
  const all = (await gatherText(transport, JSON.stringify([...own].sort()))).map((text) => new Map(JSON.parse(text) as [string, string][]));
  const names = [...new Set(all.flatMap((given) => [...given.keys()]))].sort();
  for (const name of names) {
    const wanted = all[0].get(name);
    const ranks = all.flatMap((given, rank) => (given.get(name) === wanted ? [] : [rank]));
    if (ranks.length === 0) continue;
    const found = all[ranks[0]].get(name);
    const who =
      ranks.length === 1 ? `rank ${ranks[0]} has` : `ranks ${ranks.slice(0, 8).join(', ')}${ranks.length > 8 ? ', …' : ''} differ, rank ${ranks[0]} has`;
    throw new ScionError(
      'usage',
      `the ranks were started with different settings: ${name} is ${shown(wanted)} on rank 0, ${who} ${shown(found)}; start all of them alike`,
      {
        setting: name,
        ranks,
        wanted,
        found,
      },
    );
  }
}
