/** What went wrong, with what can be done about it. */
import { failure } from '../state.ts';

/** Advice by the kind of an error. */
const ADVICE: Readonly<Record<string, { title: string; help: readonly string[] }>> = {
  device: {
    title: 'No WebGPU here',
    help: [
      'Browsers that have it: Chrome and Edge from 113, Safari from 26, Firefox from 141.',
      'The page must come over https, or from localhost.',
      'On Linux, Chrome may want chrome://flags/#enable-unsafe-webgpu and a Vulkan driver.',
      'Without a browser: “npm start” runs the same graft in Node, on a GPU or on the CPU.',
    ],
  },
  lost: { title: 'The GPU went away', help: ['Nothing saved is lost: press Resume to go on from the last save.'] },
  space: { title: 'No room left', help: ['The browser gives a site a share of the disk. Delete old runs below, or free some disk.'] },
  locked: { title: 'In use in another tab', help: ['Only one tab trains a run at a time; here it can be watched.'] },
  numeric: { title: 'The numbers went bad', help: ['Press Resume to go on from the last save, or start another run at a lower rate.'] },
  memory: { title: 'It does not fit', help: ['Take a smaller model, a shorter length or a smaller batch.'] },
  input: { title: 'That cannot run as it is', help: [] },
};

export function FailurePanel() {
  const now = failure.value;
  if (!now) return null;
  const { title, help } = ADVICE[now.kind] ?? { title: 'That went wrong', help: [] };
  return (
    <section class="alert" role="alert" id="alert">
      <h2>{title}</h2>
      <p class="message">{now.message}</p>
      {help.length > 0 && (
        <ul>
          {help.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
      <button
        type="button"
        onClick={() => {
          failure.value = null;
        }}
      >
        Close
      </button>
    </section>
  );
}
