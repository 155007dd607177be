/**
 * `scion export`: a model, or what a training run has reached, as a Hugging Face folder that transformers
 * and vLLM open, or as a GGUF file for llama.cpp.
 */
import { extName, normalPath } from '../../base/path.ts';
import type { ExportDtype } from '../../checkpoint/hf.ts';
import { host } from '../../host/index.ts';
import type { Command } from '../command.ts';
import { MODEL_FLAGS, openAsked, tokenizerOf } from '../load-model.ts';
import { bytes, si } from '../status.ts';
import { writeGgufModel, writeModel } from '../write-model.ts';

export const command: Command = {
  name: 'export',
  summary: 'write a model, or a training run’s newest checkpoint, as a folder or a GGUF file',
  flags: {
    model: MODEL_FLAGS.model,
    adapter: MODEL_FLAGS.adapter,
    ema: MODEL_FLAGS.ema,
    tokenizer: MODEL_FLAGS.tokenizer,
    out: { kind: 'string', value: 'F|DIR', summary: 'folder or .gguf file to write' },
    dtype: { kind: 'string', choices: ['f32', 'f16', 'bf16'], summary: 'of the weights; by default as they are stored' },
    format: { kind: 'string', choices: ['hf', 'gguf'], summary: 'by default what --out is named like' },
    force: { kind: 'boolean', summary: 'replace a model that is there', default: false },
  },
  examples: [
    'scion export --model runs/notes --out models/notes --dtype bf16',
    'scion export --model models/notes --dtype f16 --out notes.gguf',
    'scion export --model models/base --adapter models/adapter --out models/merged',
    'scion export --model runs/zh/stages/inject --ema --out models/averaged',
  ],
  async run({ flags, print, status, result }) {
    const { files } = await host();
    const out = normalPath(flags.need('out', 'the folder to write'));
    const format = flags.string('format') ?? (extName(out) === '.gguf' ? 'gguf' : 'hf');
    const adapter = flags.string('adapter');
    const model = await openAsked({ flags }, files, 'what to export');
    try {
      const asked = flags.string('tokenizer');
      const tokenizer = await tokenizerOf(files, model, asked);
      for (const warning of model.source.warnings) status.note(`note: ${warning}`);
      const dtype = (flags.string('dtype') as ExportDtype | undefined) ?? model.dtype;
      const written = await (format === 'gguf' ? writeGgufModel : writeModel)(files, model, {
        out,
        dtype,
        tokenizer,
        siblings: asked === undefined ? model.tokenizerFolder : null,
        force: flags.boolean('force'),
        onRead: (name) => status.set(`writing ${name}`),
      });
      for (const warning of written.warnings) status.note(`note: ${warning}`);
      if (model.step !== null) print(`checkpoint step ${model.step}${flags.boolean('ema') ? ', the average of the weights' : ''}`);
      if (adapter !== undefined) print(`adapter    ${adapter} merged`);
      print(`written    ${out}: ${si(written.parameters)} parameters, ${written.files.length} files, ${bytes(written.bytes)}, ${dtype}`);
      result({ ...written, format, kind: model.kind, step: model.step, adapter: adapter ?? null, tokenizer: tokenizer?.kind ?? null });
    } finally {
      await model.source.close();
    }
  },
};
