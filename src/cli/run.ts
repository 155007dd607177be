/**
 * The command line as a function: picks the verb, parses flags, turns errors into exit codes. The only storey that
 * prints or exits. Commands are imported when used, so that `scion --help` loads nothing else.
 */
import { exitCodeOf, isScionError, ScionError } from '../base/errors.ts';
import { host, terminal } from '../host/index.ts';
import type { Command, Context } from './command.ts';
import { describeFlags, type FlagSpecs, nearest, parseFlags } from './flags.ts';
import { StatusLine } from './status.ts';
import { VERSION } from './version.ts';

/** Verbs in the order help lists them; a verb of two words belongs to a group (`vocab train`). */
const COMMANDS: Readonly<Record<string, () => Promise<{ command: Command }>>> = {
  start: () => import('./commands/start.ts'),
  doctor: () => import('./commands/doctor.ts'),
  plan: () => import('./commands/plan.ts'),
  train: () => import('./commands/train.ts'),
  score: () => import('./commands/score.ts'),
  eval: () => import('./commands/eval.ts'),
  judge: () => import('./commands/judge.ts'),
  generate: () => import('./commands/generate.ts'),
  chat: () => import('./commands/chat.ts'),
  'vocab train': () => import('./commands/vocab-train.ts'),
  'vocab expand': () => import('./commands/vocab-expand.ts'),
  import: () => import('./commands/import.ts'),
  export: () => import('./commands/export.ts'),
  init: () => import('./commands/init.ts'),
  'vocab stats': () => import('./commands/vocab-stats.ts'),
  'data build': () => import('./commands/data-build.ts'),
  'data inspect': () => import('./commands/data-inspect.ts'),
  run: () => import('./commands/run.ts'),
  graft: () => import('./commands/graft.ts'),
  bench: () => import('./commands/bench.ts'),
};

const COMMON: FlagSpecs = {
  json: { kind: 'boolean', summary: 'print one JSON object as the last line of standard output', default: false },
  help: { kind: 'boolean', summary: 'this text', default: false },
};

/** Verbs of a group, or none if the word is no group. */
const groupOf = (word: string): string[] => Object.keys(COMMANDS).filter((name) => name.startsWith(`${word} `));

/** Takes the verb off the arguments: one word, or two where the first is a group. */
function takeVerb(argv: readonly string[]): { verb: string | undefined; rest: string[] } {
  const [first, ...rest] = argv;
  if (first === undefined || groupOf(first).length === 0) return { verb: first, rest };
  const [second, ...others] = rest;
  return second === undefined || second.startsWith('-') ? { verb: first, rest } : { verb: `${first} ${second}`, rest: others };
}

async function overview(names: readonly string[] = Object.keys(COMMANDS)): Promise<string> {
  const lines = [`scion ${VERSION}: graft a new language or domain onto a LLaMA-family model, on any WebGPU device`, '', 'usage: scion <verb> [flags]', ''];
  for (const name of names) lines.push(`  ${name.padEnd(14)} ${(await COMMANDS[name]()).command.summary}`);
  lines.push(
    '',
    'scion <verb> --help lists flags and examples. Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 no usable device, 130 interrupted after a clean save.',
  );
  return lines.join('\n');
}

function helpOf(command: Command): string {
  const examples = command.examples.map((e) => `  ${e}`).join('\n');
  return `scion ${command.name}: ${command.summary}\n\nusage: scion ${command.name}${command.words ? ` ${command.words}` : ''} [flags]\n\n${describeFlags({ ...command.flags, ...COMMON })}\n\nexamples:\n${examples}`;
}

/** Runs one command line and gives its exit code. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const term = await terminal();
  const machine = await host();
  const status = new StatusLine(term, machine.now);
  const stop = { requested: false };
  const { verb, rest } = takeVerb(argv);
  let json = rest.includes('--json');
  let outcome: Readonly<Record<string, unknown>> | null = null;
  try {
    if (verb === undefined || verb === 'help' || verb === '--help') {
      term.out(`${await overview()}\n`);
      return verb === undefined ? 2 : 0;
    }
    if (verb === '--version') {
      term.out(`${VERSION}\n`);
      return 0;
    }
    const group = groupOf(verb);
    if (group.length > 0) {
      if (!rest.includes('--help')) {
        throw new ScionError(
          'usage',
          `scion ${verb} needs one of ${group.map((name) => name.slice(verb.length + 1)).join(', ')} (scion ${verb} --help lists them)`,
        );
      }
      term.out(`${await overview(group)}\n`);
      return 0;
    }
    const load = Object.hasOwn(COMMANDS, verb) ? COMMANDS[verb] : undefined;
    if (!load) {
      const near = nearest(verb, Object.keys(COMMANDS));
      throw new ScionError('usage', `unknown verb "${verb}"${near ? `; did you mean ${near}?` : ''} (scion --help lists them)`);
    }
    const { command } = await load();
    const flags = parseFlags({ ...command.flags, ...COMMON }, rest);
    json = flags.boolean('json');
    if (flags.boolean('help')) {
      term.out(`${helpOf(command)}\n`);
      return 0;
    }
    if (flags.words.length > 0 && !command.words) {
      throw new ScionError('usage', `scion ${verb} takes only flags; found "${flags.words.join(' ')}" (scion ${verb} --help)`);
    }
    const context: Context = {
      flags,
      terminal: term,
      status,
      stop,
      print: (text) => {
        status.clear();
        (json ? term.err : term.out)(`${text}\n`);
      },
      result: (value) => {
        outcome = value;
      },
    };
    const release = machine.onInterrupt((signal) => {
      // The second signal does not wait for a clean save.
      if (stop.requested) term.exit(130);
      stop.requested = true;
      status.note(`${signal}: stopping after what is under way; a training run saves first (again to stop at once)`);
    });
    try {
      await command.run(context);
    } finally {
      release();
      status.clear();
    }
    if (json && outcome) term.out(`${JSON.stringify(outcome)}\n`);
    return 0;
  } catch (error) {
    status.clear();
    const message = error instanceof Error ? error.message : String(error);
    term.err(`scion: ${message}\n`);
    if (!isScionError(error) || error.kind === 'internal')
      term.err(`${error instanceof Error ? (error.stack ?? '') : ''}\nThis is a bug of scion; please report it with the lines above.\n`);
    // A result may come with an error: what was done before an interruption, or all that a check found.
    const said = isScionError(error, 'interrupted') ? outcome : { ...(outcome ?? {}), error: message, kind: isScionError(error) ? error.kind : 'internal' };
    if (json && said) term.out(`${JSON.stringify(said)}\n`);
    return exitCodeOf(error);
  }
}
