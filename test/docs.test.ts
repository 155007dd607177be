/**
 * Every command block of README and docs is run: line by line, in an empty folder that holds what the text takes for
 * granted (a config, a corpus). A line that would take long runs with flags appended that shorten it, or is named here with
 * the test that runs it; a new line runs as it stands. Also held: npm scripts, rows of the proof and files that the text names exist.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleSplits } from '../src/data/sample/index.ts';
import { readProof } from '../tools/lib/proof.mjs';
import { DENO, NODE, need, ROOT } from './runtime/expect.ts';

/** How a line is run where it is not run as it stands. `{scratch}` is the folder of this test. */
type Entry =
  /** What is appended to shorten it; `clone`: it is typed in a clone, not in the user's folder. */
  | { readonly flags: string; readonly clone?: boolean; readonly why: string }
  /** The test that runs it. */
  | { readonly by: string; readonly why: string };

const TABLE: Readonly<Record<string, Entry>> = {
  'npm start': { flags: '-- --quick --steps 3 --out {scratch}/runs/node', clone: true, why: 'three minutes; the full run is the first line of "Done when"' },
  'deno task start': { flags: '--quick --steps 3 --out {scratch}/runs/deno', clone: true, why: 'three minutes' },
  'npx scion doctor': { flags: '--seconds 1', why: 'measures for ten seconds' },
  'npx scion train --config config.json --data corpus/*.jsonl --out runs/mine': { flags: '--steps 3 --tokens 32 --batch 2', why: '1,000 steps' },
  'npx scion train --config config.json --data runs/packed --out runs/packed-run': { flags: '--steps 3 --batch 2', why: '1,000 steps' },
  'npx scion graft --base runs/mine/model --data corpus/*.jsonl --out runs/domain': { flags: '--tokens 2000 --length 32 --batch 2', why: 'an epoch' },
  'npx scion generate --model runs/mine/model --prompt "Once upon a time"': { flags: '--max-new-tokens 4', why: '128 tokens' },
};

/** Languages of blocks that hold commands, and of those that do not: a block has to say which it is. */
const COMMANDS = ['sh', 'console'];
const OTHERS = ['text', 'js', 'ts', 'json', 'wgsl', 'html'];

interface Line {
  readonly file: string;
  readonly number: number;
  readonly text: string;
}

