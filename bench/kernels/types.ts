/**
 * What a bench row is: plain data and a graph builder, as an op case is, so that a row runs on every
 * host. `bench/kernels.ts` runs them; rows of one op lie in `bench/kernels/<stem>.ts` as `rows`.
 */
import type { Profile } from '../../src/gpu/facts.ts';
import type { Graph, Value } from '../../src/tensor/graph.ts';
import type { DType, Shape } from '../../src/tensor/types.ts';
import type { Fill } from '../../test/runtime/case.ts';

/** One thing to time. FLOPs and bytes come from the ops' `cost` unless the row gives its own. */
export interface BenchRow {
  /** The stem of the op. */
  readonly op: string;
  /** Unique within the op: shape, layout, dtype. */
  readonly name: string;
  readonly inputs: Readonly<Record<string, { readonly shape: Shape; readonly dtype: DType; readonly fill: Fill }>>;
  /** Builds the graph from data leaves named as the inputs; gives named outputs, all of which are computed. */
  readonly build: (v: Readonly<Record<string, Value>>, g: Graph) => Readonly<Record<string, Value>>;
  readonly scalars?: Readonly<Record<string, number>>;
  /** Of one run, where the ops' own figures mislead. */
  readonly flops?: number;
  readonly bytes?: number;
  readonly profile?: Profile;
  /** Forced kernels, by op. */
  readonly choices?: Readonly<Record<string, string>>;
  /** Kernel choices to compare with the default one, interleaved: label to forced choices. */
  readonly candidates?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}
