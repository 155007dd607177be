/** The frame of the page: head, navigation, what went wrong, and the view that the address names. Views other than the first are loaded when they are opened. */
import { useSignal, useSignalEffect } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { hrefOf, route, VIEWS, type View } from './route.ts';
import { active, editedKernel } from './state.ts';
import { FailurePanel } from './ui/failure.tsx';
import { ThemeButton } from './ui/theme.tsx';
import { TrainView } from './views/train.tsx';
import { trainerWorker } from './workers.ts';

const TITLES: Readonly<Record<View, string>> = { train: 'Train', vocabulary: 'Vocabulary', chat: 'Evaluate & chat', kernels: 'Kernels', device: 'Device' };

/** Views that the first load does without. */
const LATER: Readonly<Partial<Record<View, () => Promise<ComponentType>>>> = {
  vocabulary: async () => (await import('./views/vocabulary.tsx')).VocabularyView,
  chat: async () => (await import('./views/chat.tsx')).ChatView,
  kernels: async () => (await import('./views/kernels.tsx')).KernelsView,
  device: async () => (await import('./views/device.tsx')).DeviceViewPage,
};

function Outlet() {
  const { view } = route.value;
  const loaded = useSignal<{ readonly view: View; readonly Page: ComponentType } | null>(null);
  useSignalEffect(() => {
    const wanted = route.value.view;
    void LATER[wanted]?.().then((Page) => {
      loaded.value = { view: wanted, Page };
    });
  });
  if (view === 'train') return <TrainView />;
  if (loaded.value?.view !== view) return <p role="status">Loading…</p>;
  const { Page } = loaded.value;
  return <Page />;
}

/** What trains in this tab, wherever one is. */
function ActiveNote() {
  const now = active.value;
  if (!now || (route.value.view === 'train' && route.value.rest === now.name)) return null;
  return (
    <p class="note">
      {now.phase === 'paused' ? 'Paused' : 'Training'}: <a href={hrefOf('train', now.name)}>{now.name}</a>
      {now.stage && `, ${now.stage}, step ${now.step} of ${now.steps}`}
    </p>
  );
}

/** Says that runs of this tab use a kernel that the visitor edited, and takes it back. */
function EditedNote() {
  const kernel = editedKernel.value;
  if (kernel === null) return null;
  return (
    <p class="note" id="edited-note">
      Runs of this tab train with your <a href={hrefOf('kernels', kernel)}>{kernel}</a>, until it is closed.{' '}
      <button
        type="button"
        onClick={() => {
          editedKernel.value = null;
          void trainerWorker().trainWith(null);
        }}
      >
        Take the shipped one again
      </button>
    </p>
  );
}

export function App() {
  const { view, rest } = route.value;
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${rest === '' ? TITLES[view] : rest.replace(/\?.*$/, '')} · scion`;
    // A new view is a new page to whoever hears it read out; the first one begins at the top anyway.
    if (!first.current) main.current?.focus();
    first.current = false;
  }, [view, rest]);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <header>
        <div>
          <p class="brand">scion</p>
          <p>A small LLaMA learns English, is grafted to Chinese and asked about it, in this tab, on WebGPU. Nothing leaves your machine.</p>
        </div>
        <ThemeButton />
      </header>
      <nav aria-label="Views">
        {VIEWS.map((name) => (
          <a key={name} href={hrefOf(name)} aria-current={name === view ? 'page' : undefined}>
            {TITLES[name]}
          </a>
        ))}
      </nav>
      <main ref={main} id="main" tabIndex={-1}>
        <FailurePanel />
        <ActiveNote />
        <EditedNote />
        <Outlet />
      </main>
    </>
  );
}
