/**
 * The kernel text processor: `#include` with text parameters, `#if` on named switches, `$(NAME)`
 * substitution. What comes out is plain WGSL, with a map from its lines back to files, and the
 * parameter struct and bindings read from it, so that host and kernel cannot disagree silently.
 * Deliberately not a language: no expressions beyond comparisons, no macros with arguments.
 */
import { kernelSources } from '../../kernels/index.ts';
import { ScionError } from '../base/errors.ts';

/** The value of a switch: a flag, a number or a word. */
export type SwitchValue = boolean | number | string;
export type Switches = Readonly<Record<string, SwitchValue>>;

/** One 32-bit field of the uniform struct `Params`, in order. */
export interface ParamField {
  readonly name: string;
  readonly type: 'u32' | 'i32' | 'f32';
}

/** A kernel after expansion. */
export interface ExpandedKernel {
  readonly name: string;
  readonly code: string;
  /** For each line of `code` where it came from. */
  readonly lines: readonly { file: string; line: number }[];
  readonly params: readonly ParamField[];
  /** Storage bindings: name and binding index. */
  readonly bindings: readonly { name: string; index: number }[];
  /** Switches that the text asked for; the others do not change it. */
  readonly used: readonly string[];
}

/** Reads a kernel's text; the playground passes its own edited texts. */
export type SourceOf = (path: string) => string | undefined;

const builtin: SourceOf = (path) => kernelSources[path];

/** Evaluates `A && !B || C == 4`; a name without a value is false. */
function evaluate(expression: string, lookup: (name: string) => SwitchValue | undefined, where: string): boolean {
  const atom = (text: string): boolean => {
    const t = text.trim();
    const compare = /^(\w+)\s*(==|!=)\s*(\w+)$/.exec(t);
    if (compare) {
      const side = (s: string) => String(/^\d+$/.test(s) ? s : (lookup(s) ?? s));
      return (side(compare[1]) === side(compare[3])) === (compare[2] === '==');
    }
    const flag = /^(!?)(\w+)$/.exec(t);
    if (!flag) throw new ScionError('internal', `${where}: cannot read the condition "${expression}"; use names, !, ==, !=, && and ||`);
    const value = lookup(flag[2]);
    const truth = value !== undefined && value !== false && value !== 0 && value !== '0' && value !== 'false';
    return flag[1] === '!' ? !truth : truth;
  };
  return expression.split('||').some((any) => any.split('&&').every(atom));
}

/** Built-in kernels already expanded: a plan asks for the same few texts at every launch. */
const expanded = new Map<string, ExpandedKernel>();

/**
 * Expands `name` (path without `.wgsl`) under the switches.
 * @throws ScionError naming file and line for an unknown include, an unbalanced `#if` or an unset `$(NAME)`.
 */
export function expandKernel(name: string, switches: Switches = {}, sourceOf: SourceOf = builtin): ExpandedKernel {
  if (sourceOf !== builtin) return expandText(name, switches, sourceOf);
  const key = `${name} ${JSON.stringify(switches)}`;
  const known = expanded.get(key) ?? expandText(name, switches, sourceOf);
  expanded.set(key, known);
  return known;
}

function expandText(name: string, switches: Switches, sourceOf: SourceOf): ExpandedKernel {
  const out: string[] = [];
  const lines: { file: string; line: number }[] = [];
  const enables = new Set<string>();
  const included = new Set<string>();
  const used = new Set<string>();

  const include = (path: string, params: Record<string, string>, from: string, stack: string[]): void => {
    const source = sourceOf(path);
    if (source === undefined) throw new ScionError('internal', `${from}: no kernel text "${path}"; is kernels/index.ts fresh (npm run kernels)?`);
    if (stack.includes(path)) throw new ScionError('internal', `${from}: include cycle ${[...stack, path].join(' -> ')}`);
    const key = `${path} ${JSON.stringify(params)}`;
    if (included.has(key)) return;
    included.add(key);
    const conditions: { taken: boolean; active: boolean; line: number }[] = [];
    const lookup = (word: string): SwitchValue | undefined => {
      if (word in params) return params[word];
      used.add(word);
      return switches[word];
    };
    const substitute = (text: string, where: string): string =>
      text.replace(/\$\((\w+)\)/g, (_, word: string) => {
        const value = lookup(word);
        if (value === undefined) throw new ScionError('internal', `${where}: $(${word}) has no value; pass it as a switch`);
        return String(value);
      });
    source.split('\n').forEach((raw, i) => {
      const where = `${path}:${i + 1}`;
      const active = conditions.every((c) => c.active);
      const directive = /^\s*#(\w+)\s*(.*)$/.exec(raw);
      if (!directive) {
        if (!active) return;
        const text = substitute(raw, where);
        if (/^\s*enable\s/.test(text)) enables.add(text.trim());
        else {
          out.push(text);
          lines.push({ file: path, line: i + 1 });
        }
        return;
      }
      const rest = directive[2];
      const outer = conditions.slice(0, -1).every((c) => c.active);
      const top = conditions[conditions.length - 1];
      switch (directive[1]) {
        case 'if': {
          const truth = active && evaluate(substitute(rest, where), lookup, where);
          conditions.push({ taken: truth, active: truth, line: i + 1 });
          return;
        }
        case 'elif': {
          if (!top) throw new ScionError('internal', `${where}: #elif without #if`);
          top.active = outer && !top.taken && evaluate(substitute(rest, where), lookup, where);
          top.taken ||= top.active;
          return;
        }
        case 'else':
          if (!top) throw new ScionError('internal', `${where}: #else without #if`);
          top.active = outer && !top.taken;
          top.taken = true;
          return;
        case 'endif':
          if (!conditions.pop()) throw new ScionError('internal', `${where}: #endif without #if`);
          return;
        case 'include': {
          if (!active) return;
          const found = /^"([^"]+)"((?:\s+\w+=\S+)*)\s*$/.exec(substitute(rest, where));
          if (!found) throw new ScionError('internal', `${where}: cannot read #include ${rest}`);
          const passed = Object.fromEntries([...found[2].matchAll(/(\w+)=(\S+)/g)].map((m) => [m[1], m[2]]));
          include(found[1], passed, where, [...stack, path]);
          return;
        }
        default:
          throw new ScionError('internal', `${where}: unknown directive #${directive[1]}`);
      }
    });
    const open = conditions[conditions.length - 1];
    if (open) throw new ScionError('internal', `${path}:${open.line}: #if is never closed`);
  };

  include(`${name}.wgsl`, {}, name, []);
  const head = [...enables];
  const code = [...head, ...out].join('\n');
  const allLines = [...head.map(() => ({ file: `${name}.wgsl`, line: 1 })), ...lines];
  return { name, code, lines: allLines, params: readParams(code, name), bindings: readBindings(code), used: [...used].sort() };
}

function readParams(code: string, name: string): ParamField[] {
  const found = /struct\s+Params\s*\{([^}]*)\}/.exec(code);
  if (!found) return [];
  const body = found[1].replace(/\/\/[^\n]*/g, '');
  return body
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const field = /^(\w+)\s*:\s*(u32|i32|f32)$/.exec(part);
      if (!field) throw new ScionError('internal', `${name}: Params may hold only u32, i32 and f32 fields, found "${part}"`);
      return { name: field[1], type: field[2] as ParamField['type'] };
    });
}

function readBindings(code: string): { name: string; index: number }[] {
  return [...code.matchAll(/@group\(0\)\s*@binding\((\d+)\)\s*var<storage,\s*read_write>\s*(\w+)/g)].map((m) => ({ name: m[2], index: Number(m[1]) }));
}
