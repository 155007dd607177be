/**
 * A new run: the sample, or the visitor's own text; a recipe made of the choice, which may be changed by hand; what it would take on this device,
 * before anything starts.
 */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { formatBytes, formatDuration, formatSi } from '../../../src/index.ts';
import { train } from '../actions.ts';
import type { Failure, PlanView } from '../protocol.ts';
import { active, device, runs, storage } from '../state.ts';
import { ask, askOrShow, desk } from '../workers.ts';

type Kind = 'quick' | 'whole' | 'own';
/** Steps of the short run, all stages together: half a minute on a GPU, a few minutes on a CPU. */
const QUICK_STEPS = 400;
/** Milliseconds after the last key before a recipe is planned. */
const PLAN_AFTER_MS = 500;

/** A name that no run has yet. */
function freeName(base: string): string {
  const taken = new Set((runs.value ?? []).map(({ name }) => name));
  for (let n = 1; ; n++) {
    const name = n === 1 ? base : `${base}-${n}`;
    if (!taken.has(name)) return name;
  }
}

export function PlanTable({ plan }: { readonly plan: PlanView }) {
  const stuck = plan.stages.filter(({ problem }) => problem !== null);
  const full = plan.free !== null && plan.storage > plan.free;
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section class="scroll" tabIndex={0} aria-label="Plan by stage">
        <table id="plan">
          <thead>
            <tr>
              <th scope="col">Stage</th>
              <th scope="col">Steps</th>
              <th scope="col">Tokens</th>
              <th scope="col">Device memory</th>
              <th scope="col">Time, at least</th>
            </tr>
          </thead>
          <tbody>
            {plan.stages.map((stage) => (
              <tr key={stage.name}>
                <th scope="row">{stage.name}</th>
                <td>{stage.steps}</td>
                <td>{formatSi(stage.tokens)}</td>
                <td>{stage.bytes === null ? '–' : formatBytes(stage.bytes)}</td>
                <td>{stage.seconds === null ? '–' : formatDuration(stage.seconds)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <p class="soft" id="plan-words">
        {formatSi(plan.parameters)} parameters, {plan.vocabulary} pieces.{' '}
        {plan.seconds !== null && `At least ${formatDuration(plan.seconds)} of arithmetic at the measured peak of this device. `}
        About {formatBytes(plan.storage)} of files{plan.free !== null && `, ${formatBytes(plan.free)} are free`}.
      </p>
      {stuck.map(({ name, problem, remedy }) => (
        <p class="bad" key={name}>
          {name} does not fit: {problem}
          {remedy !== null && ` It would fit with ${remedy}`}
        </p>
      ))}
      {full && <p class="bad">There may not be room for its files: delete old runs first.</p>}
    </>
  );
}

export function NewRun() {
  const kind = useSignal<Kind | null>(null);
  const compare = useSignal(false);
  const files = useSignal<readonly string[]>([]);
  const recipe = useSignal('');
  const plan = useSignal<PlanView | null>(null);
  const problem = useSignal<Failure | null>(null);
  const name = useSignal('');
  // A CPU device learns the quick size in minutes; a GPU the whole one.
  const chosen: Kind = kind.value ?? (device.value !== null && device.value !== 'none' && !device.value.cpu ? 'whole' : 'quick');
  const suggested = freeName(chosen === 'own' ? 'own' : 'sample');
  const text = recipe.value;
  useEffect(() => {
    void (async () => {
      const made = await askOrShow(
        desk.recipe({
          ...(chosen === 'quick' ? { steps: QUICK_STEPS } : {}),
          quick: chosen === 'quick',
          compare: compare.value,
          data: chosen === 'own' ? files.value : [],
        }),
      );
      if (made !== null && !(chosen === 'own' && files.value.length === 0)) recipe.value = made;
    })();
  }, [chosen, compare.value, files.value]);

  useEffect(() => {
    plan.value = null;
    problem.value = null;
    if (text === '' || device.value === null || device.value === 'none') return;
    const timer = setTimeout(() => {
      void (async () => {
        // Whether it fits is known at once; how long it takes only when the device has been measured.
        for (const measured of [false, true]) {
          const found = await ask(desk.plan(text, measured));
          if (recipe.value !== text || active.value !== null) return;
          if (found.ok) plan.value = found.value;
          else problem.value = found.failure;
          if (!found.ok) return;
        }
      })();
    }, PLAN_AFTER_MS);
    return () => clearTimeout(timer);
  }, [text, device.value, plan, problem, recipe]);

  const add = async (list: FileList | null | undefined): Promise<void> => {
    const added: string[] = [];
    for (const file of list ?? []) {
      const path = await askOrShow(desk.addFile(file.name, file));
      if (path !== null) added.push(path);
    }
    if (added.length > 0) {
      files.value = [...new Set([...files.value, ...added])];
      kind.value = 'own';
    }
  };
  const option = (value: Kind, label: string, words: string) => (
    <label class="choice">
      <input
        type="radio"
        name="kind"
        value={value}
        checked={chosen === value}
        onChange={() => {
          kind.value = value;
        }}
      />
      <span>
        <b>{label}</b>
        <small>{words}</small>
      </span>
    </label>
  );
  const noRoom = storage.value === 'none';
  const ready =
    device.value !== null &&
    device.value !== 'none' &&
    !noRoom &&
    active.value === null &&
    text !== '' &&
    problem.value === null &&
    !(chosen === 'own' && files.value.length === 0);
  return (
    <section aria-labelledby="new-title" class="card">
      <h1 id="new-title">Train: the whole graft</h1>
      <p class="soft">
        A tiny base learns English; its vocabulary gets Chinese pieces, whose rows begin as the mean of what they were spelt with; Chinese facts are injected;
        English is replayed. Questions are asked before and after.
      </p>
      <form
        id="new"
        onSubmit={(event) => {
          event.preventDefault();
          void train(name.value.trim() || suggested, text);
        }}
      >
        <fieldset class="choices">
          <legend class="unseen">What to train on</legend>
          {option('quick', 'Sample, quick', 'a smaller model and fewer steps: a look at how it goes')}
          {option('whole', 'Sample, whole', 'what npm start runs: it learns to answer')}
          {option('own', 'Your own text', 'in place of the Chinese: text, Markdown, JSONL, Parquet')}
        </fieldset>
        <label
          class="drop"
          onDragOver={(event) => event.preventDefault()}
          onDrop={(event) => {
            event.preventDefault();
            void add(event.dataTransfer?.files);
          }}
        >
          Drop files here, or choose them
          <input type="file" multiple onChange={(event) => void add(event.currentTarget.files)} />
          {files.value.length > 0 && <span id="files">{files.value.map((path) => path.split('/').at(-1)).join(', ')}</span>}
        </label>
        <label>
          <input
            type="checkbox"
            checked={compare.value}
            onChange={(event) => {
              compare.value = event.currentTarget.checked;
            }}
          />{' '}
          also without replay, to see what is forgotten
        </label>
        <details>
          <summary>The recipe, to read and to change</summary>
          <label class="unseen" for="recipe">
            Recipe, YAML
          </label>
          <textarea
            id="recipe"
            rows={16}
            spellcheck={false}
            value={text}
            onInput={(event) => {
              recipe.value = event.currentTarget.value;
            }}
          />
        </details>
        <div class="buttons">
          <label>
            Name{' '}
            <input
              id="name"
              type="text"
              pattern="[a-z0-9][a-z0-9\-]{0,40}"
              title="a to z, 0 to 9 and -"
              placeholder={suggested}
              value={name.value}
              onInput={(event) => {
                name.value = event.currentTarget.value;
              }}
            />
          </label>
          <button type="submit" id="start" class="primary" disabled={!ready}>
            Start
          </button>
        </div>
      </form>
      <p id="state" role="status">
        {device.value === null
          ? 'Looking for a WebGPU device…'
          : device.value === 'none'
            ? 'Cannot train here.'
            : active.value !== null
              ? 'A run is under way; one at a time.'
              : problem.value !== null
                ? 'This recipe cannot run as it is.'
                : plan.value === null
                  ? `On ${device.value.name}. Planning…`
                  : `Ready, on ${device.value.name}.`}
      </p>
      {problem.value && (
        <p class="bad message" id="problem">
          {problem.value.message}
        </p>
      )}
      {plan.value && <PlanTable plan={plan.value} />}
    </section>
  );
}
