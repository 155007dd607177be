/**
 * What moves bytes between ranks. Transports carry bytes and nothing else: every sum is made by `collectives.ts`, per element
 * in rank order, so that ranks in threads and ranks in MPI processes give equal bits (MPI_Allreduce's order depends on sizes).
 * A rank's thread never blocks: each call is a promise, and timers, GPU callbacks and other transfers go on meanwhile.
 */

/** Tags of `send` and `recv`: whole numbers below this. */
export const TAG_LIMIT = 16384;

/** Every rank's values at hand, in shared memory. Nobody may touch what another rank reads or writes before all have passed a barrier. */
export interface Meeting {
  /** Values of each rank; this rank's own among them. */
  readonly views: readonly Float32Array[];
  /** Writes the sum in rank order of elements first to end to the views of `ranks`, in f32. */
  sum(first: number, end: number, ranks: readonly number[]): void;
  /** Counts bytes as sent: those that others read here or that were written to theirs. */
  count(bytes: number): void;
}

/**
 * Moves bytes between ranks; sums are ours (collectives.ts). One call at a time per tag; all are collective in the same order on every rank.
 * Collective calls (`allToAll`, `allGather`, `barrier`, `split`) may overlap as long as every rank begins them in the same order. Buffers belong
 * to the transport until the promise settles. What ranks do not agree on (lengths) is a ScionError of kind `internal`; a lost or silent rank of kind `lost`.
 */
export interface Transport {
  readonly rank: number;
  readonly size: number;
  readonly kind: 'local' | 'threads' | 'mpi';
  /** send[i] goes to rank i, recv[i] is filled from rank i; lengths may differ by pair, and agree on both ends. */
  allToAll(send: readonly Uint8Array[], recv: readonly Uint8Array[]): Promise<void>;
  /** recv[i] is filled with what rank i sends; lengths may differ by rank. */
  allGather(send: Uint8Array, recv: readonly Uint8Array[]): Promise<void>;
  /** Resolves when `bytes` may be written again, which may be before the other end has them. */
  send(to: number, tag: number, bytes: Uint8Array): Promise<void>;
  recv(from: number, tag: number, bytes: Uint8Array): Promise<void>;
  /** Resolves once every rank has come here. */
  barrier(): Promise<void>;
  /** Ranks of one colour, ordered by key, then by rank: the axes of a mesh. Collective. */
  split(color: number, key: number): Promise<Transport>;
  /**
   * A view for one operation of several steps, which takes the operation's place in the order now: its steps come in order among themselves and do not mix
   * with those of operations under way at the same time. Messages of its `send` and `recv` go under the operation's own tag. Collective, without waiting.
   */
  operation?(): Transport;
  /**
   * Zeroed values, f32 [count], in memory that all ranks of this process see, where ranks have such: sums and gathers over staged values need no copies. Never given
   * back: take what a run needs once. Not collective.
   */
  stage?(count: number): Float32Array;
  /** Where every rank's `values` are staged: a way to each other's; else null. Collective; lengths must be equal. */
  meet?(values: Float32Array): Promise<Meeting | null>;
  /** Payload bytes sent to other ranks by this transport since it was made; transports that were split off count their own. */
  readonly bytesSent: number;
  /** Ends this rank's part. Collective for a root transport; one that was split off leaves its root open. */
  close(): Promise<void>;
}
