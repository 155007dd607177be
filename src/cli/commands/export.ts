/**
 * `scion export`: a model, or what a training run has reached, as a Hugging Face folder that transformers,
 * vLLM and llama.cpp's converter open.
 */
import { ScionError } from '../../base/errors.ts';
import { extName, normalPath } from '../../base/path.ts';
import type { ExportDtype } from '../../checkpoint/hf.ts';
import { host } from '../../host/index.ts';
import type { Command } from '../command.ts';
import { openModel, tokenizerOf } from '../load-model.ts';
import { bytes, si } from '../status.ts';
import { writeModel } from '../write-model.ts';

export const command: Command = {
  name: 'export',
  summary: 'write a model, or a training run’s newest checkpoint, as a Hugging Face folder',
  flags: {
    model: { kind: 'string', value: 'DIR', summary: 'a Hugging Face folder, or the folder of a training run' },
    tokenizer: { kind: 'string', value: 'F', summary: 'folder or file; by default that of --model' },
    out: { kind: 'string', value: 'DIR', summary: 'folder to write' },
    dtype: { kind: 'string', choices: ['f32', 'f16', 'bf16'], summary: 'of the weights; by default as they are stored' },
    force: { kind: 'boolean', summary: 'replace a model that is in --out', default: false },
  },
  examples: ['scion export --model runs/notes --out models/notes --dtype bf16', 'scion export --model models/notes --dtype f16 --out models/notes-f16'],
  async run({ flags, print, status, result }) {
    const { files } = await host();
    const path = flags.need('model', 'what to export');
    const out = normalPath(flags.need('out', 'the folder to write'));
    if (extName(out) === '.gguf') {
      throw new ScionError('usage', `--out ${out}: GGUF files are not written; name a folder, and let llama.cpp's convert_hf_to_gguf.py make the file from it`);
    }
    const model = await openModel(files, path);
    try {
      const asked = flags.string('tokenizer');
      const tokenizer = await tokenizerOf(files, model, asked);
      for (const warning of model.source.warnings) status.note(`note: ${warning}`);
      const dtype = (flags.string('dtype') as ExportDtype | undefined) ?? model.dtype;
      const written = await writeModel(files, model, {
        out,
        dtype,
        tokenizer,
        siblings: asked === undefined ? model.tokenizer : null,
        force: flags.boolean('force'),
        onRead: (name) => status.set(`writing ${name}`),
      });
      if (model.step !== null) print(`checkpoint step ${model.step}`);
      print(`written    ${out}: ${si(written.parameters)} parameters, ${written.files.length} files, ${bytes(written.bytes)}, ${dtype}`);
      result({ ...written, kind: model.kind, step: model.step, tokenizer: tokenizer?.kind ?? null });
    } finally {
      await model.source.close();
    }
  },
};
