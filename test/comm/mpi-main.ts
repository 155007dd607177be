/**
 * A rank of an MPI job: runs the program of collectives, or one of the ways to go wrong, and prints what came of it as one JSON line.
 * `mpi-main.ts DATA`, started by an MPI launcher in Node or in Deno.
 */
import { Sha256 } from '../../src/base/sha256.ts';
import { agree } from '../../src/comm/agree.ts';
import { allReduceSum } from '../../src/comm/collectives.ts';
import { mpiTransport } from '../../src/comm/mpi.ts';
import type { Transport } from '../../src/comm/types.ts';
import { host, terminal } from '../../src/host/index.ts';
import { contribution, program } from './program.ts';

export interface MpiData {
  readonly seed: number;
  readonly big?: number;
  readonly silenceMs?: number;
  /** Says its process id and works until something ends it. */
  readonly endless?: boolean;
  /** Compares settings first; the rank named in SCION_TEST_RANK has another seed. */
  readonly settings?: boolean;
  /** A run of steps that saves to this folder after each, and goes on from there. */
  readonly run?: { readonly folder: string; readonly steps: number; readonly stepMs: number };
}

const machine = await host();
const term = await terminal();
const data = JSON.parse(term.args[0]) as MpiData;
const transport = await mpiTransport(machine, { silenceMs: data.silenceMs, onStuck: (error) => term.err(`${error.message}\n`) });
const { rank } = transport;
const say = (fields: object): void => term.out(`${JSON.stringify({ rank, ...fields })}\n`);

/** Each step adds the sum over ranks of something that depends on state, rank and step; rank 0 keeps the state. */
async function run(t: Transport, { folder, steps, stepMs }: NonNullable<MpiData['run']>): Promise<string> {
  const path = `${folder}/state`;
  const count = 5003;
  const bytes = new Uint8Array(4 * (count + 1));
  const state = new Float32Array(bytes.buffer, 4);
  const step = new Uint32Array(bytes.buffer, 0, 1);
  if ((await machine.files.stat(path)) !== null) bytes.set(await machine.files.read(path));
  await agree(t, { step: step[0] });
  say({ from: step[0], pid: machine.pid });
  while (step[0] < steps) {
    const part = contribution(step[0], t.rank, count).map((value, i) => value + 0.01 * state[i]);
    await allReduceSum(t, part);
    for (let i = 0; i < count; i++) state[i] += part[i];
    step[0]++;
    if (t.rank === 0) {
      await machine.files.write(`${path}.tmp`, bytes);
      await machine.files.rename(`${path}.tmp`, path);
    }
    await t.barrier();
    await machine.sleep(stepMs);
  }
  const hash = new Sha256();
  hash.update(bytes);
  return hash.hex();
}

try {
  if (data.settings) await agree(transport, { version: '1', optimizer: { seed: machine.env('SCION_TEST_RANK') === String(rank) ? 8 : 7 } });
  if (data.endless) {
    say({ pid: machine.pid });
    for (;;) await program(transport, data);
  }
  if (data.run) say({ digest: await run(transport, data.run) });
  else say({ ...(await program(transport, data)), library: transport.library });
} catch (error) {
  // As the command line does: the message, and an exit without MPI's end, at which the launcher ends the others.
  term.err(`${(error as Error).message}\n`);
  term.exit(2);
}
await transport.close();
