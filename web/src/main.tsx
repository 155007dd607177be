/** Starts the page: draws it, and looks for a device and for runs of earlier visits. */
import { render } from 'preact';
import { lookForDevice, refreshRuns } from './actions.ts';
import { App } from './app.tsx';

const root = document.getElementById('app');
if (root) render(<App />, root);
// One after the other: the list of runs is there at once, the device takes a second to measure.
void refreshRuns().then(lookForDevice);
