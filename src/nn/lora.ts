/**
 * Low-rank adapters (Hu et al. 2021), as PEFT shapes them but fused as scion fuses: q, k and v of one layer share an A whose
 * rows are stacked and a B whose blocks lie on a diagonal, so that an adapter costs two thin products however many of them it
 * has. The price is B's zeros, which are stored, and one dropout mask for all that share an input.
 */
import { ScionError } from '../base/errors.ts';
import type { LlamaConfig } from './config.ts';
import { type HfView, listHfViews, type Parameter } from './parameters.ts';

/** How adapters are made. `alpha` / `rank` (with `rslora` alpha / sqrt(rank), Kalajdzievski 2023) scales them. */
export interface LoraSpec {
  readonly rank: number;
  readonly alpha: number;
  /** Share of an adapter's inputs dropped in training; PEFT drops nothing of embeddings, nor does scion. */
  readonly dropout: number;
  /** Module names as PEFT's target_modules. */
  readonly targets: readonly string[];
  /** `kaiming`: A uniform, B zero, so that training starts at the base. `pissa`: the largest singular vectors of each matrix (Meng et al. 2024); the base becomes what is left. */
  readonly init: 'kaiming' | 'pissa';
  readonly rslora?: boolean;
}

/** Module names that can be targeted. */
export const LORA_TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj', 'embed_tokens', 'lm_head'] as const;

/** The adapter of one fused parameter. */
export interface LoraModule {
  /** The matrix it stands beside; a tied head's is `embed`. */
  readonly parameter: string;
  /** `layers.0.qkv`, `embed`, `head`: what `.lora_a` and `.lora_b` hang on. */
  readonly name: string;
  readonly a: Parameter;
  readonly b: Parameter;
  /** The targeted tensors, in order of `listHfViews`: view j owns rows [j rank, (j+1) rank) of A and the same columns of B. An embedding's A is transposed. */
  readonly views: readonly HfView[];
  /** Tells its dropout mask from those of the other modules. */
  readonly site: number;
}

/** The factor on B A. */
export function loraScale(spec: Pick<LoraSpec, 'rank' | 'alpha' | 'rslora'>): number {
  return spec.alpha / (spec.rslora ? Math.sqrt(spec.rank) : spec.rank);
}

/** Module name of a Hugging Face weight: `q_proj` of `model.layers.0.self_attn.q_proj.weight`. */
const moduleOf = (hf: string): string => (hf.endsWith('.weight') ? (hf.split('.').at(-2) ?? '') : '');

function check(spec: LoraSpec): void {
  const bad = (what: string): never => {
    throw new ScionError('usage', `lora: ${what}`, { ...spec });
  };
  if (!Number.isInteger(spec.rank) || spec.rank < 1) bad(`rank must be an integer from 1, got ${spec.rank}`);
  if (!(spec.alpha > 0) || !Number.isFinite(spec.alpha)) bad(`alpha must be a positive number, got ${spec.alpha}`);
  if (!(spec.dropout >= 0 && spec.dropout < 1)) bad(`dropout is a share from 0 to below 1, got ${spec.dropout}`);
  if (spec.targets.length === 0) bad(`targets is empty; name some of ${LORA_TARGETS.join(' ')}`);
  for (const t of spec.targets) {
    if (!(LORA_TARGETS as readonly string[]).includes(t)) bad(`"${t}" is no module that can be targeted; use ${LORA_TARGETS.join(' ')}`);
  }
}

/**
 * The adapters of a model, in the order of its parameters.
 * @throws ScionError `usage` for impossible numbers and unknown targets.
 */
export function listLora(c: LlamaConfig, spec: LoraSpec): LoraModule[] {
  check(spec);
  return loraModules(c, spec);
}

/** The same of an adapter that is at hand and need not be one that could be trained: it may have no products at all. */
export function loraModules(c: LlamaConfig, spec: Pick<LoraSpec, 'rank' | 'targets'>): LoraModule[] {
  const targeted = listHfViews(c).filter((v) => spec.targets.includes(moduleOf(v.hf)));
  const groups = new Map<string, HfView[]>();
  for (const v of targeted) groups.set(v.parameter, [...(groups.get(v.parameter) ?? []), v]);
  const head: HfView = { hf: 'lm_head.weight', parameter: 'embed', row: 0, shape: [c.vocabSize, c.hiddenSize] };
  const modules = [...groups].map(([parameter, views]) => ({ parameter, name: parameter, views }));
  if (c.tied && spec.targets.includes('lm_head')) modules.push({ parameter: 'embed', name: 'head', views: [head] });
  return modules.map(({ parameter, name, views }, site) => ({ parameter, name, views, site, ...matricesOf(c, spec, name, views) }));
}

function matricesOf(c: LlamaConfig, spec: Pick<LoraSpec, 'rank'>, name: string, views: readonly HfView[]): { a: Parameter; b: Parameter } {
  const make = (which: 'a' | 'b', shape: readonly number[], init: Parameter['init']): Parameter => ({
    name: `${name}.lora_${which}`,
    shape,
    group: name === 'embed' || name === 'head' ? 'vocab' : 'lora',
    init,
    adapter: true,
  });
  const { rank } = spec;
  // As PEFT: an embedding starts with A zero and B normal.
  if (name === 'embed') return { a: make('a', [c.vocabSize, rank], { constant: 0 }), b: make('b', [c.hiddenSize, rank], { normal: 1 }) };
  const R = rank * views.length;
  const [, width] = views[0].shape;
  const rows = name === 'head' ? c.vocabSize : fusedRows(c, name);
  // Kaiming's bound for a leaky slope of sqrt(5), PyTorch's default for linear layers, is 1 / sqrt(inputs).
  return { a: make('a', [R, width], { uniform: 1 / Math.sqrt(width) }), b: make('b', [rows, R], { constant: 0 }) };
}

/** Rows of a fused parameter: where its last view ends. */
function fusedRows(c: LlamaConfig, parameter: string): number {
  return Math.max(...listHfViews(c).flatMap((v) => (v.parameter === parameter ? [v.row + v.shape[0]] : [])));
}

/** Both matrices of all adapters, to be declared behind the model's parameters. */
export function loraParameters(c: LlamaConfig, spec: LoraSpec): Parameter[] {
  return listLora(c, spec).flatMap((m) => [m.a, m.b]);
}

/** True where B has entries that are no adapter's: rows of one view in columns of another, or of no targeted view at all. */
export function hasOffBlocks(m: LoraModule): boolean {
  return m.name !== 'embed' && (m.views.length > 1 || m.views[0].shape[0] !== m.b.shape[0]);
}
