/** A kernel in the playground: its text to edit, compiled as one types; sizes, storage and constants; run, compare, share, train with it. */
import { useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Diagnostic, TrialReport } from '../../../src/index.ts';
import type { Failure, KernelDraft, KernelView } from '../protocol.ts';
import { hrefOf } from '../route.ts';
import { device, editedKernel } from '../state.ts';
import { ask, trainerWorker } from '../workers.ts';
import { compile, endRun, entries, needRoofs, PHASES, phase, roofs, run, texts } from './bench.ts';
import type { Editor } from './editor.ts';
import { History, Result } from './result.tsx';
import { type ForeignPoint, Roofline } from './roofline.tsx';
import { pack, type Shared } from './share.ts';

/** Milliseconds of rest after which a text is compiled. */
const REST = 350;

interface PanelProps {
  readonly kernel: KernelView;
  /** What a link brought. */
  readonly shared: Shared | null;
}

/** Sizes and options of a link where the kernel has them, else the usual ones. */
function startOf({ family, name, sizes, options, dtypes, text }: KernelView, shared: Shared | null): KernelDraft {
  const kernel = `${family}/${name}`;
  return {
    kernel,
    text: shared?.text ?? texts.get(kernel) ?? text,
    sizes: Object.fromEntries(Object.entries(sizes).map(([letter, [usual]]) => [letter, shared?.sizes[letter] ?? usual])),
    options: Object.fromEntries(Object.entries(options).map(([option, values]) => [option, values.find((v) => v === shared?.options[option]) ?? values[0]])),
    dtype: dtypes.find((d) => d === shared?.dtype) ?? dtypes[0],
  };
}

