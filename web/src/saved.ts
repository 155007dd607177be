/**
 * What the page keeps in the origin's private files: one run folder as the command line writes it, and beside its logs
 * the answers to the prompts. Everything shown after a reload is read back from there.
 */
import { type HostFiles, host, type SampleSize } from '../../src/index.ts';
import type { Answers, Outlook, Point } from './protocol.ts';

/** The page's run folder. */
export const RUN_DIR = '/runs/sample';
const ANSWERS = `${RUN_DIR}/answers.json`;

/** Whether this browser gives the page files at all (private windows of some do not). */
export async function hasStorage(): Promise<boolean> {
  try {
    const { files, pid } = await host();
    const probe = `/probe-${pid}`;
    await files.write(probe, new Uint8Array(1));
    await files.remove(probe);
    return true;
  } catch {
    return false;
  }
}

/** A JSON file's content; null if it is missing or broken. */
async function readJson(files: HostFiles, path: string): Promise<unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(await files.read(path)));
  } catch {
    return null;
  }
}

const SIZE_FIELDS: readonly (keyof SampleSize)[] = [
  'vocabulary',
  'hidden',
  'intermediate',
  'layers',
  'heads',
  'tokens',
  'batch',
  'steps',
  'peakRate',
  'validation',
];

/** The run that a resume would go on with. */
export async function savedRun(): Promise<Outlook['saved']> {
  const { files } = await host();
  const size = ((await readJson(files, `${RUN_DIR}/config.json`)) as { size?: SampleSize } | null)?.size;
  if (!size || !SIZE_FIELDS.every((name) => typeof size[name] === 'number')) return null;
  const folder = `${RUN_DIR}/checkpoints`;
  if ((await files.stat(folder)) === null) return null;
  const steps = (await files.list(folder)).flatMap(({ name }) => /^step-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  return steps.length === 0 ? null : { size, step: Math.max(...steps) };
}

/** Deletes the run. The caller makes sure that no other tab is using it. */
export async function clearRun(): Promise<void> {
  await (await host()).files.remove(RUN_DIR);
}

interface KeptAnswers {
  readonly before: Answers | null;
  readonly latest: Answers | null;
}

export async function keepAnswers(answers: KeptAnswers): Promise<void> {
  await (await host()).files.write(ANSWERS, new TextEncoder().encode(JSON.stringify(answers)));
}

export async function readAnswers(which: keyof KeptAnswers): Promise<Answers | null> {
  return ((await readJson((await host()).files, ANSWERS)) as KeptAnswers | null)?.[which] ?? null;
}

/** The curves from the run's log: training loss (nats) and held-out bits per byte, both up to `step`; what came later was lost and is run again. */
export async function readHistory(step: number): Promise<{ train: Point[]; held: Point[] }> {
  const { files } = await host();
  const path = `${RUN_DIR}/log.jsonl`;
  const train = new Map<number, number>();
  const held = new Map<number, number>();
  if (step === 0 || (await files.stat(path)) === null) return { train: [], held: [] };
  for (const line of new TextDecoder().decode(await files.read(path)).split('\n')) {
    let event: { event?: string; step?: number; loss?: number; bitsPerByte?: number };
    try {
      event = JSON.parse(line) as typeof event;
    } catch {
      // The last line of a run that was cut off.
      continue;
    }
    if (event.step === undefined) continue;
    if (event.event === 'step' && event.step < step && event.loss !== undefined) train.set(event.step, event.loss);
    if (event.event === 'validation' && event.step <= step && event.bitsPerByte !== undefined) held.set(event.step, event.bitsPerByte);
  }
  const sorted = (points: Map<number, number>): Point[] => [...points].sort(([a], [b]) => a - b);
  return { train: sorted(train), held: sorted(held) };
}
