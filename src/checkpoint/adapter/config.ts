/**
 * `adapter_config.json` of a LoRA adapter in PEFT's layout (Hu et al. 2021), read and written. An adapter is a product
 * that is added to matrices it does not hold, so a field that changes the product and is not understood would give wrong
 * numbers without a word: every field is either understood, known to change nothing, at its neutral value, or refused by name.
 */
import { z } from 'zod';
import { ScionError } from '../../base/errors.ts';
import { shown } from '../../formats/bytes.ts';
import { LORA_TARGETS, type LoraSpec } from '../../nn/lora.ts';

export const ADAPTER_CONFIG_NAME = 'adapter_config.json';
export const ADAPTER_WEIGHTS_NAME = 'adapter_model.safetensors';

/** Modules that an adapter may hold whole. */
export const SAVED_MODULES = ['embed_tokens', 'lm_head'] as const;

/** What an adapter is, beside its numbers: a `LoraSpec` without the way it started. */
export type AdapterSpec = Omit<LoraSpec, 'init'>;

/** An adapter's config as read: which matrices it has is what its weight file says. */
export interface AdapterConfig extends Omit<AdapterSpec, 'targets'> {
  readonly rslora: boolean;
  /** The model it was trained on, as its maker named it. */
  readonly baseModel: string | null;
  /** Modules held whole. */
  readonly savedModules: readonly string[];
}

const schema = z.looseObject({
  peft_type: z.string(),
  base_model_name_or_path: z.string().nullish(),
  r: z.number().int().positive(),
  lora_alpha: z.number().finite(),
  lora_dropout: z.number().min(0).max(1).default(0),
  use_rslora: z.boolean().nullish(),
  modules_to_save: z.array(z.string()).nullish(),
  init_lora_weights: z.union([z.boolean(), z.string()]).nullish(),
});

/** Fields that tell a reader or a trainer something and change nothing about a finished adapter. */
const SILENT = new Set(
  `peft_type base_model_name_or_path r lora_alpha lora_dropout use_rslora modules_to_save init_lora_weights auto_mapping revision task_type inference_mode peft_version
  target_modules exclude_modules layers_to_transform layers_pattern megatron_core runtime_config ephemeral_gpu_offload loftq_config eva_config corda_config lora_ga_config qalora_group_size`.split(
    /\s+/,
  ),
);

/** Starts that leave the base as it is; the others (PiSSA, OLoRA, CorDA, LoftQ) change it, and the adapter fits the changed one only. */
const PLAIN_STARTS = new Set(['gaussian', 'orthogonal', 'eva']);

/** What a field holds where it asks for nothing. */
const isNeutral = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === 'none' ||
  (typeof value === 'object' && (Array.isArray(value) ? value.length : Object.keys(value).length) === 0);

/** Says why a field that asks for something cannot be granted. */
const REASONS: Readonly<Record<string, string>> = {
  use_dora: 'DoRA (weight magnitudes learnt apart) is not supported',
  bias: 'trained biases are not supported; wanted "none"',
  lora_bias: 'biases of the product are not supported',
  fan_in_fan_out: 'its matrices are stored transposed, as no model of this family has them',
  rank_pattern: 'ranks that differ between modules are not supported',
  alpha_pattern: 'alphas that differ between modules are not supported',
  layer_replication: 'repeated layers are not supported',
  trainable_token_indices: 'single trained rows are not supported; modules_to_save with embed_tokens holds them whole',
  use_qalora: 'QA-LoRA is not supported',
  ensure_weight_tying: 'tied adapters are not supported; save embed_tokens and lm_head whole',
};

/**
 * Reads the object of an `adapter_config.json`.
 * @throws ScionError `input` naming the field that is wrong, or that asks for what scion does not do.
 */
export function parseAdapterConfig(json: unknown, source = ADAPTER_CONFIG_NAME): AdapterConfig {
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ScionError('input', `${source}: ${issue.path.join('.') || 'file'}: ${issue.message}`, { issues: parsed.error.issues.length });
  }
  const c = parsed.data;
  if (c.peft_type !== 'LORA') throw new ScionError('input', `${source}: peft_type: ${shown(c.peft_type)} is not supported; LORA is`, { field: 'peft_type' });
  for (const [field, value] of Object.entries(c)) {
    if (SILENT.has(field) || isNeutral(value)) continue;
    const reason = REASONS[field] ?? 'scion does not know this field, and it may change what the adapter computes';
    throw new ScionError('input', `${source}: ${shown(field)}: ${shown(JSON.stringify(value))}: ${reason}`, { field });
  }
  const start = c.init_lora_weights;
  if (typeof start === 'string' && !PLAIN_STARTS.has(start)) {
    throw new ScionError(
      'input',
      `${source}: init_lora_weights: ${shown(start)}: such an adapter fits a base that was changed when it began, not the one it names; save it as plain LoRA (PEFT: path_initial_model_for_weight_conversion)`,
      { field: 'init_lora_weights' },
    );
  }
  const savedModules = c.modules_to_save ?? [];
  for (const name of savedModules) {
    if (!SAVED_MODULES.some((known) => known === name))
      throw new ScionError('input', `${source}: modules_to_save: ${shown(name)} is not supported; ${SAVED_MODULES.join(' and ')} are`, {
        field: 'modules_to_save',
      });
  }
  return {
    rank: c.r,
    alpha: c.lora_alpha,
    dropout: c.lora_dropout,
    rslora: c.use_rslora ?? false,
    baseModel: c.base_model_name_or_path ?? null,
    savedModules,
  };
}

/** The object to write as `adapter_config.json`; PEFT fills in what it has by default. */
export function adapterConfigToJson(spec: AdapterSpec, savedModules: readonly string[], baseModel: string | null): Record<string, unknown> {
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: baseModel,
    inference_mode: true,
    r: spec.rank,
    lora_alpha: spec.alpha,
    lora_dropout: spec.dropout,
    use_rslora: spec.rslora ?? false,
    target_modules: [...spec.targets],
    modules_to_save: savedModules.length > 0 ? [...savedModules] : null,
    init_lora_weights: true,
    bias: 'none',
    fan_in_fan_out: false,
    use_dora: false,
    rank_pattern: {},
    alpha_pattern: {},
  };
}

/**
 * Refuses an adapter that cannot be, before anything is allocated for it.
 * @throws ScionError `input` naming the field and what it may hold.
 */
export function checkAdapterSpec(spec: AdapterSpec): void {
  const fail = (field: string, message: string): never => {
    throw new ScionError('input', `lora: ${field}: ${message}`, { field });
  };
  if (!Number.isSafeInteger(spec.rank) || spec.rank < 1) fail('rank', `${spec.rank} is no whole number from 1`);
  if (!Number.isFinite(spec.alpha)) fail('alpha', `${spec.alpha} is no number`);
  if (!(spec.dropout >= 0 && spec.dropout < 1)) fail('dropout', `${spec.dropout} is not in [0, 1)`);
  if (spec.targets.length === 0) fail('targets', `none are given; known are ${LORA_TARGETS.join(' ')}`);
  for (const target of spec.targets) {
    if (!LORA_TARGETS.some((known) => known === target)) fail('targets', `${shown(target)} is none of ${LORA_TARGETS.join(' ')}`);
  }
  if (new Set(spec.targets).size < spec.targets.length) fail('targets', `one is named twice: ${spec.targets.join(' ')}`);
}
