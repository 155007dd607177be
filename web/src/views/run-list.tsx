/** Runs of this browser, with what they take of its storage. */
import { formatBytes } from '../../../src/index.ts';
import { removeRun } from '../actions.ts';
import type { RunEntry } from '../protocol.ts';
import { hrefOf } from '../route.ts';
import { active, runs, storage } from '../state.ts';
import { ConfirmButton } from '../ui/confirm.tsx';

export function stateText({ state, done, steps }: Pick<RunEntry, 'state' | 'done' | 'steps'>): string {
  if (state === 'finished') return 'finished';
  if (state === 'new') return 'begun';
  const far = steps > 0 ? ` at step ${done} of ${steps}` : ` at step ${done}`;
  return state === 'running' ? `training${far}` : `stopped${far}`;
}

export function StorageLine() {
  const now = storage.value;
  if (now === null) return null;
  if (now === 'none')
    return <p class="soft">This browser gives the page no files (a private window, often): runs need them, so nothing can be trained here.</p>;
  return (
    <p class="soft" id="storage">
      {formatBytes(now.used)} used of {formatBytes(now.quota)} that this browser offers{now.persisted ? ', kept until you delete it' : ''}.
    </p>
  );
}

export function RunList() {
  const list = runs.value;
  return (
    <section aria-labelledby="runs-title" class="card">
      <h2 id="runs-title">Runs</h2>
      {list === null ? (
        <p class="soft">Reading…</p>
      ) : list.length === 0 ? (
        <p class="soft">None yet. What you start stays in this browser, and goes on after a reload.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        <section class="scroll" tabIndex={0} aria-labelledby="runs-title">
          <table id="runs">
            <thead>
              <tr>
                <th scope="col">Run</th>
                <th scope="col">State</th>
                <th scope="col">Size</th>
                <th scope="col">Begun</th>
                <th scope="col">
                  <span class="unseen">Delete</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {list.map((entry) => (
                <tr key={entry.name}>
                  <th scope="row">
                    <a href={hrefOf('train', entry.name)}>{entry.name}</a>
                  </th>
                  <td>{stateText(entry)}</td>
                  <td>{formatBytes(entry.bytes)}</td>
                  <td>{new Date(entry.modified).toLocaleString()}</td>
                  <td>
                    <ConfirmButton
                      label="Delete…"
                      described={`Delete ${entry.name}`}
                      title={`Delete ${entry.name}?`}
                      text="Its checkpoints, logs and models are removed from this browser."
                      yes="Delete"
                      no="Keep it"
                      disabled={entry.state === 'running' || active.value?.name === entry.name}
                      onYes={() => void removeRun(entry.name)}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      <StorageLine />
    </section>
  );
}
