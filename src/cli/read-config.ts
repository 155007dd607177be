/**
 * A model's shape from a `config.json` alone, for verbs that need no weights.
 */
import { ScionError } from '../base/errors.ts';
import type { HostFiles } from '../host/types.ts';
import { type LlamaConfig, parseConfig } from '../nn/config.ts';

/** Reads a config. Throws `input` for a file that is no JSON or no config. */
export async function readConfig(files: HostFiles, path: string): Promise<LlamaConfig> {
  const text = new TextDecoder().decode(await files.read(path));
  try {
    return parseConfig(JSON.parse(text), path);
  } catch (error) {
    if (error instanceof SyntaxError) throw new ScionError('input', `${path} is no JSON: ${error.message}`);
    throw error;
  }
}
