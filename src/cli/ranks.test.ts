/** Which adapter a rank opens, by flags and by what launchers say. */
import { expect, it } from 'vitest';
import type { Host } from '../host/index.ts';
import { Flags } from './flags.ts';
import { adapterOf } from './ranks.ts';

const machine = (variables: Readonly<Record<string, string>>): Host => ({ env: (name: string) => variables[name] }) as unknown as Host;
const none = new Flags(new Map(), []);
const mpi = { kind: 'mpi', rank: 6 } as const;

it('a rank takes the adapter at its number on its machine, over and over', () => {
  const SCION_ADAPTERS = 'RTX 3090; RTX 4090 ;A6000;';
  for (const [variable, value, wanted] of [
    ['OMPI_COMM_WORLD_LOCAL_RANK', '0', 'RTX 3090'],
    ['MPI_LOCALRANKID', '1', 'RTX 4090'],
    ['PALS_LOCAL_RANKID', '2', 'A6000'],
    ['SLURM_LOCALID', '4', 'RTX 4090'],
  ]) {
    expect(adapterOf(machine({ SCION_ADAPTERS, [variable]: value }), none, mpi)).toBe(wanted);
  }
  expect(adapterOf(machine({ SCION_ADAPTERS }), none, { kind: 'mpi', rank: 5 })).toBe('A6000');
  // Workers are numbered themselves, whatever started their process.
  expect(adapterOf(machine({ SCION_ADAPTERS, SLURM_LOCALID: '0' }), none, { kind: 'threads', rank: 1 })).toBe('RTX 4090');
  expect(adapterOf(machine({ SCION_ADAPTERS }), none, undefined)).toBe('RTX 3090');
});

it('--device stands over the list, and without either the machine chooses', () => {
  expect(adapterOf(machine({ SCION_ADAPTERS: 'a;b' }), new Flags(new Map([['device', 'llvmpipe']]), []), mpi)).toBe('llvmpipe');
  expect(adapterOf(machine({ SLURM_LOCALID: '3' }), none, mpi)).toBeUndefined();
  expect(adapterOf(machine({ SCION_ADAPTERS: ' ; ' }), none, mpi)).toBeUndefined();
});
