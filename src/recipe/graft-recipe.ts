/**
 * The recipe that `scion graft` writes: a base, files, and defaults that are explained where they stand. It is text, so that what runs is
 * what one reads, and a later change begins from it.
 */

/** What is known of a graft. Paths are absolute. */
export interface GraftRequest {
  readonly name: string;
  readonly base: string;
  readonly data: readonly string[];
  /** Text of what the model can do already, replayed among the new. */
  readonly replay: readonly string[];
  /** New pieces at most; 0: the vocabulary stays. */
  readonly add: number;
  /** Why so many. */
  readonly because: string;
  readonly tokens: number | null;
  readonly length: number;
  readonly batch: number;
  readonly rate: number;
  readonly precision: 'f32' | 'mixed';
  readonly seed: number;
}

const quoted = (text: string): string => JSON.stringify(text);
const share = 0.2;

/** The recipe as YAML. */
export function graftRecipe(g: GraftRequest): string {
  const replays = g.replay.length > 0;
  const sources = (paths: readonly string[], category: string): string =>
    paths.map((path) => `    - { path: ${quoted(path)}, category: ${category} }`).join('\n');
  // Without a wish, twice over the data: once to warm the new rows up on a tenth, once for all.
  const amount = g.tokens === null ? 'epochs: 1' : `tokens: ${Math.round(g.tokens * 0.9)}`;
  const warm = g.tokens === null ? 'epochs: 0.1' : `tokens: ${Math.max(1, Math.round(g.tokens * 0.1))}`;
  const replay =
    replays && g.tokens !== null
      ? `\n    # A fifth of what it could do before, so that it is not forgotten (docs/experiments/graft-zh.md).\n    replay: { share: ${share}, of: [learn-rows], categories: [known] }`
      : '';
  return `# Written by scion graft. Every field: docs/recipes.md. Change it and run it: scion run THIS --out DIR
name: ${g.name}
seed: ${g.seed}

base:
  model: ${quoted(g.base)}

data:
  data:
${sources(g.data, 'new')}
${replays ? `${sources(g.replay, 'known')}\n` : ''}  # Rules of web pages: boilerplate, repetition, broken text go. Others: book, code-doc, dialogue; false for none.
  clean: web
  # Equal documents and near ones (Jaccard of 0.8 and more).
  dedup: { threshold: 0.8 }
${
  g.add > 0
    ? `
# ${g.because}
vocab:
  add: ${g.add}
  # Where the documents hold fewer pieces worth having, fewer are taken.
  fewer: true

# Each new row begins as the mean of the rows its text was spelt with before.
init: { method: mean }
`
    : `
# ${g.because}
`
}
stages:
${
  g.add > 0
    ? `  # New rows find their place while the rest of the model stands still.
  - name: learn-rows
    kind: inject
    mix: { new: 1${replays ? ', known: 0.2' : ''} }
    ${warm}
    learn: embeddings
    length: ${g.length}
    batch: ${g.batch}
    precision: ${g.precision}
    schedule: { kind: constant, peak: ${g.rate}, warmup: 10% }
`
    : ''
}  # The whole model learns.
  - name: learn
    kind: pretrain
    mix: { new: 1${replays && g.tokens === null ? `, known: ${share}` : ''} }${g.add > 0 ? replay : ''}
    ${amount}
    length: ${g.length}
    batch: ${g.batch}
    precision: ${g.precision}
    # A tenth of the rate a base is trained with: a higher one forgets more.
    schedule: { kind: cosine, peak: ${g.rate}, warmup: 5%, minimum: 0.1 }

export: { dtype: ${g.precision === 'mixed' ? 'bf16' : 'f32'} }
`;
}
