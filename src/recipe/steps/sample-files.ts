/** The generated corpus as files, so that `{sample: en}` is a source like any other: training documents, and its own held-out ones. */
import { joinPath } from '../../base/path.ts';
import { sampleGraftDocuments } from '../../data/sample/graft.ts';
import { writeWhole } from '../../host/whole-file.ts';
import type { Step } from '../engine.ts';
import type { SamplePart } from '../schema.ts';
import type { RunContext } from './context.ts';

/** By part, below the run folder. */
export interface SampleResult {
  readonly train: Readonly<Record<string, string>>;
  readonly validation: Readonly<Record<string, { readonly path: string; readonly documents: number; readonly bytes: number }>>;
}

/** Raised when the corpus changes. */
const SAMPLE_VERSION = 1;

/** Writes the parts that a recipe asks for. */
export function sampleStep(context: RunContext, parts: readonly SamplePart[]): Step<SampleResult> {
  const { host, dir } = context;
  return {
    id: 'sample',
    title: 'make the sample corpus',
    owns: ['sample'],
    inputs: () => ({ SAMPLE_VERSION, parts }),
    async run() {
      const splits = sampleGraftDocuments();
      const folder = joinPath(dir, 'sample');
      await host.files.makeDir(joinPath(folder, 'validation'));
      const train: Record<string, string> = {};
      const validation: Record<string, { path: string; documents: number; bytes: number }> = {};
      const encoder = new TextEncoder();
      const linesOf = (category: string, documents: readonly { id: string; lang: string; target: string }[]): Uint8Array =>
        encoder.encode(documents.map((d) => `${JSON.stringify({ id: d.id, lang: d.lang, category, target: d.target })}\n`).join(''));
      for (const part of parts) {
        train[part] = joinPath('sample', `${part}.jsonl`);
        await writeWhole(host.files, joinPath(dir, train[part]), linesOf(part, splits.train[part]));
        const held = splits.validation[part];
        const path = joinPath('sample', 'validation', `${part}.jsonl`);
        await writeWhole(host.files, joinPath(dir, path), linesOf(part, held));
        validation[part] = { path, documents: held.length, bytes: held.reduce((sum, d) => sum + encoder.encode(d.target).length, 0) };
      }
      return { train, validation };
    },
    intact: async (result) => (await Promise.all(Object.values(result.train).map((path) => host.files.stat(joinPath(dir, path))))).every((s) => s !== null),
  };
}
