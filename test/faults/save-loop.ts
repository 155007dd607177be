/**
 * A process to be killed: saves checkpoints of made-up states one after the other, for ever, and says
 * when each is done. `save-loop.ts FOLDER LAST [N]`: continues behind step LAST; with N it kills itself at the
 * N-th operation of its first save.
 */
import { recoverCheckpoints } from '../../src/checkpoint/folders.ts';
import { saveCheckpoint } from '../../src/checkpoint/save.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { smallStates, storeAt } from './fake-store.ts';
import { FaultFiles } from './fault-files.ts';

const [folder, last, at] = process.argv.slice(2);
const states = smallStates();
const files = new FaultFiles(posixFiles, at === undefined ? null : { at: Number(at), kind: 'kill' });
await recoverCheckpoints(posixFiles, folder);
process.stdout.write('start\n');
for (let step = Number(last) + 1; ; step++) {
  const trainer = { step, note: '' };
  await saveCheckpoint(files, folder, {
    session: storeAt(states, step),
    states,
    step,
    trainer,
    meta: { tokens: 0, configHash: '', version: '', adapter: '', kernels: {} },
    runId: 'loop',
  });
  process.stdout.write(`saved ${step}\n`);
}
