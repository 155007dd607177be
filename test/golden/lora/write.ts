/**
 * Adapter folders and merged folders as scion writes them, for `check.py` to open with PEFT and transformers:
 * `node write.ts FOLDER`. Each case becomes FOLDER/NAME/adapter and FOLDER/NAME/merged; cases.json names the bases. Beside the fixtures
 * there are adapters drawn here, for what the fixtures do not have: both kinds of tied models, and a start that took from the base.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Random } from '../../../src/base/random.ts';
import { type AdapterSpec, listAdapterModules, mergeAdapter, openAdapter, writeAdapter } from '../../../src/checkpoint/adapter/index.ts';
import { exportHf, importHf } from '../../../src/checkpoint/hf.ts';
import type { ReadParameter } from '../../../src/checkpoint/source.ts';
import { posixFiles } from '../../../src/host/posix.ts';
import type { LlamaConfig } from '../../../src/nn/config.ts';
import { loraModules } from '../../../src/nn/lora.ts';
import { sizeOf } from '../../../src/tensor/types.ts';

const out = process.argv[2];
const GOLDEN = join(import.meta.dirname, '..');
const written: { name: string; base: string }[] = [];

/** Stacked factors of an adapter with 0 outside B's blocks. */
function drawn(c: LlamaConfig, spec: AdapterSpec, seed: number): ReadParameter {
  const modules = listAdapterModules(c, spec.targets);
  const values = new Map<string, Float32Array>();
  const parameters = loraModules(c, spec).flatMap(({ a, b }) => [a, b]);
  parameters.forEach(({ name, shape }, stream) => {
    const random = new Random(seed, stream);
    const all = Float32Array.from({ length: sizeOf(shape) }, () => 0.3 * random.normal());
    if (name.endsWith('.lora_b') && !name.startsWith('embed')) {
      const own = modules.filter((m) => `${m.parameter}.lora_b` === name);
      all.forEach((_, i) => {
        const m = own.find((x) => Math.floor(i / shape[1]) >= x.row && Math.floor(i / shape[1]) < x.row + x.out);
        if (m?.index !== Math.floor((i % shape[1]) / spec.rank)) all[i] = 0;
      });
    }
    values.set(name, all);
  });
  return async (name) => values.get(name) as Float32Array;
}

async function add(
  name: string,
  base: string,
  make: (c: LlamaConfig) => { spec: AdapterSpec; read: ReadParameter; saved?: readonly string[]; initial?: ReadParameter },
): Promise<void> {
  const source = await importHf(posixFiles, join(GOLDEN, 'llama', base));
  const { spec, read, saved, initial } = make(source.config);
  const folder = join(out, name);
  await posixFiles.makeDir(folder);
  await writeAdapter(posixFiles, join(folder, 'adapter'), source.config, spec, read, { savedModules: saved, initial });
  const merged = await mergeAdapter(source, await openAdapter(posixFiles, join(folder, 'adapter'), source.config));
  await exportHf(posixFiles, join(folder, 'merged'), merged.config, merged.read, { dtype: 'f32' });
  await merged.close();
  written.push({ name, base });
}

for (const name of (JSON.parse(await readFile(join(import.meta.dirname, 'index.json'), 'utf8')) as { cases: string[] }).cases) {
  const { base, saved } = JSON.parse(await readFile(join(import.meta.dirname, name, 'case.json'), 'utf8')) as { base: string; saved: string[] };
  const source = await importHf(posixFiles, join(GOLDEN, 'llama', base));
  const adapter = await openAdapter(posixFiles, join(import.meta.dirname, name, 'adapter'), source.config);
  const read: ReadParameter = (p) => (p === 'embed' ? adapter.readWhole('model.embed_tokens') : p === 'head' ? adapter.readWhole('lm_head') : adapter.read(p));
  await add(name, base, () => ({ spec: adapter.spec, read, saved }));
  await adapter.close();
  await source.close();
}

const spec: AdapterSpec = { rank: 2, alpha: 3, dropout: 0, targets: ['q_proj', 'v_proj', 'up_proj', 'down_proj'] };
const words: AdapterSpec = { ...spec, targets: [...spec.targets, 'embed_tokens', 'lm_head'] };
await add('tied-words', 'llama-tied', (c) => ({ spec: words, read: drawn(c, words, 1) }));
await add('tied-embedding', 'llama-tied', (c) => {
  const only = { ...spec, targets: ['embed_tokens', 'o_proj'] };
  return { spec: only, read: drawn(c, only, 2) };
});
await add('tied-saved', 'llama-tied', (c) => {
  const random = new Random(3, 0);
  const embed = Float32Array.from({ length: c.vocabSize * c.hiddenSize }, () => 0.3 * random.normal());
  const read = drawn(c, spec, 3);
  return { spec, read: async (p) => (p === 'embed' ? embed : read(p)), saved: ['embed_tokens'] };
});
for (const rslora of [false, true]) {
  await add(`begun-elsewhere${rslora ? '-rslora' : ''}`, 'llama-gqa', (c) => {
    const own = { ...words, rslora };
    return { spec: own, read: drawn(c, own, 4), initial: drawn(c, own, 5) };
  });
}
await writeFile(join(out, 'cases.json'), JSON.stringify(written));