export function Panel({ kernel, shared }: PanelProps) {
  const draft = useSignal<KernelDraft>(startOf(kernel, shared));
  const diagnostics = useSignal<readonly Diagnostic[]>([]);
  const report = useSignal<TrialReport | null>(null);
  const problem = useSignal<Failure | null>(null);
  const told = useSignal('');
  const ready = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
  const file = `${draft.value.kernel}.wgsl`;
  const edited = draft.value.text !== kernel.text;

  useEffect(() => {
    let gone = false;
    void import('./editor.ts').then(({ openEditor }) => {
      if (gone || !box.current) return;
      editor.current = openEditor(box.current, draft.peek().text, (text) => {
        draft.value = { ...draft.peek(), text };
        texts.set(draft.peek().kernel, text);
      });
      ready.value = true;
    });
    return () => {
      gone = true;
      editor.current?.destroy();
    };
  }, [draft, ready]);

  // Compiled whenever text or setting rest for a moment. Not while a kernel runs: the Worker is busy then.
  useSignalEffect(() => {
    const at = draft.value;
    const timer = setTimeout(async () => {
      if (phase.peek() !== null) return;
      const outcome = await compile(at);
      if (draft.peek() !== at) return;
      problem.value = outcome.ok ? null : outcome.failure;
      diagnostics.value = outcome.ok ? outcome.value : [];
      editor.current?.mark(`${at.kernel}.wgsl`, diagnostics.value);
    }, REST);
    return () => clearTimeout(timer);
  });

  const start = async (): Promise<void> => {
    const at = draft.value;
    problem.value = null;
    report.value = null;
    told.value = '';
    const outcome = await run(at);
    if (!outcome.ok) {
      problem.value = outcome.failure;
      return;
    }
    report.value = outcome.value;
    entries.value = [...entries.value, { draft: at, shipped: at.text === kernel.text, report: outcome.value }];
    if (outcome.value.time) await needRoofs();
  };

  const train = async (): Promise<void> => {
    told.value = 'The trainer checks it…';
    const at = draft.value;
    const outcome = await ask(trainerWorker().trainWith(at));
    told.value = outcome.ok ? 'The trainer takes it: runs that start or go on in this tab use it.' : '';
    if (outcome.ok) editedKernel.value = at.kernel;
    else problem.value = outcome.failure;
  };

  const share = async (): Promise<void> => {
    const time = report.value?.time;
    const part = await pack(draft.value, {
      ...(device.value && device.value !== 'none' ? { device: device.value.name || device.value.description || device.value.architecture } : {}),
      ...(time && time.flops > 0 ? { point: [time.flops / time.median, time.bytes / time.median] as const } : {}),
    });
    const address = `${location.href.replace(/#.*$/, '')}${hrefOf('kernels', draft.value.kernel)}?z=${part}`;
    history.replaceState(null, '', address);
    try {
      await navigator.clipboard.writeText(address);
      told.value = 'The address is copied; it holds the text, the sizes and what was measured.';
    } catch {
      told.value = 'The address of this page now holds the text, the sizes and what was measured.';
    }
  };

  const foreign: ForeignPoint | null = shared?.point ? { flops: shared.point[0], bytes: shared.point[1], device: shared.device ?? 'another device' } : null;
  const broken = diagnostics.value.some(({ severity }) => severity === 'error');
  return (
    <section aria-labelledby="kernel-title" class="card play">
      <h1 id="kernel-title">{kernel.name}</h1>
      <dl class="header">
        {kernel.header.map(([name, words]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
      {foreign && (
        <p class="note">
          From a link: {(foreign.flops / 1e9).toPrecision(3)} GFLOP/s on {foreign.device}. Nothing of it runs before you press Run.
        </p>
      )}
      <div class="fields" id="setting">
        {Object.keys(kernel.sizes).map((letter) => (
          <label key={letter} class="size">
            {letter}
            <input
              type="number"
              min="1"
              id={`size-${letter}`}
              value={draft.value.sizes[letter]}
              onInput={(event) => {
                draft.value = { ...draft.value, sizes: { ...draft.value.sizes, [letter]: Number(event.currentTarget.value) } };
              }}
            />
          </label>
        ))}
        <Select
          label="storage"
          name="dtype"
          value={draft.value.dtype}
          values={kernel.dtypes}
          set={(dtype) => {
            draft.value = { ...draft.value, dtype: dtype === 'f16' ? 'f16' : 'f32' };
          }}
        />
        {Object.entries(kernel.options).map(([name, values]) => (
          <Select
            key={name}
            label={name}
            name={name}
            value={draft.value.options[name]}
            values={values}
            set={(value) => {
              draft.value = { ...draft.value, options: { ...draft.value.options, [name]: value } };
            }}
          />
        ))}
      </div>
      <div ref={box} id="editor" class="editor" />
      {!ready.value && <p role="status">Opening the editor…</p>}
      {diagnostics.value.length > 0 && (
        <ul id="diagnostics" class="diagnostics" role="status">
          {diagnostics.value.map((d) => (
            <li key={`${d.file}:${d.line}:${d.column}${d.message}`}>
              {d.file === file ? (
                <button type="button" class="link" onClick={() => editor.current?.goTo(d.line, d.column)}>
                  line {d.line}, column {d.column}
                </button>
              ) : (
                <code>
                  {d.file}:{d.line}
                </code>
              )}{' '}
              {d.message}
            </li>
          ))}
        </ul>
      )}
      <p class="buttons">
        <button type="button" id="run" class="primary" disabled={phase.value !== null || broken || !ready.value} onClick={start}>
          Run
        </button>
        <button type="button" id="end" disabled={phase.value === null} onClick={() => endRun()}>
          End it
        </button>
        <button
          type="button"
          id="restore"
          disabled={!edited}
          onClick={() => {
            editor.current?.setText(kernel.text);
            texts.delete(draft.value.kernel);
          }}
        >
          Back to the shipped text
        </button>
        <button type="button" id="share" disabled={phase.value !== null} onClick={share}>
          Copy a link
        </button>
        <button type="button" id="train-with" disabled={phase.value !== null || broken} onClick={train}>
          Train with this kernel
        </button>
      </p>
      <p role="status" id="play-state">
        {phase.value === 'roofs' ? 'Measuring what this device can do at most…' : phase.value ? PHASES[phase.value] : told.value}
      </p>
      {problem.value && (
        <p role="alert" id="play-problem" class="problem">
          {problem.value.message}
        </p>
      )}
      {report.value && <Result report={report.value} />}
      {roofs.value && <Roofline foreign={foreign} />}
      <History />
    </section>
  );
}

interface SelectProps {
  readonly label: string;
  readonly name: string;
  readonly value: string;
  readonly values: readonly string[];
  readonly set: (value: string) => void;
}

function Select({ label, name, value, values, set }: SelectProps) {
  return (
    <label>
      {label}
      <select id={`option-${name}`} value={value} disabled={values.length < 2} onChange={(event) => set(event.currentTarget.value)}>
        {values.map((one) => (
          <option key={one} value={one}>
            {one}
          </option>
        ))}
      </select>
    </label>
  );
}
