/**
 * The page's elements by name, and the small things done to them. No framework: this page has one screen and few states.
 */
import type { Answers, Failure, Prompt } from './protocol.ts';

/** An element that the page's HTML holds; a missing one is a mistake in that file. */
export function element<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element "${id}"`);
  return found as E;
}

export function setText(id: string, text: string): void {
  element(id).textContent = text;
}

/** What can be done about an error, by its kind. */
const ADVICE: Readonly<Record<string, { title: string; help: readonly string[] }>> = {
  device: {
    title: 'No WebGPU here',
    help: [
      'Browsers that have it: Chrome and Edge from 113, Safari from 26, Firefox from 141.',
      'The page must come over https, or from localhost.',
      'On Linux, Chrome may want chrome://flags/#enable-unsafe-webgpu and a Vulkan driver.',
      'Without a browser: “npm start” trains the same model in Node, on a GPU or on the CPU.',
    ],
  },
  lost: { title: 'The GPU went away', help: ['Nothing saved is lost: press Resume to go on from the last save.'] },
  space: { title: 'No room left', help: ['The browser gives a site a share of the disk. Free some, or delete other data of this site.'] },
  locked: { title: 'In use in another tab', help: ['Only one tab of this page trains at a time.'] },
  numeric: { title: 'The numbers went bad', help: ['Press Resume to go on from the last save, or start over with other settings.'] },
};

export function showFailure(failure: Failure): void {
  const { title, help } = ADVICE[failure.kind] ?? { title: 'That went wrong', help: [] };
  setText('alert-title', title);
  setText('alert-text', failure.message);
  element('alert-help').replaceChildren(...help.map((line) => Object.assign(document.createElement('li'), { textContent: line })));
  element('alert').hidden = false;
}

export function hideFailure(): void {
  element('alert').hidden = true;
}

const COLUMNS = ['before', 'during', 'after'] as const;
export type Column = (typeof COLUMNS)[number];

function cell(tag: 'td' | 'th', text: string, lang: string): HTMLTableCellElement {
  return Object.assign(document.createElement(tag), { textContent: text, lang });
}

/** One row a prompt, nothing answered yet. */
export function showPrompts(prompts: readonly Prompt[]): void {
  const rows = prompts.map(({ lang, prompt, answer }) => {
    const row = document.createElement('tr');
    const head = cell('th', prompt, lang);
    head.scope = 'row';
    row.append(head, cell('td', answer.trim(), lang), ...COLUMNS.map(() => cell('td', '–', lang)));
    return row;
  });
  element('answers')
    .querySelector('tbody')
    ?.replaceChildren(...rows);
  setText('h-during', 'During');
}

/** Fills a column; an answer that begins with the right one is marked, in words too. */
export function showAnswers(column: Column, answers: Answers, prompts: readonly Prompt[]): void {
  const rows = element('answers').querySelectorAll<HTMLTableRowElement>('tbody tr');
  answers.texts.forEach((text, i) => {
    const at = rows[i]?.cells[2 + COLUMNS.indexOf(column)];
    if (!at) return;
    const right = text.trim().startsWith(prompts[i].answer.trim());
    at.textContent = `${text.trim() || '(nothing)'}${right ? ' ✓' : ''}`;
    at.classList.toggle('right', right);
    if (right) at.title = 'right';
  });
  if (column === 'during') setText('h-during', `During, at step ${answers.step}`);
}

/** Hides one control and shows another without losing the keyboard's place. */
export function swap(hide: readonly HTMLElement[], show: readonly HTMLElement[]): void {
  const hadFocus = hide.some((e) => e === document.activeElement);
  for (const e of show) e.hidden = false;
  for (const e of hide) e.hidden = true;
  if (hadFocus) show[0]?.focus();
}

const THEMES = ['system', 'light', 'dark'] as const;

/** The theme button: system, light, dark and round again; remembered. `changed` is called after each change. */
export function themeButton(changed: () => void): void {
  const button = element<HTMLButtonElement>('theme');
  let theme: (typeof THEMES)[number] = THEMES.find((t) => t === localStorage.getItem('theme')) ?? 'system';
  const show = (): void => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    changed();
  };
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    localStorage.setItem('theme', theme);
    show();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
  show();
}
