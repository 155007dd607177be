/**
 * What planning needs to know of a device, as plain data: the planner runs without a device, on
 * facts that were read from one, kept in a checkpoint, or made up (`scion plan --limits`).
 */

/** The limits that lowering and planning look at. Bytes unless the name says otherwise. */
export interface DeviceLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxStorageBuffersPerShaderStage: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupSizeX: number;
  readonly maxComputeWorkgroupsPerDimension: number;
}

/** `generic`: CPU adapters, no barriers, loop bounds as data. `specialised`: GPUs, shared-memory tiles. */
export type Profile = 'generic' | 'specialised';

/** Facts of one device. */
export interface DeviceFacts {
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly fallback: boolean;
  readonly features: readonly string[];
  readonly limits: DeviceLimits;
  /** Subgroup width range if the `subgroups` feature is on. */
  readonly subgroups: { readonly min: number; readonly max: number } | null;
  readonly profile: Profile;
  /** Kernel choices by op and shape class, frozen into run folder and checkpoint. */
  readonly choices: Readonly<Record<string, string>>;
}

/** The limits every WebGPU device has. */
export const BASE_LIMITS: DeviceLimits = {
  maxBufferSize: 268435456,
  maxStorageBufferBindingSize: 134217728,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupsPerDimension: 65535,
};

/** Facts for planning without a device: base limits, generic profile, with overrides. */
export function assumedFacts(overrides: Partial<Omit<DeviceFacts, 'limits'>> & { limits?: Partial<DeviceLimits> } = {}): DeviceFacts {
  const { limits, ...rest } = overrides;
  return {
    name: 'assumed',
    vendor: '',
    architecture: '',
    description: 'limits every WebGPU device has',
    fallback: true,
    features: [],
    subgroups: null,
    profile: 'generic',
    choices: {},
    ...rest,
    limits: { ...BASE_LIMITS, ...limits },
  };
}
