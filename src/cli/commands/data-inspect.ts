/**
 * `scion data inspect`: a look into the folder that `scion data build` wrote, in the terminal or as a page. It reads only, and no
 * more than it shows.
 */
import { ScionError } from '../../base/errors.ts';
import { look, type Question, type View, viewHtml, viewLines } from '../../curate/inspect/index.ts';
import { host } from '../../host/index.ts';
import type { Command } from '../command.ts';
import type { Flags } from '../flags.ts';

/** Lines longer than this are hard to read, whatever the terminal has. */
const WIDEST = 180;

function questionOf(flags: Flags): Question {
  const limit = flags.number('limit') ?? 20;
  if (limit < 1) throw new ScionError('usage', `--limit must be at least 1, got ${limit}`);
  const words = (['drops', 'packs', 'id', 'category'] as const).flatMap((name) => (flags.has(name) ? [[name, flags.string(name) ?? '']] : []));
  const views = (['duplicates', 'documents'] as const).flatMap((name) => (flags.boolean(name) ? [[name, true]] : []));
  return { limit, ...Object.fromEntries([...words, ...views]) };
}

/** What `--json` gives: the items as they are, and for the summary the figures that the report begins with. */
function resultOf(dir: string, view: View): Record<string, unknown> {
  const { kind, ...rest } = view;
  if (view.kind !== 'summary') return { dir, view: kind, ...rest };
  const { drops, packing, duplicates } = view.report;
  return { dir, view: kind, findings: view.findings, drops, packing, duplicates: { ...duplicates, examples: duplicates.examples.length } };
}

export const command: Command = {
  name: 'data inspect',
  summary: 'look into a data build: documents, what was dropped and why, duplicates side by side, packs',
  words: 'DIR',
  flags: {
    drops: { kind: 'optional', value: 'REASON', summary: 'dropped documents, of one reason (clean.too-short) or one step (clean) if named' },
    duplicates: { kind: 'boolean', summary: 'duplicates beside what was kept for them, differences marked', default: false },
    documents: { kind: 'boolean', summary: 'documents that were kept', default: false },
    packs: { kind: 'optional', value: 'BUCKET:PACK', summary: 'packs with the borders of their documents; the text of one if named, both numbers from 0' },
    id: { kind: 'string', value: 'ID', summary: 'all that is known of one document' },
    category: { kind: 'string', value: 'NAME', summary: 'only this category' },
    limit: { kind: 'integer', summary: 'most items to show', default: 20 },
    html: { kind: 'string', value: 'FILE', summary: 'write a page instead of printing' },
  },
  examples: [
    'scion data inspect buckets',
    'scion data inspect buckets --drops clean.too-short --limit 50',
    'scion data inspect buckets --duplicates --html pairs.html',
    'scion data inspect buckets --packs 0:3',
  ],
  async run({ flags, print, result, terminal }) {
    const [dir, ...others] = flags.words;
    if (dir === undefined || others.length > 0) {
      throw new ScionError('usage', `scion data inspect takes one folder, before the flags; got ${dir === undefined ? 'none' : `"${flags.words.join(' ')}"`}`);
    }
    const { files, env } = await host();
    const view = await look(files, dir, questionOf(flags));
    const page = flags.string('html');
    if (page !== undefined) {
      await files.write(page, new TextEncoder().encode(viewHtml(view)));
      print(`wrote ${page}`);
    } else {
      const colour = terminal.outIsTerminal && !flags.boolean('json') && (env('NO_COLOR') ?? '') === '';
      for (const line of viewLines(view, { width: Math.max(40, Math.min(WIDEST, terminal.columns || 100)), colour })) print(line);
    }
    result({ ...resultOf(dir, view), ...(page === undefined ? {} : { html: page }) });
  },
};
