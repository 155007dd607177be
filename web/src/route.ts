/** Where the visitor is, kept behind the `#` of the address: `#/train/sample` is the view `train` on the thing `sample`. Works from any folder of any server. */
import { signal } from '@preact/signals';

export const VIEWS = ['train', 'vocabulary', 'chat', 'kernels', 'device'] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  readonly view: View;
  /** What stands behind the view, decoded; empty for none. */
  readonly rest: string;
}

function parse(hash: string): Route {
  const [name, ...more] = hash.replace(/^#\/?/, '').split('/');
  let rest = '';
  try {
    rest = decodeURIComponent(more.join('/'));
  } catch {
    // Cut in the middle of an escape: as good as nothing.
  }
  return { view: VIEWS.find((view) => view === name) ?? 'train', rest };
}

export const route = signal<Route>(parse(location.hash));

export const hrefOf = (view: View, rest = ''): string => `#/${view}${rest === '' ? '' : `/${rest.split('/').map(encodeURIComponent).join('/')}`}`;

export function goTo(view: View, rest = ''): void {
  location.hash = hrefOf(view, rest);
}

addEventListener('hashchange', () => {
  route.value = parse(location.hash);
});
