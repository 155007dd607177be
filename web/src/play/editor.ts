/**
 * The WGSL editor: CodeMirror with a small mode of our own (keywords, types, attributes, the includes and switches of `src/gpu/expand.ts`). Loaded when a
 * kernel is opened, never with the first view.
 */
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, indentUnit, StreamLanguage, type StringStream, syntaxHighlighting } from '@codemirror/language';
import { lintGutter, setDiagnostics } from '@codemirror/lint';
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search';
import { EditorState } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { Diagnostic } from '../../../src/index.ts';

const KEYWORDS =
  /^(?:fn|var|let|const|const_assert|struct|if|else|for|while|loop|break|continue|continuing|return|switch|case|default|enable|override|discard|alias|true|false)$/;
const TYPES =
  /^(?:f32|f16|i32|u32|bool|vec[234][fiuh]?|mat[234]x[234][fh]?|array|atomic|ptr|storage|uniform|workgroup|private|function|read|write|read_write|subgroup_matrix_\w+)$/;

function token(stream: StringStream, state: { comment: boolean }): string | null {
  if (state.comment) {
    if (stream.match(/^.*?\*\//)) state.comment = false;
    else stream.skipToEnd();
    return 'comment';
  }
  if (stream.eatSpace()) return null;
  if (stream.match(/^\/\/.*/)) return 'comment';
  if (stream.match('/*')) {
    state.comment = true;
    return 'comment';
  }
  if (stream.sol() && stream.match(/^\s*#\w+.*/)) return 'meta';
  if (stream.match(/^#\w+.*/) || stream.match(/^\$\(\w+\)/)) return 'meta';
  if (stream.match(/^@\w+/)) return 'meta';
  if (stream.match(/^(?:0x[\da-f]+|\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)[fhiu]?/i)) return 'number';
  const word = stream.match(/^[A-Za-z_]\w*/);
  if (word && typeof word !== 'boolean') {
    if (KEYWORDS.test(word[0])) return 'keyword';
    if (TYPES.test(word[0])) return 'typeName';
    return stream.match(/^\s*\(/, false) ? 'variableName.function' : null;
  }
  stream.next();
  return null;
}

const wgsl = StreamLanguage.define<{ comment: boolean }>({
  name: 'wgsl',
  startState: () => ({ comment: false }),
  token,
  languageData: { commentTokens: { line: '//', block: { open: '/*', close: '*/' } } },
});

const colours = HighlightStyle.define([
  { tag: tags.comment, color: 'var(--soft)', fontStyle: 'italic' },
  { tag: tags.keyword, color: 'var(--c4)', fontWeight: '600' },
  { tag: tags.typeName, color: 'var(--type)' },
  { tag: tags.number, color: 'var(--held)' },
  { tag: tags.meta, color: 'var(--c6)' },
  { tag: tags.function(tags.variableName), color: 'var(--c3)' },
]);

const looks = EditorView.theme({
  '&': { backgroundColor: 'var(--ground)', color: 'var(--ink)', fontSize: '0.85rem', borderRadius: '7px', maxHeight: '32rem' },
  '.cm-scroller': { fontFamily: 'ui-monospace, monospace', overflow: 'auto' },
  '.cm-gutters': { backgroundColor: 'var(--ground)', color: 'var(--soft)', border: 'none' },
  '.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--accent) 4%, transparent)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '&.cm-focused': { outline: '3px solid var(--accent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'color-mix(in srgb, var(--accent) 25%, transparent)',
  },
  '.cm-tooltip': { backgroundColor: 'var(--card)', color: 'var(--ink)', border: '1px solid var(--line)' },
});

export interface Editor {
  text(): string;
  setText(text: string): void;
  /** Marks lines; those of other files are left out. */
  mark(file: string, diagnostics: readonly Diagnostic[]): void;
  /** Puts the cursor there and the keyboard with it. */
  goTo(line: number, column: number): void;
  destroy(): void;
}

/** Opens an editor in an element. Escape then Tab leaves it by keyboard, as its label says. */
export function openEditor(parent: HTMLElement, text: string, changed: (text: string) => void): Editor {
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(),
        history(),
        drawSelection(),
        bracketMatching(),
        highlightActiveLine(),
        highlightSelectionMatches(),
        lintGutter(),
        indentUnit.of('  '),
        wgsl,
        syntaxHighlighting(colours),
        looks,
        keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, indentWithTab]),
        EditorView.contentAttributes.of({ 'aria-label': 'WGSL of the kernel; Escape, then Tab leaves the editor', id: 'editor-text', tabindex: '0' }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) changed(update.state.doc.toString());
        }),
      ],
    }),
  });
  const position = (line: number, column: number): number => {
    const at = view.state.doc.line(Math.min(Math.max(1, line), view.state.doc.lines));
    return Math.min(at.from + Math.max(0, column - 1), at.to);
  };
  return {
    text: () => view.state.doc.toString(),
    setText: (next) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } }),
    mark(file, diagnostics) {
      const own = diagnostics.filter((d) => d.file === file);
      view.dispatch(
        setDiagnostics(
          view.state,
          own.map((d) => {
            const from = position(d.line, d.column);
            const line = view.state.doc.lineAt(from);
            return { from: from === line.to ? line.from : from, to: line.to, severity: d.severity, message: d.message };
          }),
        ),
      );
    },
    goTo(line, column) {
      const anchor = position(line, column);
      view.dispatch({ selection: { anchor }, effects: EditorView.scrollIntoView(anchor, { y: 'center' }) });
      view.focus();
    },
    destroy: () => view.destroy(),
  };
}
