/** The same text under two tokenizers side by side: where each one cuts, what falls to single bytes, and the counts that follow. */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Failure, Place, Tokenised } from '../protocol.ts';
import { hrefOf } from '../route.ts';
import { ask, askOrShow, desk } from '../workers.ts';

const FIRST_TEXT = 'The capital of France is Paris.\n中国的首都是北京。法国的首都是巴黎。';
/** Milliseconds after the last key before a text is cut. */
const CUT_AFTER_MS = 150;
/** Pieces that are drawn; counts are of all. */
const MOST_SHOWN = 3000;

function Pieces({ cut }: { readonly cut: Tokenised }) {
  return (
    <p class="pieces" dir="auto">
      {cut.pieces.slice(0, MOST_SHOWN).map(({ id, piece, text, bytes }, i) => (
        <span key={i} class={bytes ? 'byte' : `p${i % 4}`} title={`${piece} · id ${id}`}>
          {bytes ? piece.replace(/^<0x(..)>$/, '$1') : text.replaceAll('\n', '⏎\n') || piece}
        </span>
      ))}
      {cut.pieces.length > MOST_SHOWN && <span class="soft"> … and {cut.pieces.length - MOST_SHOWN} more</span>}
    </p>
  );
}

function Side({ side, places, text, start }: { readonly side: string; readonly places: readonly Place[]; readonly text: string; readonly start: number }) {
  const path = useSignal(places[Math.min(start, places.length - 1)].path);
  const cut = useSignal<Tokenised | null>(null);
  const problem = useSignal<Failure | null>(null);
  const chosen = path.value;
  useEffect(() => {
    const timer = setTimeout(() => {
      void ask(desk.tokenise(chosen, text)).then((found) => {
        problem.value = found.ok ? null : found.failure;
        if (found.ok && path.value === chosen) cut.value = found.value;
      });
    }, CUT_AFTER_MS);
    return () => clearTimeout(timer);
  }, [chosen, text, cut, path, problem]);
  const made = cut.value;
  return (
    <section class="card" aria-label={`Tokenizer ${side}`} id={`side-${side}`}>
      <label>
        <span class="unseen">Tokenizer {side}</span>
        <select
          value={chosen}
          onChange={(event) => {
            path.value = event.currentTarget.value;
          }}
        >
          {places.map((place) => (
            <option key={place.path} value={place.path}>
              {place.label}
            </option>
          ))}
        </select>
      </label>
      {problem.value && <p class="bad">{problem.value.message}</p>}
      {made && (
        <>
          <dl class="counts">
            <div>
              <dt>Tokens</dt>
              <dd class="tokens">{made.tokens}</dd>
            </div>
            <div>
              <dt>Characters a token</dt>
              <dd>{made.tokens > 0 ? (made.characters / made.tokens).toFixed(2) : '–'}</dd>
            </div>
            <div>
              <dt>Tokens that are bytes</dt>
              <dd class="byte-tokens">
                {made.byteTokens} {made.tokens > 0 && `(${Math.round((100 * made.byteTokens) / made.tokens)} %)`}
              </dd>
            </div>
            <div>
              <dt>Vocabulary</dt>
              <dd>{made.vocabulary}</dd>
            </div>
          </dl>
          <Pieces cut={made} />
        </>
      )}
    </section>
  );
}

export function VocabularyView() {
  const places = useSignal<readonly Place[] | null>(null);
  const text = useSignal(FIRST_TEXT);
  useEffect(() => {
    void askOrShow(desk.tokenizers()).then((found) => {
      places.value = found ?? [];
    });
  }, [places]);
  const list = places.value;
  if (list === null) return <p role="status">Looking for tokenizers…</p>;
  return (
    <>
      <section class="card" aria-labelledby="vocabulary-title">
        <h1 id="vocabulary-title">Vocabulary</h1>
        <p class="soft">
          Where a tokenizer has no piece for a character, the character falls to bytes: several tokens each. New pieces are what the graft gives it.
        </p>
        <label for="text">Text</label>
        <textarea
          id="text"
          rows={4}
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
        />
      </section>
      {list.length === 0 ? (
        <p class="note">
          No tokenizer here yet. <a href={hrefOf('train')}>Start a run</a>: its vocabularies are learnt in the first minute and can be compared here meanwhile.
        </p>
      ) : (
        <div class="pair">
          <Side side="left" places={list} text={text.value} start={0} />
          <Side side="right" places={list} text={text.value} start={1} />
        </div>
      )}
    </>
  );
}
