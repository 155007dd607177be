/** The theme: the system's, light or dark, remembered. `theme` changes with it, for what is drawn on a canvas. */
import { effect, signal } from '@preact/signals';

const THEMES = ['system', 'light', 'dark'] as const;
type Theme = (typeof THEMES)[number];

function remembered(): Theme {
  try {
    return THEMES.find((t) => t === localStorage.getItem('theme')) ?? 'system';
  } catch {
    return 'system';
  }
}

const chosen = signal<Theme>(remembered());
const system = matchMedia('(prefers-color-scheme: dark)');
const systemDark = signal(system.matches);
system.addEventListener('change', () => {
  systemDark.value = system.matches;
});

/** Changes whenever colours do. */
export const theme = signal('');
effect(() => {
  document.documentElement.dataset.theme = chosen.value;
  theme.value = `${chosen.value} ${systemDark.value}`;
});

export function ThemeButton() {
  return (
    <button
      type="button"
      id="theme"
      onClick={() => {
        chosen.value = THEMES[(THEMES.indexOf(chosen.value) + 1) % THEMES.length];
        try {
          localStorage.setItem('theme', chosen.value);
        } catch {
          // A browser that keeps nothing: the choice lasts as long as the page.
        }
      }}
    >
      Theme: {chosen.value}
    </button>
  );
}
