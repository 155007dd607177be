/**
 * `scion import`: a model of another form becomes a Hugging Face folder, which every verb takes.
 */
import { ScionError } from '../../base/errors.ts';
import { normalPath } from '../../base/path.ts';
import type { ExportDtype } from '../../checkpoint/hf.ts';
import { host } from '../../host/index.ts';
import type { Command } from '../command.ts';
import { openModel, tokenizerOf } from '../load-model.ts';
import { bytes, si } from '../status.ts';
import { writeModel } from '../write-model.ts';

export const command: Command = {
  name: 'import',
  summary: 'make a Hugging Face folder of a llama2.c or GGUF file, or of another folder',
  words: 'FILE|DIR',
  flags: {
    tokenizer: { kind: 'string', value: 'F', summary: 'folder or file; by default the model’s own' },
    out: { kind: 'string', value: 'DIR', summary: 'folder to write' },
    dtype: { kind: 'string', choices: ['f32', 'f16', 'bf16'], summary: 'of the weights; by default as they are stored' },
    force: { kind: 'boolean', summary: 'replace a model that is in --out', default: false },
  },
  examples: [
    'scion import stories260K.bin --tokenizer tok512.model --out models/stories',
    'scion import models/llama-3.2-1b --dtype bf16 --out models/llama-bf16',
  ],
  async run({ flags, print, status, result }) {
    const { files } = await host();
    if (flags.words.length !== 1) {
      throw new ScionError(
        'usage',
        `scion import takes one FILE or DIR, got ${flags.words.length === 0 ? 'none' : flags.words.join(' ')} (scion import --help)`,
      );
    }
    const out = normalPath(flags.need('out', 'the folder to write'));
    const model = await openModel(files, flags.words[0]);
    try {
      const asked = flags.string('tokenizer');
      const tokenizer = await tokenizerOf(files, model, asked);
      for (const warning of model.source.warnings) status.note(`note: ${warning}`);
      if (!tokenizer) status.note('note: no tokenizer; what takes text will need --tokenizer with this model');
      const dtype = (flags.string('dtype') as ExportDtype | undefined) ?? model.dtype;
      const written = await writeModel(files, model, {
        out,
        dtype,
        tokenizer,
        siblings: asked === undefined ? model.tokenizerFolder : null,
        force: flags.boolean('force'),
        onRead: (name) => status.set(`writing ${name}`),
      });
      const { config } = model.source;
      print(
        `model      ${si(written.parameters)} parameters: ${config.numLayers} layers of ${config.hiddenSize}, ${config.numHeads} heads (${config.numKvHeads} key/value), vocabulary ${config.vocabSize}`,
      );
      print(`tokenizer  ${tokenizer ? `${tokenizer.kind}, ${tokenizer.vocabSize} pieces` : 'none'}`);
      print(`written    ${out}: ${written.files.length} files, ${bytes(written.bytes)}, ${dtype}`);
      result({ ...written, kind: model.kind, tokenizer: tokenizer?.kind ?? null });
    } finally {
      await model.source.close();
    }
  },
};
