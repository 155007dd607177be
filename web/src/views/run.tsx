/**
 * One run: what it does now, its curves by stage and category, what it writes at each look, the tables of its end. A run that another tab trains is
 * read again every few seconds and cannot be changed here.
 */
import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { formatBytes, formatDuration } from '../../../src/index.ts';
import { download, openRun, pauseTraining, removeRun, rereadRun, resumeTraining, stopTraining, train } from '../actions.ts';
import type { RunView, TableView } from '../protocol.ts';
import { goTo, hrefOf } from '../route.ts';
import { active, device, ended, revision, run } from '../state.ts';
import { Chart } from '../ui/chart.tsx';
import { ConfirmButton } from '../ui/confirm.tsx';
import { curvesOf, METRICS, type Metric } from './curves.ts';
import { stateText } from './run-list.tsx';

/** Milliseconds between two looks at a run of another tab. */
const WATCH_MS = 3000;
/** Samples of a prompt that are shown: the first and the last of these. */
const MOST_SAMPLES = 6;

function Controls({ shown, elsewhere }: { readonly shown: RunView; readonly elsewhere: boolean }) {
  const now = active.value?.name === shown.name ? active.value : null;
  const packing = useSignal(false);
  const { name, state } = shown;
  const pack = async (what: 'model' | 'run'): Promise<void> => {
    packing.value = true;
    await download(name, what);
    packing.value = false;
  };
  if (now) {
    const stopping = now.phase === 'stopping';
    return (
      <div class="buttons">
        {now.phase === 'paused' ? (
          <button type="button" id="pause" class="primary" onClick={() => void resumeTraining()}>
            Resume
          </button>
        ) : (
          <button type="button" id="pause" disabled={stopping} onClick={() => void pauseTraining()}>
            Pause
          </button>
        )}
        <button type="button" id="stop" disabled={stopping} onClick={() => void stopTraining()}>
          Stop and save
        </button>
      </div>
    );
  }
  return (
    <div class="buttons">
      {state !== 'finished' && (
        <button
          type="button"
          id="resume"
          class="primary"
          disabled={elsewhere || active.value !== null || device.value === null || device.value === 'none'}
          onClick={() => void train(name, null)}
        >
          Resume
        </button>
      )}
      {state === 'finished' && (
        <>
          <a class="button primary" href={hrefOf('chat', `runs/${name}/model`)}>
            Talk to it
          </a>
          <button type="button" id="export" disabled={packing.value} onClick={() => void pack('model')}>
            {packing.value ? 'Packing…' : 'Download the model'}
          </button>
        </>
      )}
      <button type="button" id="export-run" disabled={packing.value || elsewhere} onClick={() => void pack('run')}>
        Download the run
      </button>
      <ConfirmButton
        label="Delete…"
        title={`Delete ${name}?`}
        text="Its checkpoints, logs and models are removed from this browser."
        yes="Delete"
        no="Keep it"
        disabled={elsewhere}
        onYes={() => {
          goTo('train');
          void removeRun(name);
        }}
      />
    </div>
  );
}

/** The line that is read out when it changes: never a counter. */
function stateLine(shown: RunView, elsewhere: boolean): string {
  const now = active.value?.name === shown.name ? active.value : null;
  if (now?.phase === 'stopping') return 'Finishing the step under way, then saving…';
  if (now?.phase === 'paused') return 'Paused after a step. All of it stays on the device; stop to save and close the tab.';
  if (now) return `${now.work.charAt(0).toUpperCase()}${now.work.slice(1)}…`;
  if (elsewhere) return 'Another tab is training this run: here you can watch, and change nothing.';
  if (ended.value?.name === shown.name) return ended.value.text;
  if (shown.state === 'finished') return 'Finished.';
  return `${stateText(shown)}: Resume goes on from the last save.`;
}

