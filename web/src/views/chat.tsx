/**
 * Writing with a model of this browser: a beginning is continued token by token, with sampling controls; every token shows on hover or focus
 * what else it might have been. What a model writes is shown as text and never as markup.
 */

import { useSignal } from '@preact/signals';
import * as Comlink from 'comlink';
import { useEffect } from 'preact/hooks';
import { formatBytes, formatSi } from '../../../src/index.ts';
import type { ChosenToken, ModelView, Place, WriteOptions } from '../protocol.ts';
import { goTo, hrefOf, route } from '../route.ts';
import { device, failure } from '../state.ts';
import { ask, askOrShow, desk } from '../workers.ts';

const FIRST: WriteOptions = { maxNewTokens: 48, temperature: 0.7, topK: 0, topP: 0.9, repetitionPenalty: 1, seed: 0 };

interface Control {
  readonly key: 'maxNewTokens' | 'temperature' | 'topK' | 'topP' | 'repetitionPenalty' | 'seed';
  readonly label: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
}
const CONTROLS: readonly Control[] = [
  { key: 'temperature', label: 'Temperature (0: the likeliest)', min: 0, max: 2, step: 0.05 },
  { key: 'topP', label: 'Top p', min: 0.05, max: 1, step: 0.05 },
  { key: 'topK', label: 'Top k (0: all)', min: 0, max: 200, step: 1 },
  { key: 'repetitionPenalty', label: 'Repetition penalty', min: 1, max: 2, step: 0.05 },
  { key: 'maxNewTokens', label: 'Tokens at most', min: 1, max: 512, step: 1 },
  { key: 'seed', label: 'Seed', min: 0, max: 99999, step: 1 },
];

const percent = (p: number): string => `${(100 * p).toFixed(p < 0.0995 ? 1 : 0)} %`;

function Alternatives({ token }: { readonly token: ChosenToken | null }) {
  return (
    <aside class="alternatives" aria-label="What else it might have been">
      {token === null || token.id < 0 ? (
        <p class="soft">Point at a word it wrote, or reach it with Tab, to see what else it might have been.</p>
      ) : (
        <>
          <p>
            <code>{token.piece}</code> had {percent(token.probability)}
          </p>
          <ol id="alternatives">
            {token.top.map(({ piece, probability }) => (
              <li key={piece} class={piece === token.piece ? 'right' : ''}>
                <code>{piece}</code>
                <meter min={0} max={1} value={probability} aria-label={piece} />
                <span>{percent(probability)}</span>
              </li>
            ))}
          </ol>
        </>
      )}
    </aside>
  );
}

export function ChatView() {
  const places = useSignal<readonly Place[] | null>(null);
  const model = useSignal<ModelView | null>(null);
  const opening = useSignal(false);
  const prompt = useSignal('The capital of France is');
  const begun = useSignal('');
  const tokens = useSignal<readonly ChosenToken[]>([]);
  const pointed = useSignal<ChosenToken | null>(null);
  const writing = useSignal(false);
  const options = useSignal<WriteOptions>(FIRST);
  const { rest } = route.value;
  useEffect(() => {
    void askOrShow(desk.models()).then((found) => {
      places.value = found ?? [];
    });
  }, [places]);
  const list = places.value;
  const wanted = rest === '' ? (list?.[0]?.path ?? null) : `/${rest}`;
  const known = wanted !== null && (list?.some(({ path }) => path === wanted) ?? false);
  useEffect(() => {
    if (!known || wanted === null || device.value === 'none') return;
    opening.value = true;
    void askOrShow(desk.openModel(wanted)).then((found) => {
      opening.value = false;
      model.value = found;
    });
    return () => {
      void desk.stopWriting();
    };
  }, [wanted, known, model, opening]);
  if (list === null) return <p role="status">Looking for models…</p>;
  if (list.length === 0)
    return (
      <section class="card">
        <h1>Evaluate & chat</h1>
        <p class="note">
          No model here yet. <a href={hrefOf('train')}>Train one</a>: as soon as a stage has saved, it can be talked to.
        </p>
      </section>
    );
  const write = async (): Promise<void> => {
    writing.value = true;
    begun.value = prompt.value;
    tokens.value = [];
    pointed.value = null;
    // Tokens come one by one, faster than a screen; they are drawn once a frame.
    let waiting: ChosenToken[] = [];
    let frame = 0;
    const draw = (): void => {
      frame = 0;
      tokens.value = [...tokens.value, ...waiting];
      waiting = [];
    };
    const outcome = await ask(
      desk.write(
        prompt.value,
        options.value,
        Comlink.proxy((token: ChosenToken) => {
          waiting.push(token);
          frame ||= requestAnimationFrame(draw);
        }),
      ),
    );
    cancelAnimationFrame(frame);
    draw();
    writing.value = false;
    if (!outcome.ok) failure.value = outcome.failure;
  };
  return (
    <section class="card" aria-labelledby="chat-title">
      <h1 id="chat-title">Evaluate & chat</h1>
      <div class="buttons">
        <label>
          Model{' '}
          <select id="model" value={wanted ?? ''} onChange={(event) => goTo('chat', event.currentTarget.value.slice(1))}>
            {list.map(({ path, label }) => (
              <option key={path} value={path}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <p class="soft" role="status" id="model-state">
          {opening.value
            ? 'Opening…'
            : model.value
              ? `${formatSi(model.value.parameters)} parameters, reads ${model.value.capacity} tokens, ${formatBytes(model.value.bytes)} on the device`
              : known
                ? ''
                : 'There is no such model here.'}
        </p>
      </div>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!writing.value) void write();
        }}
      >
        <label for="prompt" class="wide">
          A beginning
        </label>
        <textarea
          id="prompt"
          rows={2}
          required
          value={prompt.value}
          onInput={(event) => {
            prompt.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
              event.preventDefault();
              event.currentTarget.form?.requestSubmit();
            }
          }}
        />
        <div class="buttons">
          {writing.value ? (
            <button type="button" id="write" onClick={() => void desk.stopWriting()}>
              Stop
            </button>
          ) : (
            <button type="submit" id="write" class="primary" disabled={model.value === null || opening.value}>
              Write on
            </button>
          )}
        </div>
        <fieldset class="controls">
          <legend>How tokens are chosen</legend>
          {CONTROLS.map(({ key, label, min, max, step }) => (
            <label key={key}>
              {label}
              <input
                type="number"
                id={`o-${key}`}
                min={min}
                max={max}
                step={step}
                value={options.value[key]}
                onInput={(event) => {
                  const value = event.currentTarget.valueAsNumber;
                  if (Number.isFinite(value)) options.value = { ...options.value, [key]: value };
                }}
              />
            </label>
          ))}
        </fieldset>
      </form>
      <div class="pair written">
        <p id="written" dir="auto" aria-live={writing.value ? 'off' : 'polite'}>
          <b>{begun.value}</b>
          {tokens.value.map((token, i) => (
            // biome-ignore lint/a11y/noStaticElementInteractions: text to read; pointing at it only shows more beside it
            <span
              key={i}
              // biome-ignore lint/a11y/noNoninteractiveTabindex: its alternatives must be reachable by keyboard
              tabIndex={0}
              class={token === pointed.value ? 'token pointed' : 'token'}
              style={{ '--chance': String(token.probability) }}
              onMouseEnter={() => {
                pointed.value = token;
              }}
              onFocus={() => {
                pointed.value = token;
              }}
            >
              {token.text}
            </span>
          ))}
        </p>
        <Alternatives token={pointed.value} />
      </div>
    </section>
  );
}
