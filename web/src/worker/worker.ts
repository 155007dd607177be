/**
 * The page's Worker: every request, answered by the file that knows how. The page starts it twice, for training and for the rest. What is not needed to show the
 * first view is loaded when it is first asked for.
 */
import * as Comlink from 'comlink';
import type { ScionWorker } from '../protocol.ts';
import { answering } from './answer.ts';
import { deviceView, peakOf } from './device.ts';

const runs = () => import('./runs.ts');
const train = () => import('./train.ts');
const talk = () => import('./talk.ts');
const words = () => import('./words.ts');
const kernels = () => import('./kernels.ts');

const worker: ScionWorker = {
  device: () => answering(deviceView),
  peak: () => answering(peakOf),
  storage: () => answering(async () => (await runs()).storageView()),
  runs: () => answering(async () => (await runs()).listRuns()),
  view: (name) => answering(async () => (await runs()).viewRun(name)),
  remove: (name) => answering(async () => (await runs()).removeRun(name)),
  recipe: (choice) => answering(async () => (await train()).chosenRecipe(choice)),
  plan: (recipe, measured) => answering(async () => (await train()).planRecipe(recipe, measured)),
  addFile: (name, content) => answering(async () => (await train()).addFile(name, content)),
  run: (name, recipe, listen) => answering(async () => (await train()).runRecipeHere(name, recipe, listen)),
  pause: async () => (await train()).pause(),
  resume: async () => (await train()).resume(),
  stop: async () => (await train()).requestStop(),
  exportZip: (name, what) => answering(async () => (await import('./zip.ts')).exportZip(name, what)),
  models: () => answering(async () => (await talk()).modelPlaces()),
  tokenizers: () => answering(async () => (await words()).tokenizerPlaces()),
  tokenise: (path, text) => answering(async () => (await words()).tokenise(path, text)),
  openModel: (path) => answering(async () => (await talk()).openModelAt(path)),
  write: (prompt, options, listen) => answering(async () => (await talk()).write(prompt, options, listen)),
  stopWriting: async () => (await talk()).stopWriting(),
  closeModel: () => answering(async () => (await talk()).closeModel()),
  kernels: () => answering(async () => (await kernels()).kernelViews()),
  compileKernel: (draft) => answering(async () => (await kernels()).compileKernel(draft)),
  runKernel: (draft, listen) => answering(async () => (await kernels()).runKernel(draft, listen)),
  roofs: () => answering(async () => (await kernels()).measureRoofs()),
  trainWith: (draft) => answering(async () => (await kernels()).trainWith(draft)),
};

Comlink.expose(worker);