function Figures({ shown }: { readonly shown: RunView }) {
  const now = active.value?.name === shown.name ? active.value : null;
  const recent = shown.stages.flatMap(({ points }) => points).at(-1);
  const rows: (readonly [id: string, name: string, value: string])[] = [
    ['stage', 'Stage', now?.stage ?? '–'],
    ['step', 'Step', now?.stage ? `${now.step} of ${now.steps}` : shown.steps > 0 && !now ? `${shown.done} of ${shown.steps}` : '–'],
    ['loss', 'Loss, nats a token', recent ? recent.loss.toFixed(3) : '–'],
    ['speed', 'Speed', recent ? `${Math.round(recent.tokensPerSecond)} tokens/s` : '–'],
    ['eta', 'Left of this stage', now?.secondsLeft === null || now?.secondsLeft === undefined ? '–' : formatDuration(now.secondsLeft)],
    [
      'memory',
      'Device memory',
      now?.deviceBytes ? `${formatBytes(now.deviceBytes)}${now.plannedBytes ? ` (planned ${formatBytes(now.plannedBytes)})` : ''}` : '–',
    ],
    ['saved', 'Saved', now ? (now.saved ?? 'not yet in this sitting') : shown.done > 0 ? 'yes' : '–'],
  ];
  return (
    <dl id="figures">
      {rows.map(([id, name, value]) => (
        <div key={id}>
          <dt>{name}</dt>
          <dd id={`f-${id}`}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Table({ table, id }: { readonly table: TableView; readonly id?: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section class="scroll" tabIndex={0} aria-label={table.title}>
      <table id={id} class="numbers">
        <caption>{table.title}</caption>
        <thead>
          <tr>
            {table.head.map((cell) => (
              <th scope="col" key={cell}>
                {cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row) => (
            <tr key={row[0]}>{row.map((cell, i) => (i === 0 ? <th scope="row">{cell}</th> : <td>{cell}</td>))}</tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Samples({ shown }: { readonly shown: RunView }) {
  const byPrompt = new Map<string, { readonly when: string; readonly text: string }[]>();
  for (const { name, validations } of shown.stages) {
    for (const { step, samples } of validations) {
      for (const { prompt, text } of samples) {
        const list = byPrompt.get(prompt) ?? [];
        list.push({ when: `${name}, step ${step}`, text });
        byPrompt.set(prompt, list);
      }
    }
  }
  if (byPrompt.size === 0) return <p class="soft">Nothing yet: it writes at every look at held-out text, from the injection on.</p>;
  return (
    <div id="samples">
      {[...byPrompt].map(([prompt, all]) => (
        <div key={prompt}>
          <h3 dir="auto">{prompt} …</h3>
          <dl class="samples">
            {(all.length <= MOST_SAMPLES ? all : [all[0], ...all.slice(1 - MOST_SAMPLES)]).map(({ when, text }) => (
              <div key={when}>
                <dt>{when}</dt>
                <dd dir="auto">{text.split('\n')[0] || '(nothing)'}</dd>
              </div>
            ))}
          </dl>
        </div>
      ))}
    </div>
  );
}

export function RunPage({ name }: { readonly name: string }) {
  const metric = useSignal<Metric>('loss');
  const shown = run.value?.name === name ? run.value : null;
  const here = active.value?.name === name;
  const elsewhere = !here && shown?.state === 'running';
  useEffect(() => {
    void openRun(name);
  }, [name]);
  useEffect(() => {
    if (!elsewhere) return;
    const timer = setInterval(() => void rereadRun(name), WATCH_MS);
    return () => clearInterval(timer);
  }, [elsewhere, name]);
  const curves = useMemo(() => shown && curvesOf(shown, metric.value), [revision.value, shown?.name, metric.value]);
  if (!shown || !curves) return <p role="status">Opening {name}…</p>;
  const steps = Math.max(1, curves.end);
  const done = shown.stages.reduce((sum, { points }) => sum + (points.at(-1)?.step ?? -1) + 1, 0);
  const now = here ? active.value : null;
  return (
    <>
      <section aria-labelledby="run-title" class="card">
        <h1 id="run-title">{name}</h1>
        {elsewhere && (
          <p class="note" id="read-only">
            Read-only: another tab is training this run.
          </p>
        )}
        <Controls shown={shown} elsewhere={elsewhere} />
        <p id="state" role="status">
          {stateLine(shown, elsewhere)}
        </p>
        <p class="soft detail">{now?.detail}</p>
        <progress aria-label="Steps done" value={done} max={steps} />
        <Figures shown={shown} />
        {now && now.notes.length > 0 && (
          <ul class="soft">
            {now.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        )}
      </section>
      {shown.tables.length > 0 && (
        <section aria-labelledby="result-title" class="card">
          <h2 id="result-title">Before and after</h2>
          {shown.tables.map((table, i) => (
            <Table key={table.title} table={table} id={`result-${i}`} />
          ))}
        </section>
      )}
      <div class="pair">
        <section aria-labelledby="held-title" class="card chart">
          <h2 id="held-title">
            Held-out text, bits per byte <small>lower is better</small>
          </h2>
          <Chart id="held" title="Bits per byte of held-out text" x={curves.heldX} lines={curves.held} borders={curves.borders} end={curves.end} />
        </section>
        <section aria-labelledby="trained-title" class="card chart">
          <h2 id="trained-title">
            Training{' '}
            <select
              aria-label="What is drawn of each step"
              value={metric.value}
              onChange={(event) => {
                metric.value = event.currentTarget.value as Metric;
              }}
            >
              {Object.entries(METRICS).map(([key, { label }]) => (
                <option key={key} value={key}>
                  {label}
                </option>
              ))}
            </select>
          </h2>
          <Chart
            id="trained"
            title={METRICS[metric.value].label}
            x={curves.x}
            lines={curves.trained}
            borders={curves.borders}
            end={curves.end}
            digits={METRICS[metric.value].digits}
          />
        </section>
      </div>
      <section aria-labelledby="samples-title" class="card">
        <h2 id="samples-title">What it writes</h2>
        <Samples shown={shown} />
      </section>
      <section class="card">
        <details>
          <summary>The recipe of this run</summary>
          <pre>{shown.recipe}</pre>
        </details>
      </section>
    </>
  );
}