/** README and the pages of docs. */
const PAGES: readonly string[] = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** The command lines of a page; `wrong` are blocks whose kind cannot be told. */
function commandLines(file: string, page: string): { lines: Line[]; wrong: string[] } {
  const lines: Line[] = [];
  const wrong: string[] = [];
  let language: string | null = null;
  let open: Line | null = null;
  for (const [i, raw] of page.split('\n').entries()) {
    const fence = /^\s*(?:```|~~~)(.*)$/.exec(raw);
    if (fence) {
      language = language === null ? fence[1].trim() : null;
      if (language !== null && ![...COMMANDS, ...OTHERS].includes(language)) wrong.push(`${file}:${i + 1} opens a block of "${language}"`);
      continue;
    }
    if (language === null || !COMMANDS.includes(language)) continue;
    // In a console block only what stands behind a prompt is typed.
    if (language === 'console' && open === null && !raw.startsWith('$ ')) continue;
    const typed = language === 'console' && open === null ? raw.slice(2) : raw;
    const text: string = `${open ? `${open.text} ` : ''}${typed.replace(/\s#\s.*$/, '').trim()}`;
    if (text === '' || text.startsWith('#')) continue;
    const line: Line = { file, number: open?.number ?? i + 1, text };
    if (text.endsWith('\\')) open = { ...line, text: text.slice(0, -1).trim() };
    else {
      open = null;
      lines.push(line);
    }
  }
  if (language !== null) wrong.push(`${file} ends within a block`);
  return { lines, wrong };
}

const pages = PAGES.map((file) => ({ file, text: readFileSync(join(ROOT, file), 'utf8') }));
const found = pages.map(({ file, text }) => commandLines(file, text));
const all = found.flatMap((f) => f.lines);

describe('what is a command', () => {
  it('every block says its language', () => {
    expect(found.flatMap((f) => f.wrong)).toEqual([]);
    expect(all.length).toBeGreaterThan(0);
  });

  it('is found in sh and console blocks, whatever its form', () => {
    const page = '```sh\na --b  # why\n# c\n\nd \\\n  e\n```\n```console\n$ f\nout\n```\n```text\ng\n```\n```\nh\n```\n';
    const { lines, wrong } = commandLines('x', page);
    expect(lines.map((l) => [l.number, l.text])).toEqual([
      [2, 'a --b'],
      [5, 'd e'],
      [9, 'f'],
    ]);
    expect(wrong).toEqual(['x:15 opens a block of ""']);
    expect(commandLines('x', '```sh\na').wrong).toEqual(['x ends within a block']);
  });

  it('the table has no line that the text lacks, and tests it names exist', () => {
    const texts = all.map((l) => l.text);
    expect(Object.keys(TABLE).filter((line) => !texts.includes(line))).toEqual([]);
    for (const entry of Object.values(TABLE)) if ('by' in entry) expect(existsSync(join(ROOT, entry.by)), entry.by).toBe(true);
  });
});

describe('what the text names', () => {
  it('npm scripts and deno tasks exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    const { tasks } = JSON.parse(readFileSync(join(ROOT, 'deno.json'), 'utf8')) as { tasks: Record<string, string> };
    for (const { file, text } of pages) {
      for (const [, name] of text.matchAll(/\bnpm run ([\w:-]+)/g)) expect(Object.keys(scripts), file).toContain(name);
      for (const [, name] of text.matchAll(/\bdeno task ([\w:-]+)/g)) expect(Object.keys(tasks), file).toContain(name);
    }
  });

  it('rows of docs/proof.md exist', () => {
    const names = new Set(readProof().map((row) => row.name));
    for (const { file, text } of pages) for (const [, name] of text.matchAll(/\(proof: ([^)]+)\)/g)) expect(names.has(name), `${file}: ${name}`).toBe(true);
  });
});

describe('every command line runs', { timeout: 120_000 }, () => {
  let scratch = '';
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'scion-docs-'));
    // `npx scion` as after an installation in the user's folder.
    mkdirSync(join(scratch, 'node_modules/.bin'), { recursive: true });
    symlinkSync(join(ROOT, 'bin/scion.mjs'), join(scratch, 'node_modules/.bin/scion'));
    writeFileSync(join(scratch, 'package.json'), '{ "private": true }\n');
    const config = {
      model_type: 'llama',
      hidden_size: 32,
      intermediate_size: 84,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      vocab_size: 512,
      max_position_embeddings: 64,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
      tie_word_embeddings: false,
    };
    writeFileSync(join(scratch, 'config.json'), JSON.stringify(config));
    mkdirSync(join(scratch, 'corpus'));
    const texts = sampleSplits({ documents: 120 }).train.map((d) => `${JSON.stringify({ text: d.target })}\n`);
    writeFileSync(join(scratch, 'corpus/one.jsonl'), texts.slice(0, 60).join(''));
    writeFileSync(join(scratch, 'corpus/two.jsonl'), texts.slice(60).join(''));
    const stage = 'steps: 2, length: 32, batch: 2';
    writeFileSync(
      join(scratch, 'recipe.yaml'),
      `base: { train: { vocab: { size: 400 }, shape: { hidden: 32, intermediate: 64, layers: 1, heads: 2 }, data: { data: [{ sample: en }], clean: false, dedup: false }, stage: { name: base, ${stage} } } }
data: { data: [{ sample: zh }], clean: false, dedup: false }
vocab: { add: 50 }
stages: [{ name: inject, ${stage} }]
`,
    );
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  const shell = (line: string, cwd: string) =>
    new Promise<string>((done) => {
      // npm's own settings of an outer `npm test` must not reach the commands.
      const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_OPTIONS|VITEST|INIT_CWD)/.test(name)));
      env.PATH = [dirname(need(NODE, 'SCION_NODE')), dirname(need(DENO, 'SCION_DENO')), env.PATH].join(delimiter);
      execFile('sh', ['-c', line], { cwd, env, timeout: 110_000, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
        done(error === null ? '' : `ended with ${error.code ?? error.signal}: ${stdout.slice(-1500)}${stderr.slice(-1500)}`);
      });
    });

  // In the order of the text: a line may need what an earlier one made.
  it.each(all.map((l) => [`${l.file}:${l.number}`, l.text] as const))('%s: %s', async (_, text) => {
    const entry = Object.hasOwn(TABLE, text) ? TABLE[text] : undefined;
    if (entry && 'by' in entry) return;
    const line = entry ? `${text} ${entry.flags.replaceAll('{scratch}', scratch)}` : text;
    expect(await shell(line, entry?.clone ? ROOT : scratch), line).toBe('');
  });
});
