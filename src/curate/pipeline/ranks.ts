/**
 * A build on several ranks. The first one leads: it runs the pipeline as one process would, and the workers of its pool are threads of all ranks, reached by
 * messages. Tasks read and write files themselves, so all ranks see one output folder under one path (a shared file system where machines are several); only
 * what tasks are told and signatures of documents (`dedup/section-ranks.ts`) go by the transport. Results do not depend on how many work.
 */
import { gatherText } from '../../comm/agree.ts';
import { receiveMessage, sendMessage } from '../../comm/message.ts';
import type { Transport } from '../../comm/types.ts';
import type { Host, HostWorker } from '../../host/types.ts';
import { CONTROL_TAG, followSection, type SectionCommand, SectionLead, SectionMember } from '../dedup/section-ranks.ts';
import { type PoolReply, type PoolRequest, pipelineWorkers, TaskPool } from './pool.ts';

/** What the first rank says on the line of a worker. `rest`: begin anew before the next task. */
type ToLane = { readonly kind: 'task'; readonly request: PoolRequest } | { readonly kind: 'rest' } | { readonly kind: 'end' };
/** `stop`: this rank was told to stop. */
type FromLane = { readonly reply: PoolReply; readonly stop: boolean };
type Control = SectionCommand | { readonly kind: 'end' };

/** Lines of a rank are tags from 0 on. */
const MOST_LANES = 256;

export interface RankOptions {
  /** Threads of this rank. */
  readonly workers: number;
  /** `requested` turns true where this rank is told to stop, and on the first rank where any is. */
  readonly stop: { requested: boolean };
}

/** The first rank's hold on the others: what `buildData` takes, and how to let them go. */
export interface BuildRanks {
  readonly workers: number;
  readonly spawn: () => HostWorker;
  readonly sections: SectionLead;
  /** Sends the others home; nothing may be under way. */
  end(): Promise<void>;
}

const readyReply: PoolReply = { kind: 'ready' };

/** A thread of another rank, as the pool knows workers. */
class RemoteWorker implements HostWorker {
  readonly #transport: Transport;
  readonly #rank: number;
  readonly #lane: number;
  readonly #stop: { requested: boolean };
  readonly #ended: () => void;
  #greeted = false;

  constructor(transport: Transport, place: { rank: number; lane: number }, stop: { requested: boolean }, ended: () => void) {
    this.#transport = transport;
    this.#rank = place.rank;
    this.#lane = place.lane;
    this.#stop = stop;
    this.#ended = ended;
  }

  post(message: unknown): void {
    // What goes wrong with a send is found by the receive that follows.
    sendMessage(this.#transport, this.#rank, this.#lane, { kind: 'task', request: message }).catch(() => undefined);
  }

  async receive(): Promise<PoolReply> {
    if (!this.#greeted) {
      this.#greeted = true;
      return readyReply;
    }
    const { reply, stop } = (await receiveMessage(this.#transport, this.#rank, this.#lane)) as FromLane;
    if (stop) this.#stop.requested = true;
    return reply;
  }

  async end(): Promise<void> {
    await sendMessage(this.#transport, this.#rank, this.#lane, { kind: 'rest' } satisfies ToLane);
    this.#ended();
  }
}

/** Threads of every rank; collective, and the first thing that ranks of a build do together. */
async function lanesOfAll(transport: Transport, workers: number): Promise<number[]> {
  return (await gatherText(transport, String(Math.min(workers, MOST_LANES)))).map(Number);
}

/** The first rank's part. Collective with `followBuild`; end it. */
export async function leadBuild(host: Host, transport: Transport, { workers, stop }: RankOptions): Promise<BuildRanks> {
  const lanes = await lanesOfAll(transport, workers);
  // One of each rank, then the second of each: a small build is spread over machines.
  const places = Array.from({ length: Math.max(...lanes) }, (_, lane) => lanes.flatMap((many, rank) => (lane < many ? [{ rank, lane }] : []))).flat();
  const free = [...places].reverse();
  const thread = pipelineWorkers(host);
  const sections = new SectionLead(host.files, transport);
  return {
    workers: places.length,
    sections,
    spawn() {
      // The pool has no more workers at once than there are places.
      const place = free.pop() ?? places[0];
      const ended = (): void => {
        free.push(place);
      };
      if (place.rank > 0) return new RemoteWorker(transport, place, stop, ended);
      const worker = thread();
      return { post: (message, transfer) => worker.post(message, transfer), receive: () => worker.receive(), end: () => worker.end().then(ended) };
    },
    async end() {
      await sections.close();
      for (const { rank, lane } of places) if (rank > 0) await sendMessage(transport, rank, lane, { kind: 'end' } satisfies ToLane);
      for (let rank = 1; rank < transport.size; rank++) await sendMessage(transport, rank, CONTROL_TAG, { kind: 'end' } satisfies Control);
    },
  };
}

/** One line: tasks run in a thread of their own, so that this thread stays free to move bytes. */
async function serveLane(host: Host, transport: Transport, lane: number, stop: { readonly requested: boolean }): Promise<void> {
  // A pool of one worker would use this thread; one of two that is given one task at a time starts one.
  const pool = new TaskPool(host, 2);
  try {
    for (;;) {
      const said = (await receiveMessage(transport, 0, lane)) as ToLane;
      if (said.kind === 'end') return;
      if (said.kind === 'rest') {
        await pool.renew();
        continue;
      }
      let reply: PoolReply;
      try {
        const [output] = await pool.map(said.request.task, [said.request.input]);
        reply = { kind: 'done', output };
      } catch (error) {
        reply = { kind: 'failed', message: `on rank ${transport.rank}: ${error instanceof Error ? error.message : String(error)}` };
      }
      await sendMessage(transport, 0, lane, { reply, stop: stop.requested } satisfies FromLane);
    }
  } finally {
    await pool.end();
  }
}

async function serveSections(host: Host, transport: Transport): Promise<void> {
  const member = new SectionMember(host.files, transport);
  try {
    for (;;) {
      const said = (await receiveMessage(transport, 0, CONTROL_TAG)) as Control;
      if (said.kind === 'end') return;
      await followSection(transport, member, said);
    }
  } finally {
    await member.close();
  }
}

/** The part of every rank but the first: works until the first one sends it home. */
export async function followBuild(host: Host, transport: Transport, { workers, stop }: RankOptions): Promise<void> {
  const lanes = (await lanesOfAll(transport, workers))[transport.rank];
  await Promise.all([serveSections(host, transport), ...Array.from({ length: lanes }, (_, lane) => serveLane(host, transport, lane, stop))]);
}
